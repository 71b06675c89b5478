"""A placeholder stands for its module until somebody reads a name of it, whichever thread that is."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from handler.startup.lazy_modules import NodeVisitor, Placeholder, defer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
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
    defer([NAME])
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
    defer([NAME])
    namespace: dict[str, object] = {}
    exec(f"from {NAME} import VALUE", namespace)  # noqa: S102  # an import of a module that is made here
    assert namespace["VALUE"] == 7


def test_a_submodule_is_an_attribute_of_its_package(folder: Path) -> None:
    (folder / NAME).mkdir()
    (folder / NAME / "__init__.py").write_text("")
    (folder / NAME / "part.py").write_text("VALUE = 7\n")
    defer([f"{NAME}.part"])
    package = importlib.import_module(NAME)
    assert isinstance(package.part, Placeholder)
    assert package.part.VALUE == 7
    assert not isinstance(package.part, Placeholder)


def test_the_visitor_visits_as_that_of_ast() -> None:
    class Names(NodeVisitor):
        def visit_Name(self, node: ast.Name) -> None:  # noqa: N802  # the name is of ast
            found.append(node.id)

    found: list[str] = []
    Names().visit(ast.parse("a + b"))
    assert found == ["a", "b"]


def test_a_class_derived_from_a_deferred_one_works() -> None:
    """As those of `inspect`, which finds the source of classes with one on some Pythons."""
    program = (
        "import sys\n"
        "from handler.startup.lazy_modules import Placeholder, defer\n"
        "sys.modules.pop('ast', None)\n"
        "defer(['ast'])\n"
        "import ast, inspect, json\n"
        "class Names(ast.NodeVisitor):\n"
        "    def visit_Name(self, node):\n"
        "        print(node.id)\n"
        "assert isinstance(sys.modules['ast'], Placeholder)\n"
        "assert inspect.getsource(json.JSONDecoder).startswith('class JSONDecoder')\n"
        "Names().visit(ast.parse('a + b'))\n"
        "assert not isinstance(sys.modules['ast'], Placeholder)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\nb\n", "")


def test_what_is_loaded_already_stays() -> None:
    defer(["json"])
    assert not isinstance(sys.modules["json"], Placeholder)


def test_what_is_not_there_is_missed_when_it_is_used(folder: Path) -> None:
    del folder
    defer([NAME])
    module = importlib.import_module(NAME)
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError):
            _ = module.VALUE


def test_two_threads_see_the_whole_module(folder: Path) -> None:
    (folder / f"{NAME}.py").write_text(
        "from tests.startup.test_lazy_modules import SIGNALS\n"
        "SIGNALS.loading.set()\n"
        "SIGNALS.go_on.wait(60)\n"
        "VALUE = 7\n"
    )
    SIGNALS.loading, SIGNALS.go_on = Event(), Event()
    defer([NAME])
    module = importlib.import_module(NAME)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: module.VALUE)
        assert SIGNALS.loading.wait(60)
        # The module is half loaded. Whoever uses it now has to wait.
        second = pool.submit(lambda: module.VALUE)
        SIGNALS.go_on.set()
        assert (first.result(60), second.result(60)) == (7, 7)


def test_threads_that_come_at_once_see_the_whole_module(folder: Path) -> None:
    """None of them takes away what another has just loaded."""
    names = [f"{NAME}_{number}" for number in range(200)]
    for name in names:
        (folder / f"{name}.py").write_text(
            "from tests.startup.test_lazy_modules import SIGNALS\n"
            "SIGNALS.loaded.append(__name__)\n"
            "VALUE = 7\n"
        )
    SIGNALS.loaded = []
    defer(names)
    placeholders = [importlib.import_module(name) for name in names]
    together = Barrier(4)

    def read(_: int) -> list[int]:
        values = []
        for placeholder in placeholders:
            together.wait(60)
            values.append(placeholder.VALUE)
        return values

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(read, range(4))) == [[7] * len(names)] * 4
        assert SIGNALS.loaded == names  # each once
    finally:
        sys.setswitchinterval(interval)
