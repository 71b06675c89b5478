"""Files that appear whole or not at all, readable to their owner alone."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from client.errors import AlreadyExists, LocalFailure
from client.folders import shown
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Iterator


class Busy(Exception):
    """Another process holds the lock."""


def create_private(path: Path, content: bytes) -> None:
    """Write a new file, durable on return; raise FileExistsError and leave it alone if there is one.

    The unfinished file beside it has a fixed name, so that the next attempt removes what a killed one left.
    """
    with changing(path):
        unfinished = partial_file(path)
        _write(unfinished, content)
        try:
            _claim_name(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    _sync_folder(path.parent)


def save_once(path: Path, content: bytes) -> None:
    """Write a new file, unless an earlier run wrote it already. Raises AlreadyExists or LocalFailure."""
    try:
        create_private(path, content)
    except FileExistsError:
        if path.read_bytes() != content:
            raise file_exists(path) from None
    except OSError as error:
        raise LocalFailure(
            tr("{file} cannot be written: {error}", file=shown(path), error=error.strerror),
            tr("Nothing is lost: correct that, or add --save PATH, and run the command again."),
        ) from None


def file_exists(path: Path) -> AlreadyExists:
    """Return the error for a file that is not to be overwritten."""
    return AlreadyExists(
        tr("{file} exists, and is left alone.", file=shown(path)),
        tr("Choose another name, or another place with --save PATH."),
    )


def replace_private(path: Path, content: bytes) -> None:
    """Write a file in place of an older one, durable on return. The caller has a lock, such as `changing`."""
    unfinished = partial_file(path)
    _write(unfinished, content)
    unfinished.replace(path)
    _sync_folder(path.parent)


def partial_file(path: Path) -> Path:
    """Return where `path` is written before it gets its name."""
    return path.with_name(f".{path.name}.keypair-partial")


def remove_partial(path: Path) -> None:
    """Remove what a killed command left unfinished of `path`."""
    with changing(path):
        partial_file(path).unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Delete a file, durably, if there is one."""
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep other commands from writing `path` for the duration of the block; wait for one that does."""
    with locked(path.with_name(f".{path.name}.keypair-lock"), wait=True):
        yield


@contextmanager
def locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock for the duration of the block; the system releases it when the process dies.

    Raises Busy if another process holds it, unless it is to wait.
    """
    while True:
        # O_NOFOLLOW: in a folder of several users somebody may have put a link there.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            _lock(descriptor, wait=wait)
            # The holder before us may have deleted the file between our opening and locking it.
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                break
        except FileNotFoundError:
            pass  # deleted in between the two looks at it
        except OSError as error:
            os.close(descriptor)
            if wait:
                raise
            raise Busy from error
        os.close(descriptor)
    try:
        yield
    finally:
        # Windows does not delete a file that is open, elsewhere it has to go while the lock is held.
        if sys.platform != "win32":
            path.unlink(missing_ok=True)
        os.close(descriptor)
        if sys.platform == "win32":
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    # O_EXCL: nobody can have put a link there in the meantime.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if sys.platform == "win32":
            _restrict_to_owner(path)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _claim_name(unfinished: Path, path: Path) -> None:
    if sys.platform == "win32":
        unfinished.rename(path)  # which never overwrites there
        return
    try:
        # link(2) never overwrites; rename(2) would.
        os.link(unfinished, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links, such as FAT: only here a file that appears at this very moment
        # would be replaced.
        if path.exists():
            raise FileExistsError(path) from None
        unfinished.rename(path)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    with suppress(OSError):  # some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _restrict_to_owner(path: Path) -> None:
    """Give the file to its owner alone; OpenSSH for Windows refuses keys that others may read."""
    owner = os.environ["USERNAME"]
    icacls = Path(os.environ["SYSTEMROOT"]) / "System32" / "icacls.exe"
    command = [str(icacls), str(path), "/inheritance:r", "/grant:r", f"{owner}:F"]
    subprocess.run(command, check=True, capture_output=True)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, *, wait: bool) -> None:
        # LK_LOCK waits for ten seconds.
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, *, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
