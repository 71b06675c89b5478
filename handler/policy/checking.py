"""Checks a policy by the rules that its classes declare. A start with an index does not load this module."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from handler.errors import PolicyInvalid
from handler.policy.compiled import UNREADABLE
from handler.policy.explanations import explain
from handler.policy.model import Policy

if TYPE_CHECKING:
    from pathlib import Path

RULES = TypeAdapter(Policy)


def check(data: object) -> Policy:
    """Return the policy in `data`, as `Policy.parse` does."""
    try:
        return RULES.validate_python(data)
    except ValidationError as error:
        raise PolicyInvalid(explain(error)) from None


def check_file(path: Path) -> Policy:
    """Return the policy in a file in JSON, as `Policy.load` does."""
    collecting = gc.isenabled()
    # Ten thousand callers make many objects and no garbage. Collecting would take most of the time.
    gc.disable()
    try:
        return RULES.validate_json(path.read_bytes())
    except OSError:
        raise PolicyInvalid(UNREADABLE.format(path)) from None
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise PolicyInvalid(UNREADABLE.format(path)) from None
        raise PolicyInvalid(explain(error)) from None
    finally:
        if collecting:
            gc.enable()
