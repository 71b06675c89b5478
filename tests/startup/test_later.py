"""A placeholder is the module as soon as somebody uses it, and nothing before."""

from __future__ import annotations

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from handler.startup.later import Placeholder, begin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "used_by_nobody_else"
SIGNALS = SimpleNamespace()
"""How the module and its test wait for each other."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that modules are found in; what they leave behind is removed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_module_is_loaded_when_it_is_used(folder: Path) -> None:
    (folder / f"{NAME}.py").write_text("VALUE = 7\n")
    begin([NAME])
    module = importlib.import_module(NAME)
    assert isinstance(module, Placeholder)
    assert module.VALUE == 7
    assert not isinstance(sys.modules[NAME], Placeholder)
    assert vars(sys.modules[NAME])["VALUE"] == 7
    # Whoever has imported it before keeps the placeholder.
    assert module.VALUE == 7
    with pytest.raises(AttributeError, match=rf"module '{NAME}' has no attribute 'OTHER'"):
        _ = module.OTHER


def test_a_name_of_it_can_be_imported(folder: Path) -> None:
    (folder / f"{NAME}.py").write_text("VALUE = 7\n")
    begin([NAME])
    namespace: dict[str, object] = {}
    exec(f"from {NAME} import VALUE", namespace)  # noqa: S102  # an import of a module that is made here
    assert namespace["VALUE"] == 7


def test_a_submodule_is_an_attribute_of_its_package(folder: Path) -> None:
    (folder / NAME).mkdir()
    (folder / NAME / "__init__.py").write_text("")
    (folder / NAME / "part.py").write_text("VALUE = 7\n")
    begin([f"{NAME}.part"])
    package = importlib.import_module(NAME)
    assert isinstance(package.part, Placeholder)
    assert package.part.VALUE == 7
    assert not isinstance(package.part, Placeholder)


def test_what_is_loaded_already_stays() -> None:
    begin(["json"])
    assert not isinstance(sys.modules["json"], Placeholder)


def test_what_is_not_there_is_missed_when_it_is_used(folder: Path) -> None:
    del folder
    begin([NAME])
    module = importlib.import_module(NAME)
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            _ = module.VALUE


def test_two_threads_see_the_whole_module(folder: Path) -> None:
    (folder / f"{NAME}.py").write_text(
        "from tests.startup.test_later import SIGNALS\n"
        "SIGNALS.loading.set()\n"
        "SIGNALS.go_on.wait(60)\n"
        "VALUE = 7\n"
    )
    SIGNALS.loading, SIGNALS.go_on = Event(), Event()
    begin([NAME])
    module = importlib.import_module(NAME)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: module.VALUE)
        assert SIGNALS.loading.wait(60)
        # The module is half loaded. Who uses it now has to wait.
        second = pool.submit(lambda: module.VALUE)
        SIGNALS.go_on.set()
        assert (first.result(60), second.result(60)) == (7, 7)
