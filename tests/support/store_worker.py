"""Tasks for other processes that use a store: `python -m tests.support.store_worker TASK URL COUNT`.

It says `ready`, waits for a line, and prints its result as one line.
"""

import os
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from handler.errors import StoreUnavailable
from handler.scf.invocation import Clock
from handler.store import open_store
from handler.store.base import Store

_NOBODY = 65534


_T = TypeVar("_T")


def patiently(operation: Callable[[], _T]) -> _T:
    """Run an operation, and again where other processes kept the SQLite file locked for too long.

    On a busy machine that happens, and means that they make progress. Nothing was changed then.
    """
    while True:
        try:
            return operation()
        except StoreUnavailable as error:
            if str(error.__cause__) != "database is locked":
                raise


def add(store: Store, count: int) -> int:
    """Return how many of the keys were free."""
    return sum(
        patiently(partial(store.add, f"contended-{number}", str(os.getpid()), 60)) for number in range(count)
    )


def increment(store: Store, count: int) -> int:
    """Increment `count` times; return how often another process was faster."""
    lost = done = 0
    while done < count:
        before = patiently(partial(store.get, "counter"))
        assert before is not None
        if patiently(partial(store.replace, "counter", before, str(int(before) + 1), 60)):
            done += 1
        else:
            lost += 1
    return lost


def fill(store: Store, count: int) -> str:
    """Add entries until files may not grow any more, then allow it again; return what happened."""
    value = "x" * 10_000
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    store.add("first", value, 60)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    added, failed = 0, "nothing"
    try:
        for added in range(count):
            store.add(f"filling-{added}", value, 60)
    except StoreUnavailable as error:
        failed = error.reason
    kept = store.get("first") == value
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    return f"{failed} kept={kept} again={store.add(f'filling-{added}', value, 60)}"


def without_rights(store: Store, _: int) -> str:
    """Use a store that is read-only for this process, then a writable one; return what happened."""
    path = Path(sys.argv[2].removeprefix("sqlite:"))
    store.add("first", "value", 60)
    _set_writable(path, writable=False)
    failed = "nothing"
    try:
        store.add("k", "v", 60)
    except StoreUnavailable as error:
        failed = error.reason
    _set_writable(path, writable=True)
    return f"{failed} kept={store.get('first')} again={store.add('k', 'v', 60)}"


def _set_writable(path: Path, *, writable: bool) -> None:
    # Root may write everything, so the process switches to another user for a while.
    if writable and os.getuid() == 0:
        os.seteuid(0)
    path.chmod(0o644 if writable else 0o444)
    path.parent.chmod(0o755 if writable else 0o555)
    if not writable and os.getuid() == 0:
        os.seteuid(_NOBODY)


if __name__ == "__main__":
    task = {"add": add, "increment": increment, "fill": fill, "without_rights": without_rights}[sys.argv[1]]
    opened = open_store(sys.argv[2], Clock())
    opened.get("warm-up")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(f"{task(opened, int(sys.argv[3]))}\n")
