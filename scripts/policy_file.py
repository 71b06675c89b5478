"""The policy as a person writes it, TOML or JSON: read, checked by the function's rules, made JSON."""

import json
import sys
from pathlib import Path

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
        content: object = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise PolicyUnusable(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PolicyUnusable(f"{path}: not UTF-8 text, at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise PolicyUnusable(f"{path}:{error.lineno}: {error.msg} (column {error.colno})") from error
    except tomllib.TOMLDecodeError as error:
        raise PolicyUnusable(f"{path}: {error}") from error  # the parser's text names line and column
    if not isinstance(content, dict):
        raise PolicyUnusable(f"{path}:1: a policy is an object, with `callers` in it")
    return content


def compile_policy(source: Path, target: Path) -> None:
    """Check the policy file `source` by the function's own rules and write it to `target` as JSON.

    Raises PolicyUnusable.
    """
    content = read_policy(source)
    # Here and not above: whoever only reads a policy needs none of the function's packages.
    from handler.errors import PolicyInvalid
    from handler.policy import Policy

    try:
        Policy.parse(content)
    except PolicyInvalid as error:
        raise PolicyUnusable(f"{source}: {error}") from error
    # TOML's dates have no JSON form; a policy that passed the check has none.
    target.write_text(json.dumps(content), encoding="utf-8")
