"""What the function's answers must hold. The client neither shows nor keeps any other answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, TypeGuard

from client.envelopes import SUFFIXES
from client.errors import ServiceFailed
from client.language import tr

Shape = Callable[[object], bool] | Sequence["Shape"] | Mapping[str, "Shape"]
"""What a value has to be: a check, a list whose only member all items match, or an object's members."""


def has_shape(value: object, shape: Shape) -> TypeGuard[Mapping[str, Any]]:
    """Tell whether a value of JSON has a shape. Members that the shape does not name may be anything."""
    if isinstance(shape, Mapping):
        return isinstance(value, dict) and all(
            has_shape(value.get(name), member) for name, member in shape.items()
        )
    if isinstance(shape, Sequence):
        return isinstance(value, list) and all(has_shape(item, shape[0]) for item in value)
    return shape(value)


def incomplete() -> ServiceFailed:
    """Return the error for an answer without its shape."""
    return ServiceFailed(
        tr("The answer of the function is incomplete."), tr("Tell its operator, with the request id.")
    )


def moment(text: str) -> datetime:
    """Return a time as the function writes it: RFC 3339, in UTC. Raises ValueError."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _line(value: object) -> bool:
    # SECURITY BOUNDARY: after a line end, a text could pass for a line of this program.
    return isinstance(value, str) and value.isprintable()


def _moment(value: object) -> bool:
    try:
        return isinstance(value, str) and moment(value) is not None
    except ValueError:
        return False


def _yes_or_no(value: object) -> bool:
    return isinstance(value, bool)


def _lines_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(_line(name) and _line(text) for name, text in value.items())


def _numbers(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, int) for item in value)


def _format(value: object) -> bool:
    return isinstance(value, str) and value in SUFFIXES


def _or_nothing(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


IMPORTED: Shape = {"keyId": _line, "region": _line}
ISSUED: Shape = {
    "keyId": _line,
    "keyName": _line,
    "region": _line,
    "publicKey": _text,
    "fingerprint": _line,
    "expiresAt": _or_nothing(_moment),
    "sealedPrivateKey": {"format": _format, "recipients": [_line], "ciphertext": _text},
}
PAGE: Shape = {
    "keyPairs": [
        {
            "keyId": _line,
            "keyName": _line,
            "region": _line,
            "caller": _line,
            "publicKey": _or_nothing(_line),
            "fingerprint": _or_nothing(_line),
            "createdAt": _or_nothing(_moment),
            "expiresAt": _or_nothing(_moment),
            "expiresSoon": _yes_or_no,
            "instanceIds": [_line],
            "tags": _lines_by_name,
        }
    ],
    "next": _or_nothing(_line),
}
GRANTED: Shape = {
    "caller": _line,
    "actions": _or_nothing(lambda value: has_shape(value, [_line])),
    "listRegions": _or_nothing(lambda value: has_shape(value, [_line])),
    "grants": [
        {
            "names": [_line],
            "regions": [_line],
            "projects": _or_nothing(_numbers),
            "forcedTags": _or_nothing(_lines_by_name),
            "requiredTags": _or_nothing(_lines_by_name),
            "optionalTags": _or_nothing(_lines_by_name),
            "longestExpiry": _or_nothing(_line),
        }
    ],
}
PROBLEM: Shape = {"errors": [{"field": _line}]}
