"""Records of the idempotency ledger, and answers in them, as JSON.

What is read from a store is checked by pydantic. What this function writes needs no check, so a cold start
prepares none.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

_Stored = TypeVar("_Stored")


def dump(record: object) -> str:
    """Return a record as JSON, with the records in its fields."""
    return json.dumps(record, default=vars)


def load(kind: type[_Stored], text: str) -> _Stored:
    """Return the record of this kind in `text`; raise pydantic's ValidationError if it holds none."""
    loaded: _Stored = _rules(kind).validate_json(text)
    return loaded


_rules: Any = lru_cache(TypeAdapter)
