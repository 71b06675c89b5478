"""Frozen dataclasses without their cost at each start.

dataclasses writes the source of six methods for each class, and compiles it when the class is defined. Sixty
classes are defined before a cold start has issued its first key pair, which took a seventh of its time. The
methods here are the same for all classes, and read the fields when they are called.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

_Class = TypeVar("_Class", bound=type)

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as dataclass  # noqa: PLC0414  # for mypy, it is the same
else:

    def dataclass(*, frozen: bool) -> Callable[[_Class], _Class]:
        """Return a decorator that does what `dataclasses.dataclass(frozen=True)` does.

        `dataclasses.replace` and pydantic take the classes. Supported are fields with a default or a factory,
        and `repr=False`, `compare=False`. Classes that are not frozen use the standard library's.
        """
        if not frozen:
            raise TypeError("a class that is not frozen takes dataclasses.dataclass")
        return _frozen


@dataclasses.dataclass(frozen=True)
class _Standard:
    """Tells the standard library what the classes made here are like, so that its dataclasses can inherit."""


def _frozen(cls: _Class) -> _Class:
    fields: dict[str, dataclasses.Field[Any]] = {}
    for base in reversed(cls.__mro__[1:]):
        fields |= base.__dict__.get("__dataclass_fields__", {})
    for name, annotation in cls.__dict__.get("__annotations__", {}).items():  # noqa: RUF063  # it would load inspect
        if not annotation.startswith("ClassVar"):
            fields[name] = _field(cls, name, annotation)
    if hasattr(cls, "__post_init__"):
        raise TypeError(f"{cls.__name__}: __post_init__ is not called here; use dataclasses.dataclass")
    for method in (__init__, __repr__, __eq__, __hash__, __setattr__, __delattr__):
        # What the class itself defines stays, as in dataclasses.
        if method.__name__ not in cls.__dict__:
            setattr(cls, method.__name__, method)
    cls.__dataclass_fields__ = fields  # type: ignore[attr-defined]  # as dataclasses do
    cls.__dataclass_params__ = _Standard.__dataclass_params__  # type: ignore[attr-defined]  # as above
    return cls


def _field(cls: type, name: str, annotation: str) -> dataclasses.Field[Any]:
    default = cls.__dict__.get(name, dataclasses.MISSING)
    if isinstance(default, (list, dict, set)):
        raise TypeError(f"{cls.__name__}.{name}: all instances would share this default; use a factory")
    own = isinstance(default, dataclasses.Field)
    found: Any = default if own else dataclasses.field(default=default)
    found.name, found.type, found.kw_only = name, annotation, False
    found._field_type = dataclasses._FIELD  # type: ignore[attr-defined]  # noqa: SLF001  # `replace` asks for it
    if own and found.default is dataclasses.MISSING:
        delattr(cls, name)
    elif own:
        setattr(cls, name, found.default)
    return found  # type: ignore[no-any-return]  # a Field


def __init__(self: Any, *values: object, **named: object) -> None:  # noqa: N807, ANN401  # a method of every class
    fields = self.__dataclass_fields__
    own = self.__dict__  # written directly, because setattr refuses
    own.update(zip(fields, values), **named)  # noqa: B905  # too many values are refused below
    stated = len(values) + len(named)
    if stated == len(fields) and own.keys() == fields.keys():
        return  # nothing is missing, as nearly always: the loop below would only take time
    if len(own) < stated or not own.keys() <= fields.keys():
        raise TypeError(f"{type(self).__name__}: too many values, one given twice, or no such field")
    for name, field in fields.items():
        if name in own:
            continue
        if field.default is not dataclasses.MISSING:
            own[name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            own[name] = field.default_factory()
        else:
            raise TypeError(f"{type(self).__name__}: {name} is missing")


def __repr__(self: Any) -> str:  # noqa: N807, ANN401  # a method of every record
    shown = [
        f"{name}={getattr(self, name)!r}" for name, field in self.__dataclass_fields__.items() if field.repr
    ]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _compared(self: Any) -> tuple[object, ...]:  # noqa: ANN401  # any record
    return tuple(getattr(self, name) for name, field in self.__dataclass_fields__.items() if field.compare)


def __eq__(self: Any, other: object) -> bool:  # noqa: N807, ANN401  # a method of every record
    return _compared(self) == _compared(other) if other.__class__ is self.__class__ else NotImplemented


def __hash__(self: Any) -> int:  # noqa: N807, ANN401  # a method of every record
    return hash(_compared(self))


def __setattr__(_: Any, name: str, _value: object) -> None:  # noqa: N807, ANN401  # a method of every record
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def __delattr__(_: Any, name: str) -> None:  # noqa: N807, ANN401  # a method of every record
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
