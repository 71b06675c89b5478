"""Finds the programs that the client starts: on PATH, and on Windows nowhere else."""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

WINDOWS = "win32"


def find_program(name: str, *, platform: str = sys.platform, path: str | None = None) -> str | None:
    """Return where a program is on PATH, None where it is not."""
    if platform != WINDOWS:
        return shutil.which(name, path=path)
    # SECURITY BOUNDARY: on Windows shutil.which and CreateProcess look in the current folder before PATH.
    # That may hold somebody else's program, an ssh-add.exe in an unpacked archive, which would get the key.
    file = name if name.lower().endswith(".exe") else f"{name}.exe"
    for folder in (os.environ["PATH"] if path is None else path).split(";"):
        place = Path(folder.strip('"'))
        if place.is_absolute() and (place / file).is_file():
            return str(place / file)
    return None


def split_command(command: str, *, platform: str = sys.platform, path: str | None = None) -> list[str] | str:
    """Return a command of the user's as `subprocess` takes it. Raises FileNotFoundError or ValueError."""
    if platform != WINDOWS:
        return shlex.split(command)
    program = re.match(r'"[^"]*"|\S+', command.strip())
    name = program[0].strip('"') if program else ""
    if re.search(r"[\\/:]", name):
        return command
    found = find_program(name, platform=platform, path=path)
    if found is None or program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return f'"{found}"' + command.strip()[program.end() :]
