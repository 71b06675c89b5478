"""Finds Python 3.10, the newest interpreter that SCF runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOW_TO_GET_ONE = (
    "Python 3.10 is needed and was not found: not in $PYTHON310, not on PATH as python3.10, not in pyenv.\n"
    "Get it by one of\n"
    "  pyenv install 3.10\n"
    "  uv python install 3.10 && export PYTHON310=$(uv python find 3.10)\n"
    "  apt-get install python3.10      (Ubuntu 22.04)"
)

_PROBE = "import sys; print(sys.implementation.name, *sys.version_info[:2], sys.executable)"


def find_python310(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the path of a CPython 3.10 that runs, or None.

    `environment` supplies PYTHON310 (where set, nothing else is tried), PATH, PYENV_ROOT and HOME.
    """
    for candidate in _candidates(environment):
        if executable := _executable_if_310(candidate):
            return executable
    return None


def _candidates(environment: Mapping[str, str]) -> Iterator[str]:
    if chosen := environment.get("PYTHON310"):
        # Somebody who names an interpreter wants that one, and to hear when it does not do.
        yield chosen
        return
    if on_path := shutil.which("python3.10", path=environment.get("PATH", "")):
        yield on_path
    pyenv_root = Path(environment.get("PYENV_ROOT") or Path(environment.get("HOME", "/")) / ".pyenv")
    for home in sorted(pyenv_root.glob("versions/3.10.*"), reverse=True):
        yield str(home / "bin" / "python3.10")


def _executable_if_310(candidate: str) -> Path | None:
    # Asked rather than believed: pyenv puts a python3.10 on PATH that only says 'command not found'.
    try:
        answer = subprocess.run([candidate, "-I", "-c", _PROBE], capture_output=True, text=True, check=False)
    except OSError:
        return None
    name, _, version_and_path = answer.stdout.strip().partition(" ")
    if answer.returncode == 0 and name == "cpython" and version_and_path.startswith("3 10 "):
        return Path(version_and_path.removeprefix("3 10 "))
    return None


if __name__ == "__main__":
    found = find_python310()
    if found is None:
        sys.exit(1)
    print(found)
