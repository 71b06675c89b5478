"""Records of the idempotency ledger, and answers in them, as JSON.

What is read from a store is checked by pydantic. What this function writes needs no check, so a cold start
prepares none.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_Stored = TypeVar("_Stored")
_adapters: dict[type, TypeAdapter[Any]] = {}


def dump(record: object) -> str:
    """Return a record as JSON, with the records in its fields."""
    return json.dumps(record, default=vars, separators=(",", ":"))


def load(kind: type[_Stored], text: str) -> _Stored:
    """Return the record of this kind in `text`; raise pydantic's ValidationError if it holds none."""
    loaded: _Stored = _adapter(kind).validate_json(text)
    return loaded


def _adapter(kind: type) -> TypeAdapter[Any]:
    if kind not in _adapters:
        from pydantic import TypeAdapter  # here, because most first requests read no record

        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
