"""The policy as a person writes it, TOML or JSON: read, checked by the function's rules, made JSON."""

import json
import sys
import time
from pathlib import Path

from handler import sealing
from handler.chat.platforms import registry
from handler.errors import PolicyInvalid, RecipientRefused
from handler.order import EnvelopeFormat
from handler.policy.model import Policy
from handler.sealing.detection import detect
from handler.sealing.recipient_problems import RecipientProblem
from handler.web.page import pages

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class PolicyUnusable(Exception):
    """The policy cannot be used; `str()` names the file, and the line or the key."""


def read_policy(path: Path) -> dict[str, object]:
    """Read a policy file, JSON when its name ends in `.json` and TOML otherwise.

    Raises PolicyUnusable when it cannot be read or parsed; what it means is not looked at.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content: object = (
            json.loads(text, object_pairs_hook=_once_each) if path.suffix == ".json" else tomllib.loads(text)
        )
    except OSError as error:
        raise PolicyUnusable(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PolicyUnusable(f"{path}: not UTF-8 text, at byte {error.start}") from error
    except PolicyUnusable as error:
        raise PolicyUnusable(f"{path}: {error}") from None
    except json.JSONDecodeError as error:
        raise PolicyUnusable(f"{path}:{error.lineno}: {error.msg} (column {error.colno})") from error
    except tomllib.TOMLDecodeError as error:
        raise PolicyUnusable(f"{path}: {error}") from error  # the parser's text names line and column
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, very deep nesting
        raise PolicyUnusable(f"{path}: no policy is like this") from error
    if not isinstance(content, dict):
        raise PolicyUnusable(f"{path}:1: a policy is an object, with `callers` in it")
    return content


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a key that stands twice: the last one would win, unseen. TOML refuses it by itself."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise PolicyUnusable("a key stands twice in one object")
    return content


def check_policy(source: Path) -> dict[str, object]:
    """Return the policy file `source`, checked by the function's own rules, its recipients included.

    Raises PolicyUnusable; its text names each key path at fault and what to write there instead.
    """
    content = read_policy(source)
    try:
        policy = Policy.parse(content)
        # As the function does when it starts; the region makes no difference.
        registry.check(policy, registry.PLATFORMS)
        pages(policy, default_region="")
    except PolicyInvalid as error:
        raise PolicyUnusable("\n".join(f"{source}: {line}" for line in str(error).splitlines())) from error
    _check_recipients(source, policy)
    return content


def _check_recipients(source: Path, policy: Policy) -> None:
    now = time.time()
    # Each of escrow alone, for they may be of several formats; and twice, for it never is an envelope's only
    # recipient, and some JWKs can be nothing else.
    groups: list[tuple[str, list[str], tuple[str, ...]]] = [
        (f"escrow.{position}", [text, text], ()) for position, text in enumerate(policy.escrow)
    ]
    groups += [
        (f"callers.{name}.recipients", list(caller.recipients), policy.escrow)
        for name, caller in policy.callers.items()
        if caller.recipients
    ]
    for path, recipients, escrow in groups:
        try:
            sealing.address(recipients, now=now, escrow=escrow)
        except RecipientRefused as refusal:
            where = path if path.startswith("escrow.") else f"{path}.{refusal.position}"
            told = refusal.problem.advice
            if refusal.problem is RecipientProblem.WITHOUT_ESCROW:
                told = "escrow has no recipient of this kind; add one there"
            raise PolicyUnusable(f"{source}: {where}: {told}") from refusal


def compile_policy(source: Path, target: Path, *, with_openpgp: bool = True) -> None:
    """Check the policy file `source` and write it to `target` as JSON, for a build with or without OpenPGP.

    Raises PolicyUnusable.
    """
    content = check_policy(source)
    policy = Policy.parse(content)
    texts = [*policy.escrow, *(text for caller in policy.callers.values() for text in caller.recipients)]
    if not with_openpgp and EnvelopeFormat.OPENPGP in map(detect, map(str.strip, texts)):
        raise PolicyUnusable(f"{source}: there are PGP keys among its recipients; build it --with openpgp")
    # TOML's dates have no JSON form; a policy that passed the check has none.
    target.write_text(json.dumps(content), encoding="utf-8")
