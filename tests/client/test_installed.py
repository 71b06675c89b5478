"""The command as `pip install .` makes it: a wheel in an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.python310 import find_python310
from tests.support.client_command import Home, credentials, public_half
from tests.support.function_process import ROOT
from tests.support.function_under_test import fresh_name

if TYPE_CHECKING:
    from tests.client.conftest import Served


@pytest.fixture(scope="module", params=["this Python", "the oldest Python"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the command in an environment that has nothing else."""
    python = Path(sys.executable)
    if request.param == "the oldest Python":
        oldest = find_python310()
        if oldest is None or oldest.resolve() == python.resolve():
            pytest.skip("no Python 3.10 here, or it is this one")
        python = oldest
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "client", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, tracked):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([python, "-m", "venv", folder / "environment"], check=True)
    pip = [str(folder / "environment" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*pip, "install", "--quiet", str(source)], env=environment, check=True)
    return folder / "environment" / "bin" / "keypair"


@pytest.mark.slow
def test_the_installed_command_makes_a_key(installed: Path, tmp_path: Path, service: Served) -> None:
    home = Home(tmp_path, credentials(service.process))
    environment = {name: value for name, value in home.variables.items() if name != "PYTHONPATH"}
    name = fresh_name()
    done = subprocess.run(
        [installed, "create", name],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert public_half(home.ssh / name)
    version = subprocess.run(
        [installed, "--version"], env=environment, capture_output=True, text=True, check=True
    )
    (line,) = version.stdout.splitlines()
    assert line.startswith("keypair 0.")
    assert "checkout" not in version.stdout
