"""`handler.startup.records.dataclass` against the standard library's."""

from __future__ import annotations

import dataclasses
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from handler.startup import records

if TYPE_CHECKING:
    from collections.abc import Callable


def classes(dataclass: Callable[..., Callable[[Any], Any]]) -> list[Any]:
    @dataclass(frozen=True)
    class Base:
        a: int
        b: str = "b"
        kind: ClassVar[str] = "base"

    @dataclass(frozen=True)
    class Derived(Base):
        c: list[int] = field(default_factory=list)
        secret: str = field(default="hidden", repr=False)
        note: str = field(default="", compare=False)

        def double(self) -> int:
            return 2 * self.a

    class Plain(Derived):
        """Adds no field."""

    @dataclass(frozen=True)
    class Quiet(Base):
        def __repr__(self) -> str:
            return "quiet"

    return [Base, Derived, Plain, Quiet]


PAIRS = list(zip(classes(records.dataclass), classes(dataclasses.dataclass), strict=True))


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_instances_are_alike(ours: Any, theirs: Any) -> None:  # noqa: ANN401  # a class made for this test
    for arguments in ({"a": 1}, {"a": 1, "b": "x"}):
        one, other = ours(**arguments), theirs(**arguments)
        assert vars(one) == vars(other)
        assert repr(one) == repr(other)
        assert replace(one, a=7) == ours(7, arguments.get("b", "b"))
        assert replace(one, a=7) != one
        assert one != other
        assert vars(dataclasses.replace(other, a=7)) == vars(replace(one, a=7))
    assert ours(1) == ours(1)
    assert ours.kind == "base"


def test_what_is_not_compared() -> None:
    base, derived, *_ = classes(records.dataclass)
    assert derived(1, note="x") == derived(1, note="y")
    assert hash(base(1)) == hash(base(1)) != hash(base(2))
    assert derived(1).c is not derived(1).c


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, 2, 3, 4, 5, 6), {}), ((1,), {"a": 2}), ((1,), {"unknown": 2})]
)
def test_wrong_arguments(ours: Any, theirs: Any, values: Any, named: Any) -> None:  # noqa: ANN401  # as above
    for kind in (ours, theirs):
        with pytest.raises(TypeError):
            kind(*values, **named)


@pytest.mark.parametrize("kind", classes(records.dataclass))
def test_instances_are_frozen(kind: Any) -> None:  # noqa: ANN401  # as above
    one = kind(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.a = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.a
    assert one.a == 1


def test_a_dataclass_of_the_standard_library_can_inherit() -> None:
    base = classes(records.dataclass)[1]

    @dataclasses.dataclass(frozen=True)
    class Inherited(base):  # type: ignore[misc, valid-type]  # a class made for this test
        more: int = 5

    assert Inherited(1, more=6) == Inherited(1, more=6) != Inherited(1)
    one: Any = Inherited(1)
    assert replace(one, a=2).a == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.a = 2


def test_what_it_does_not_do_is_refused_when_the_class_is_defined() -> None:
    decorate: Any = records.dataclass
    with pytest.raises(TypeError, match="not frozen"):
        decorate(frozen=False)

    class Shared:
        items: list[int] = []  # noqa: RUF012  # the mistake

    class Checked:
        a: int

        def __post_init__(self) -> None:
            """Check nothing."""

    for kind, said in (Shared, "use a factory"), (Checked, "__post_init__"):
        with pytest.raises(TypeError, match=said):
            decorate(frozen=True)(kind)
