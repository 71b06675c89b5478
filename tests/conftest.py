from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.function_under_test import FunctionUnderTest
from tests.support.node_opener import NodeOpener, node_opener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pgp_owners import Gpg


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-fault", action="store_true", help="also run the `exhaustive` tests")
    parser.addoption("--write-transcripts", action="store_true", help="write docs/chat-*.txt anew")


_PROCESS_FIXTURES = {"node", "gpg", "stand_in_process"}
_PROCESS_FOLDERS = {Path(__file__).parent / name for name in ("client", "system")}
_INTERPRETER_FOLDERS = {Path(__file__).parent / name for name in ("api", "scf", "sealing", "stores")}
"""What parses, seals and stores. Their quick tests are `interpreter` tests without a marker."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by fixture and folder for the lanes of `scripts/test`, and leave out what is exhaustive."""
    if not config.getoption("--every-fault"):
        left_out = {item for item in items if item.get_closest_marker("exhaustive")}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if not _PROCESS_FOLDERS.isdisjoint(item.path.parents) or not _PROCESS_FIXTURES.isdisjoint(fixtures):
            item.add_marker("process")
        quick = not any(item.get_closest_marker(name) for name in ("process", "slow", "browser"))
        if quick and not _INTERPRETER_FOLDERS.isdisjoint(item.path.parents):
            item.add_marker("interpreter")


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorProcess]:
    """Give all tests one cloud, without its limit of requests a second."""
    with running_emulator() as process:
        _running.append(process)
        yield process
        # mutmut runs pytest several times in one process.
        _running.remove(process)


_running: list[EmulatorProcess] = []


@pytest.fixture(scope="module", autouse=True)
def empty_account(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Take away what the tests of other modules have left."""
    for process in _running:
        FunctionUnderTest(process, tmp_path_factory.mktemp("empty") / "policy.json").delete_key_pairs()


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[FunctionUnderTest]:
    """Give a test a function of its own: fresh store, audit log and clock, and an empty account."""
    function = FunctionUnderTest(emulator, tmp_path / "policy.json")
    yield function
    function.delete_key_pairs()


@pytest.fixture(scope="module")
def node() -> Iterator[NodeOpener]:
    with node_opener() as opener:
        yield opener


@pytest.fixture(scope="module")
def gpg() -> Iterator[Gpg]:
    from tests.support.pgp_owners import key_ring

    with key_ring() as ring:
        yield ring
