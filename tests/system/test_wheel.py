"""The wheel that `pip install` builds holds all of handler/."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from tests.support.function_process import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_the_wheel_holds_the_whole_package(tmp_path: Path) -> None:
    """Modules, the OpenAPI description and the web page; nothing from scripts/ or tests/."""
    pytest.importorskip("setuptools")
    for name in ("handler", "scripts", "tests/support"):
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
    expected = {
        str(path.relative_to(tmp_path)) for path in (tmp_path / "handler").rglob("*") if path.is_file()
    }
    assert packed == expected
