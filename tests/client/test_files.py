"""Two commands at once, which write the same file: neither undoes nor claims what the other one did."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from client.errors import AlreadyExists
from client.files import save_once
from client.profiles import ProfileFile
from client.secret_store import FileStore
from client.ssh_config import SshConfig, parse_host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 25
BOTH = ("one", "two")


def at_once(write: Callable[[str], object]) -> list[object]:
    """Call `write` with both names at the same moment; return what each returned."""
    start = threading.Barrier(2)

    def begin(name: str) -> object:
        start.wait()
        return write(name)

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(begin, BOTH))


def test_one_of_two_keys_for_the_same_file_is_saved_and_the_other_one_knows(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        path = tmp_path / str(number)

        def save(name: str, path: Path = path) -> bool:
            try:
                save_once(path, name.encode() * 1000)
            except AlreadyExists:
                return False
            return True

        saved = at_once(save)
        assert sorted(saved, key=str) == [False, True]
        assert path.read_bytes() == BOTH[saved.index(True)].encode() * 1000
    assert len(list(tmp_path.iterdir())) == ROUNDS


def secrets(folder: Path) -> tuple[Callable[[str], object], Callable[[], object]]:
    store = FileStore(folder / "secrets.json")
    return lambda name: store.set(name, "secret"), lambda: [name for name in BOTH if store.get(name)]


def profiles(folder: Path) -> tuple[Callable[[str], object], Callable[[], object]]:
    path = folder / "config.toml"
    return (
        lambda name: ProfileFile.read(path).set(name, "region", "ap-guangzhou"),
        lambda: sorted(ProfileFile.read(path).names()),
    )


def hosts(folder: Path) -> tuple[Callable[[str], object], Callable[[], object]]:
    config = SshConfig(folder)
    host = parse_host("root@127.0.0.1")
    return (
        lambda name: config.add(name, host, folder / name),
        lambda: [name for name in BOTH if f"Host {name}\n" in config.file.read_text()],
    )


@pytest.mark.parametrize("kind", [secrets, profiles, hosts])
def test_two_changes_of_the_same_file_are_both_kept(
    tmp_path: Path, kind: Callable[[Path], tuple[Callable[[str], object], Callable[[], object]]]
) -> None:
    for number in range(ROUNDS):
        write, kept = kind(tmp_path / str(number))
        at_once(write)
        assert kept() == list(BOTH)
    assert not list(tmp_path.rglob("*.keypair-*"))
