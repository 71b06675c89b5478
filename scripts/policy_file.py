"""Reads a policy that a person wrote in TOML or JSON, checks it by the function's rules and packs it."""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from handler import sealing
from handler.chat.platforms import registry
from handler.errors import PolicyInvalid, RecipientRefused
from handler.order import EnvelopeFormat
from handler.policy.checking import RULES
from handler.policy.compiled import MAGIC, RECORD, caller_key, chat_key, claims_key, index_of
from handler.policy.model import Caller, Policy
from handler.sealing.detection import detect
from handler.sealing.recipient_problems import RecipientProblem
from handler.web.page import pages

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class PolicyUnusable(Exception):
    """The policy cannot be used. `str()` names the file and the line or key."""


def read_policy(path: Path) -> dict[str, object]:
    """Read a policy file: JSON if its name ends in `.json`, else TOML.

    Raises PolicyUnusable if it cannot be read or parsed. Does not check its contents.
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
        raise PolicyUnusable(f"{path}: not a policy") from error
    if not isinstance(content, dict):
        raise PolicyUnusable(f"{path}:1: a policy is an object that contains `callers`")
    return content


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse duplicate keys, of which JSON would silently keep the last. TOML refuses them itself."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise PolicyUnusable("an object contains the same key twice")
    return content


def check_policy(source: Path) -> Policy:
    """Return the policy in `source` after checking it, including its recipients, by the function's rules.

    Raises PolicyUnusable, whose text names each key path at fault and what to write there.
    """
    try:
        policy = Policy.parse(read_policy(source))
        # The function checks this when it starts. The region makes no difference.
        registry.check(policy, registry.PLATFORMS)
        pages(policy, default_region="")
    except PolicyInvalid as error:
        raise PolicyUnusable("\n".join(f"{source}: {line}" for line in str(error).splitlines())) from error
    _check_recipients(source, policy)
    for name, caller in policy.callers.items():
        # The function refuses everybody who claims to be this caller, so nothing would point to the mistake.
        if not (caller.tc3 or caller.v2 or caller.jwt or caller.chat):
            raise PolicyUnusable(
                f"{source}: callers.{name}: nobody can be this caller; write tc3 = true, or v2, jwt or chat"
            )
    return policy


def _check_recipients(source: Path, policy: Policy) -> None:
    # Escrow recipients are checked one by one, because they may have different formats. Each one is given
    # twice: it is never the only recipient of an envelope, and some JWKs cannot be anything else.
    for position, text in enumerate(policy.escrow):
        _check_sealing(f"{source}: escrow.{position}", [text, text])
    # Together, no two of them may have the same id in an envelope.
    formats = [detect(sealing.read_recipient(text)) for text in policy.escrow]
    for chosen in dict.fromkeys(formats):
        same = [text for text, found in zip(policy.escrow, formats, strict=True) if found is chosen]
        _check_sealing(f"{source}: escrow", same)
    for name, caller in policy.callers.items():
        if caller.recipients:
            _check_sealing(f"{source}: callers.{name}.recipients", caller.recipients, policy.escrow)


def _check_sealing(path: str, recipients: Sequence[str], escrow: Sequence[str] = ()) -> None:
    try:
        sealing.prepare_sealer(recipients, now=time.time(), escrow=escrow)
    except RecipientRefused as refusal:
        where = f"{path}.{refusal.position}" if path.endswith(".recipients") else path
        text = refusal.problem.advice
        if refusal.problem is RecipientProblem.WITHOUT_ESCROW:
            text = "escrow has no recipient of this kind; add one there"
        raise PolicyUnusable(f"{where}: {text}") from refusal


def compile_policy(
    source: Path, target: Path, *, with_openpgp: bool = True, shared_store: bool = True
) -> None:
    """Check the policy file `source`, also for what the package has, and write it to `target` as JSON.

    Raises PolicyUnusable.
    """
    policy = check_policy(source)
    texts = [*policy.escrow, *(text for caller in policy.callers.values() for text in caller.recipients)]
    if not with_openpgp and EnvelopeFormat.OPENPGP in map(detect, map(sealing.read_recipient, texts)):
        raise PolicyUnusable(f"{source}: some recipients are PGP keys; build it --with openpgp")
    if policy.used_once and not shared_store:
        raise PolicyUnusable(
            f"{source}: {policy.used_once[0]} needs a store that all instances share; set "
            "KEYPAIR_STORE=rediss://…, or build it --with redis"
        )
    packed, index = pack(policy)
    target.write_bytes(packed)
    index_of(target).write_bytes(index)


def pack(policy: Policy) -> tuple[bytes, bytes]:
    """Return a checked policy as JSON, and the index of its callers (`handler.policy.compiled`).

    The JSON is in a normal form, so that a start converts nothing: 3.0 is 3, and a JWK is a text. Keys that
    have their default values are left out: with 100,000 callers they would take several times the room.
    """
    tables: dict[str, Any] = RULES.dump_python(policy, exclude_defaults=True)
    packed, records = b"{", list[bytes]()
    for name, value in tables.items():
        packed += b", " if len(packed) > 1 else b""
        if name != "callers":
            packed += f"{json.dumps(name)}: {json.dumps(value)}".encode()
            continue
        packed += b'"callers": {'
        start, members = len(packed), list[bytes]()
        for caller_id, table in value.items():
            member = f"{json.dumps(caller_id)}: {json.dumps(table)}".encode()
            keys = _keys(caller_id, policy.callers[caller_id])
            records += [RECORD.pack(key, start, len(member)) for key in keys]
            start += len(member) + 2
            members.append(member)
        packed += b", ".join(members) + b"}"
    packed += b"}"
    head = {
        "policy": hashlib.sha256(packed).hexdigest(),
        "rest": {name: value for name, value in tables.items() if name != "callers"},
        "callers": len(policy.callers),
        "regions": sorted(policy.regions),
        "platforms": sorted(policy.chat_platforms),
        "v2": policy.v2_keys[:1],
        "generations": policy.generations,
        "claims": {issuer: sorted(names) for issuer, names in policy.claim_names.items()},
    }
    index = MAGIC + json.dumps(head).encode() + b"\n" + b"".join(sorted(records))
    return packed, index + hashlib.sha256(index).digest()


def _keys(caller_id: str, caller: Caller) -> Iterator[bytes]:
    """Return what a caller is found by."""
    yield caller_key(caller_id)
    for user in caller.chat:
        yield chat_key(user.platform, user.tenant, user.user)
    # Equal tables, given twice, are one record.
    yield from {claims_key(proof.issuer, proof.sorted_claims) for proof in caller.jwt}
