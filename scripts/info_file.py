"""The JSON file in which a started process says where to reach it."""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path


class NotStarted(Exception):
    """The process ended, or took too long, before it wrote its info file."""


def write_info(path: Path, info: Mapping[str, object]) -> None:
    """Write the file atomically, readable only to its owner."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    # O_EXCL: what somebody else puts there meanwhile, a link or a file of their own, is not written to.
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(info, file)
    unfinished.replace(path)


def read_info(path: Path) -> dict[str, object]:
    """Return what the file says; nothing if it is not there or unreadable."""
    try:
        info: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return info


def await_info(process: subprocess.Popen[bytes], path: Path, *, seconds: float) -> dict[str, object]:
    """Wait until `process` has written its info file. Raises NotStarted."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            if time.monotonic() < deadline:
                continue
            raise NotStarted(f"not ready after {seconds:g} s") from None
        raise NotStarted(f"ended with status {process.returncode} before it was ready")
    info: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return info
