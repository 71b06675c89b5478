"""The wheel that `pip install` builds holds the client and nothing of the function."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from tests.support.function_process import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_the_wheel_holds_the_command(tmp_path: Path) -> None:
    """All modules of client/ and the entry point; nothing from handler/, scripts/ or tests/."""
    # Not imported here: setuptools refuses a process that has loaded distutils before it.
    if find_spec("setuptools") is None:
        pytest.skip("setuptools is not here")
    for name in ("client", "handler", "scripts", "tests/support"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    program = "from setuptools import build_meta; build_meta.build_wheel('built')"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)
    [wheel] = (tmp_path / "built").glob("keypair_function-*.whl")
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        [entry_points] = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        commands = archive.read(entry_points).decode()
    expected = {
        str(path.relative_to(tmp_path)) for path in (tmp_path / "client").rglob("*") if path.is_file()
    }
    assert packed == expected
    assert commands.split() == ["[console_scripts]", "keypair", "=", "client.cli:main"]
