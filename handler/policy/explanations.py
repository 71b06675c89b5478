"""Explains to the operator what is wrong with a policy: the key path at fault and what to write there."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError

UNREADABLE = "{}: not a readable policy in JSON; scripts/build creates one from policy.toml"

_RULE = "rule"


def broken_rule(text: str) -> PydanticCustomError:
    """Return the error for a rule that several keys break together; `text` says how to correct them."""
    return PydanticCustomError(_RULE, text)


def explain(error: ValidationError, root: type[BaseModel]) -> str:
    """Return one line for each problem of a policy that was read as the model `root`."""
    return "\n".join(_lines(error, root))


def _lines(error: ValidationError, root: type[BaseModel]) -> Iterator[str]:
    problems = error.errors()
    for problem in problems:
        location = problem["loc"]
        # pydantic reports a list with a bad item as too short as well.
        if any(other["loc"][: len(location)] == location != other["loc"] for other in problems):
            continue
        path = ".".join(str(part) for part in location if part != "[key]") or "the file"
        text = problem["msg"] if problem["type"] == _RULE else _advice(location, problem["type"], root)
        yield f"{path}: {text}"


def _advice(location: tuple[int | str, ...], kind: str, root: type[BaseModel]) -> str:
    model, key = _table_and_key(location, root)
    if kind == "extra_forbidden":
        return f"unknown key; write one of {', '.join(model.model_fields)}"
    if key == "[key]":
        return "not a valid id or name; use letters, digits, '_', '-' and '.', 64 at most"
    problem = "missing" if kind == "missing" else "malformed"
    field = model.model_fields.get(key)
    return f"{problem}; write {field.description if field else 'a policy with [callers.NAME] tables'}"


def _table_and_key(location: tuple[int | str, ...], root: type[BaseModel]) -> tuple[type[BaseModel], str]:
    """Return the model of the table that holds the key at fault, and the name of that key."""
    model, rest = root, [str(part) for part in location]
    while rest and rest[0] in model.model_fields:
        annotation = model.model_fields[rest[0]].annotation
        # Several tables have a name or a position each: TABLE.NAME.KEY. A single one has not: TABLE.KEY.
        steps = 2 if get_origin(annotation) in (dict, tuple) else 1
        table = _model_in(annotation)
        if table is None or len(rest) <= steps:
            break
        model, rest = table, rest[steps:]
    return model, rest[0] if rest else ""


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model in a type such as `dict[str, Model]` or `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)
