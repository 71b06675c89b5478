"""JSON from outside, read strictly and the same on every Python version."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from handler.errors import MalformedRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

MAX_DEPTH = 32
"""The maximum nesting depth of objects and arrays, the outermost one included.

A limit of our own (RFC 8259 section 9 allows one): the depth at which Python's parser gives up differs
between its versions, and depends on how full the stack is.
"""

# A string, so that the brackets in it do not count, or one bracket. The closing quote is optional, so the
# pattern never fails once a string has begun: it never backtracks, and the scan takes linear time.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]+|\\.)*"?|[\[\]{}]', re.DOTALL)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def parse_json_object(text: bytes | str) -> dict[str, Json]:
    """Return the JSON object in `text`; bytes are UTF-8.

    Refuses a repeated member, NaN and Infinity: two readers of one signed text must not see two requests.
    Refuses nesting deeper than MAX_DEPTH. Raises MalformedRequest.
    """
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        _refuse_deep_nesting(decoded)
        parsed = json.loads(decoded, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    except ValueError:
        raise MalformedRequest("json") from None
    if not isinstance(parsed, dict):
        raise MalformedRequest("json-object")
    return parsed


def _refuse_deep_nesting(text: str) -> None:
    # Before the parser runs: it recurses, and what it does with deeper input depends on the Python version.
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        depth += _STEPS.get(match[0], 0)
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")


def _without_duplicates(pairs: Iterable[tuple[str, Json]]) -> dict[str, Json]:
    members: dict[str, Json] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError("duplicate member")
        members[name] = value
    return members


def _refuse_constant(_constant: str) -> NoReturn:
    # NaN and Infinity are not JSON (RFC 8259 section 6).
    raise ValueError("not JSON")
