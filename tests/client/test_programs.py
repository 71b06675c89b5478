"""Programs are taken from PATH; on Windows, where others look there first, not from the current folder."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from client.programs import find_program, split_command
from tests.support.function_process import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lay a program of the same name into the current folder and into one of PATH."""
    for folder in ("here", "on path"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ssh-add.exe").touch()
    (tmp_path / "here" / "gpg.exe").touch()
    monkeypatch.chdir(tmp_path / "here")
    return f';.;"{tmp_path / "on path"}"'


def test_a_program_in_the_current_folder_is_not_run_on_windows(tmp_path: Path, path: str) -> None:
    wanted = str(tmp_path / "on path" / "ssh-add.exe")
    assert find_program("ssh-add", platform="win32", path=path) == wanted
    assert find_program("gpg", platform="win32", path=path) is None
    # Who has the folder on PATH wants it.
    assert find_program("gpg", platform="win32", path=str(tmp_path / "here")) is not None


def test_a_token_command_is_not_taken_from_the_current_folder_on_windows(tmp_path: Path, path: str) -> None:
    wanted = f'"{tmp_path / "on path" / "ssh-add.exe"}"'
    assert split_command('ssh-add.exe "a b" c', platform="win32", path=path) == f'{wanted} "a b" c'
    with pytest.raises(FileNotFoundError):
        split_command("gpg --token", platform="win32", path=path)
    assert split_command(r".\gpg --token", platform="win32", path=path) == r".\gpg --token"
    assert split_command(shlex.join(["a", "b c"]), platform="linux") == ["a", "b c"]


def test_nothing_else_looks_programs_up() -> None:
    """Every process gets the full path of its program from here, or from a folder of the system."""
    for file in (ROOT / "client").rglob("*.py"):
        if file.name != "programs.py":
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"shutil\.which|subprocess\.\w+\(\s*\[\s*f?[\"']", text), file
