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
    parser.addoption("--every-fault", action="store_true", help="try all faults with all stores")
    parser.addoption("--write-transcripts", action="store_true", help="write docs/chat-*.txt anew")


_PROCESS_FIXTURES = {"node", "gpg", "stand_in_process"}
_PROCESS_FOLDERS = {Path(__file__).parent / name for name in ("client", "system")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a process, for the lanes of `scripts/test`."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if not _PROCESS_FOLDERS.isdisjoint(item.path.parents) or not _PROCESS_FIXTURES.isdisjoint(fixtures):
            item.add_marker("process")


@pytest.fixture(scope="session")
def emulator() -> Iterator[EmulatorProcess]:
    """Give all tests one cloud, without its limit of requests a second."""
    with running_emulator() as process:
        _running.append(process)
        yield process


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
