"""JSON, read strictly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from handler.errors import MalformedRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


def parse_json_object(body: bytes) -> dict[str, Json]:
    """Return the JSON object in `body`, read strictly.

    A member that stands twice, NaN and Infinity are refused: two readers of one signed text must not see
    two requests. Raises MalformedRequest.
    """
    try:
        parsed = json.loads(body.decode("utf-8"), object_pairs_hook=_once_each, parse_constant=_refuse)
    except (ValueError, RecursionError):  # RecursionError: nested deeper than the interpreter reads
        raise MalformedRequest("json") from None
    if not isinstance(parsed, dict):
        raise MalformedRequest("json-object")
    return parsed


def _once_each(pairs: Iterable[tuple[str, Json]]) -> dict[str, Json]:
    members: dict[str, Json] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError
        members[name] = value
    return members


def _refuse(_constant: str) -> NoReturn:
    raise ValueError
