"""Explains to the operator what is wrong with a policy: the key path at fault and what to write there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from handler.policy.model import RULE, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError


def explain(error: ValidationError) -> str:
    """Return one line for each problem of a policy."""
    return "\n".join(_lines(error))


def _lines(error: ValidationError) -> Iterator[str]:
    problems = error.errors()
    for problem in problems:
        location = problem["loc"]
        # pydantic reports a list with a bad item as too short as well.
        if any(other["loc"][: len(location)] == location != other["loc"] for other in problems):
            continue
        path = ".".join(str(part) for part in location if part != "[key]") or "the file"
        text = problem["msg"] if problem["type"] == RULE else _advice(location, problem["type"])
        yield f"{path}: {text}"


def _advice(location: tuple[int | str, ...], kind: str) -> str:
    table, key = _table_and_key(location)
    keys = _keys(table)
    if kind == "unexpected_keyword_argument":
        return f"unknown key; write one of {', '.join(keys)}"
    if key == "[key]":
        return "not a valid id or name; use letters, digits, '_', '-' and '.', 64 at most"
    problem = "missing" if kind == "missing" else "malformed"
    described = _description(keys[key]) if key in keys else "a policy with [callers.NAME] tables"
    return f"{problem}; write {described}"


def _table_and_key(location: tuple[int | str, ...]) -> tuple[type, str]:
    """Return the class of the table that holds the key at fault, and the name of that key."""
    table: type = Policy
    rest = [str(part) for part in location]
    while rest and rest[0] in (keys := _keys(table)):
        annotation = get_args(keys[rest[0]])[0]
        # Several tables have a name or a position each: TABLE.NAME.KEY. A single one has not: TABLE.KEY.
        steps = 2 if get_origin(annotation) in (Mapping, dict, tuple) else 1
        found = _table_in(annotation)
        if found is None or len(rest) <= steps:
            break
        table, rest = found, rest[steps:]
    return table, rest[0] if rest else ""


@lru_cache  # a policy can have thousands of mistakes, and each asks several times
def _keys(table: type) -> dict[str, Any]:
    """Return the keys of a table, each with its annotation: Annotated[TYPE, RULE, ...]."""
    hints = get_type_hints(table, include_extras=True)
    return {key.name: hints[key.name] for key in fields(table)}


def _description(annotation: Any) -> str:  # noqa: ANN401  # a type
    """Return what to write for a key."""
    notes = [note.description for note in get_args(annotation) if isinstance(note, FieldInfo)]
    return next(text for text in notes if text)


def _table_in(annotation: Any) -> type | None:  # noqa: ANN401  # a type
    """Return the class of the table in a type such as `dict[str, Table]` or `Table | None`."""
    if isinstance(annotation, type) and is_dataclass(annotation):
        return annotation
    found = (_table_in(argument) for argument in get_args(annotation))
    return next((table for table in found if table is not None), None)
