"""The contract of all stores, tested with real processes and servers, and the failures of each store."""

import datetime as dt
import itertools
import os
import sqlite3
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from handler.errors import SettingsInvalid, StoreUnavailable
from handler.scf.invocation import Clock
from handler.settings import Settings
from handler.store import open_store
from handler.store.base import Store
from handler.store.redis import PREFIX, TIMEOUT, RedisStore
from handler.store.sqlite import BUSY_TIMEOUT, SqliteStore
from tests.support.random_cases import examples
from tests.support.store_servers import (
    HAS_REDIS62,
    HAS_VALKEY,
    Reply,
    StoreServer,
    running_redis62,
    running_relay,
    running_valkey,
)

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
PASSWORD = "p@ss/w:rd;=%?#"
ENCODED_PASSWORD = "p%40ss%2Fw%3Ard%3B%3D%25%3F%23"
RUN: dict[str, Callable[[str | None], AbstractContextManager[StoreServer]]] = {
    **({"redis62": running_redis62} if HAS_REDIS62 else {}),
    **({"valkey": running_valkey} if HAS_VALKEY else {}),
}
SHARED = ["sqlite", *RUN]


# --- What the stores are opened on --------------------------------------------------------------------------


class Place:
    """A place for a store whose entries can be aged without waiting."""

    url: str

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def open(self) -> Store:
        return open_store(self.url, Clock(now=lambda: self.now))

    def age(self, seconds: float, *keys: str) -> None:
        """Let `seconds` pass, at least for these keys."""
        del keys
        self.now += seconds


class MemoryPlace(Place):
    url = "memory:"


class SqlitePlace(Place):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.url = f"sqlite:{path}"


class RedisPlace(Place):
    def __init__(self, server: StoreServer) -> None:
        super().__init__()
        self.url = server.url
        self._server = server

    def age(self, seconds: float, *keys: str) -> None:
        with self._server.admin() as admin:
            for key in keys:
                left = admin.pttl(PREFIX + key)
                assert isinstance(left, int)
                if left > 0:
                    admin.pexpire(PREFIX + key, left - int(seconds * 1000))


@dataclass
class Servers:
    """The servers that were started so far. Each runs until the last test."""

    running: dict[str, StoreServer]
    start: Callable[[AbstractContextManager[StoreServer]], StoreServer]

    def get(self, name: str) -> StoreServer:
        if name not in self.running:
            self.running[name] = self.start(RUN[name](None))
        with self.running[name].admin() as admin:
            admin.flushall()
            admin.config_resetstat()
        return self.running[name]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers({}, stack.enter_context)


def place_of(kind: str, servers: Servers, tmp_path: Path) -> Place:
    if kind == "memory":
        return MemoryPlace()
    if kind == "sqlite":
        return SqlitePlace(tmp_path / "a store?.db")
    return RedisPlace(servers.get(kind))


def kinds(*names: str) -> list[object]:
    """Return the kinds of store. A newer Python has another SQLite, and can have Valkey."""
    newer = {"sqlite": [pytest.mark.interpreter], "valkey": [pytest.mark.interpreter]}
    return [pytest.param(name, marks=newer.get(name, ())) for name in names]


@pytest.fixture(params=kinds("memory", *SHARED))
def place(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Place:
    return place_of(request.param, servers, tmp_path)


@pytest.fixture(params=kinds(*SHARED))
def shared(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Place:
    return place_of(request.param, servers, tmp_path)


@pytest.fixture(params=kinds(*RUN))
def server(request: pytest.FixtureRequest, servers: Servers) -> StoreServer:
    return servers.get(request.param)


# --- The contract -------------------------------------------------------------------------------------------


def test_an_added_entry_stays(place: Place) -> None:
    store = place.open()
    assert store.get("k") is None
    assert store.add("k", "first", 60) is True
    assert store.add("k", "second", 60) is False
    assert store.get("k") == "first"
    assert store.get("K") is None


def test_only_the_expected_value_is_replaced(place: Place) -> None:
    store = place.open()
    assert store.replace("k", "", "new", 60) is False
    assert store.get("k") is None
    assert store.add("k", "old", 60)
    assert store.replace("k", "OLD", "new", 60) is False
    assert store.get("k") == "old"
    assert store.replace("k", "old", "new", 60) is True
    assert store.get("k") == "new"
    assert store.replace("k", "old", "newer", 60) is False


@pytest.mark.parametrize(
    "text", ["", "ключ 钥匙 🔑", "a\0b", "line\r\nline", "12", "x" * 100_000], ids=lambda text: repr(text[:8])
)
def test_any_text_is_kept_unchanged(place: Place, text: str) -> None:
    store = place.open()
    assert store.add("k", text, 60)
    assert store.get("k") == text
    assert store.replace("k", text, text + "!", 60)
    assert store.get("k") == text + "!"
    assert store.add(f"key {text}", "v", 60)
    assert store.get(f"key {text}") == "v"


def test_an_entry_expires(place: Place) -> None:
    store = place.open()
    assert store.add("k", "old", 60)
    place.age(50, "k")
    assert store.get("k") == "old"
    assert store.add("k", "new", 60) is False
    place.age(20, "k")
    assert store.get("k") is None
    assert store.replace("k", "old", "new", 60) is False
    assert store.add("k", "new", 60) is True
    assert store.get("k") == "new"


def test_replacing_restarts_the_time_to_live(place: Place) -> None:
    store = place.open()
    assert store.add("k", "old", 60)
    place.age(50, "k")
    assert store.replace("k", "old", "new", 60)
    place.age(50, "k")
    assert store.get("k") == "new"
    place.age(20, "k")
    assert store.get("k") is None


def test_another_connection_sees_the_same_entries(shared: Place) -> None:
    one, other = shared.open(), shared.open()
    assert one.add("k", "v", 60)
    assert other.add("k", "w", 60) is False
    assert other.replace("k", "v", "w", 60)
    assert one.get("k") == "w"


def test_a_server_expires_an_entry_itself(server: StoreServer) -> None:
    store = RedisStore(server.url)
    assert store.add("k", "v", 0.05)
    with server.admin() as admin:
        assert admin.pttl(f"{PREFIX}k") in range(-2, 51)
    deadline = time.monotonic() + 5
    while store.get("k") is not None:
        assert time.monotonic() < deadline
    assert store.add("k", "v", 0.0001)  # rounded up, because the server refuses zero


KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(["", "1", "2", "ü"])
# Ages are multiples of 100 and times to live are not, so the few seconds of a run do not matter.
TTLS = st.sampled_from([150.0, 350.0])


class Model(RuleBasedStateMachine):
    """The store compared with a dict. Each run has its own keys, because a store cannot be emptied."""

    place: Place
    runs = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.run = next(self.runs)
        self.store = self.place.open()
        self.age = 0.0
        self.entries: dict[str, tuple[float, str]] = {}

    def live(self, key: str) -> str | None:
        ends_at, value = self.entries.get(key, (0.0, ""))
        return value if ends_at > self.age else None

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert self.store.get(f"{self.run}:{key}") == self.live(key)

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def add(self, key: str, value: str, ttl: float) -> None:
        free = self.live(key) is None
        assert self.store.add(f"{self.run}:{key}", value, ttl) is free
        if free:
            self.entries[key] = (self.age + ttl, value)

    @rule(key=KEYS, expected=VALUES, value=VALUES, ttl=TTLS)
    def replace(self, key: str, expected: str, value: str, ttl: float) -> None:
        there = self.live(key) == expected
        assert self.store.replace(f"{self.run}:{key}", expected, value, ttl) is there
        if there:
            self.entries[key] = (self.age + ttl, value)

    @rule(seconds=st.sampled_from([100.0, 200.0]))
    def grow_older(self, seconds: float) -> None:
        self.age += seconds
        self.place.age(seconds, *(f"{self.run}:{key}" for key in "abc"))


def test_any_sequence_of_operations_does_what_a_dict_would(place: Place) -> None:
    machine = type("Machine", (Model,), {"place": place})
    # Some releases of hypothesis have types for it, others have none.
    run: Callable[..., None] = run_state_machine_as_test
    run(
        machine,
        settings=settings(
            max_examples=examples(40),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# --- Many at once -------------------------------------------------------------------------------------------


def work_together(task: str, url: str, count: int, processes: int) -> list[str]:
    """Run the task in several processes that start at the same moment; return their output."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.store_worker", task, url, str(count)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        # No time-out: each operation of a store ends by itself, however busy the machine is.
        return [worker.communicate()[0].strip() for worker in workers]
    finally:
        for worker in workers:
            with worker:
                worker.kill()


@pytest.mark.slow
def test_exactly_one_process_gets_each_key(shared: Place) -> None:
    won = work_together("add", shared.url, 500, 8)
    assert sum(map(int, won)) == 500


@pytest.mark.slow
def test_no_update_is_lost_between_processes(shared: Place) -> None:
    store = open_store(shared.url, Clock())
    assert store.add("counter", "0", 60)
    lost = work_together("increment", shared.url, 100, 4)
    assert store.get("counter") == "400"
    assert sum(map(int, lost)) > 0  # otherwise they never met and the test proved nothing


def test_exactly_one_thread_gets_each_key(place: Place) -> None:
    store = place.open()
    start = threading.Barrier(8)

    def contend(_: int) -> int:
        start.wait(timeout=10)
        return sum(store.add(f"k{number}", "v", 60) for number in range(50))

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(contend, range(8))) == 50


# --- Failures -----------------------------------------------------------------------------------------------


def refused(operation: Callable[[], object]) -> str:
    """Return the reason why the store was unavailable."""
    with pytest.raises(StoreUnavailable) as caught:
        operation()
    return caught.value.reason


def each_refused(store: Store, reason: str) -> None:
    """Assert that no operation mistakes a missing response for a result."""
    assert refused(lambda: store.get("k")) == reason
    assert refused(lambda: store.add("k", "v", 60)) == reason
    assert refused(lambda: store.replace("k", "old", "v", 60)) == reason


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def sqlite_store(sqlite_path: Path) -> SqliteStore:
    return SqliteStore(sqlite_path, Clock())


def test_only_the_owner_can_read_the_sqlite_file(sqlite_path: Path, sqlite_store: SqliteStore) -> None:
    before = os.umask(0)
    try:
        assert sqlite_store.add("k", "v", 60)
        with closing(sqlite3.connect(sqlite_path)) as kept_open:
            kept_open.execute("SELECT * FROM entry").fetchall()
            assert sqlite_store.add("k2", "v", 60)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in sqlite_path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}


def test_sqlite_deletes_expired_entries(sqlite_path: Path) -> None:
    place = SqlitePlace(sqlite_path)
    store = place.open()
    for number in range(150):
        assert store.add(f"old-{number}", "v", 60)
    place.age(100)
    rows = []
    for number in range(2):
        assert store.add(f"new-{number}", "v", 60)
        with closing(sqlite3.connect(sqlite_path)) as connection:
            rows += connection.execute("SELECT count(*) FROM entry").fetchone()
    assert rows == [51, 2]


def test_sqlite_replaces_an_expired_entry_that_is_still_in_the_file(sqlite_path: Path) -> None:
    place = SqlitePlace(sqlite_path)
    store = place.open()
    for number in range(150):
        assert store.add(f"{number:03}", "v", 60)
    place.age(100)
    assert store.add("149", "new", 60)
    assert store.get("149") == "new"


def test_sqlite_without_its_folder(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "folder" / "store.db", Clock())
    each_refused(store, "sqlite-unavailable")
    (tmp_path / "folder").mkdir()
    assert store.add("k", "v", 60)


def test_sqlite_with_a_folder_of_that_name(sqlite_path: Path, sqlite_store: SqliteStore) -> None:
    sqlite_path.mkdir()
    each_refused(sqlite_store, "sqlite-unavailable")
    sqlite_path.rmdir()
    assert sqlite_store.add("k", "v", 60)


def test_sqlite_with_a_corrupt_file(sqlite_path: Path, sqlite_store: SqliteStore) -> None:
    assert sqlite_store.add("k", "v", 60)
    good = sqlite_path.read_bytes()
    sqlite_path.write_bytes(b"This is no database.\n" * 400)
    each_refused(sqlite_store, "sqlite-corrupt")
    sqlite_path.write_bytes(good[:100] + b"\xff" * (len(good) - 100))
    each_refused(sqlite_store, "sqlite-corrupt")
    sqlite_path.write_bytes(good)
    assert sqlite_store.get("k") == "v"


def test_sqlite_with_the_file_of_another_program(sqlite_path: Path, sqlite_store: SqliteStore) -> None:
    with closing(sqlite3.connect(sqlite_path)) as connection:
        connection.execute("CREATE TABLE other (x)")
    each_refused(sqlite_store, "sqlite-unavailable")


@pytest.mark.parametrize(
    ("value", "reason"),
    [("x'6b'", "sqlite-nonsense"), ("CAST(x'ff' AS TEXT)", "sqlite-unavailable")],
    ids=["blob", "not UTF-8"],
)
def test_sqlite_with_nonsense_under_the_key(
    sqlite_path: Path, sqlite_store: SqliteStore, value: str, reason: str
) -> None:
    assert sqlite_store.add("k", "v", 60)
    with closing(sqlite3.connect(sqlite_path)) as connection, connection:
        connection.execute(f"UPDATE entry SET value = {value}")  # noqa: S608  # the lines above
    assert refused(lambda: sqlite_store.get("k")) == reason
    assert sqlite_store.add("k", "w", 60) is False
    assert sqlite_store.replace("k", "v", "w", 60) is False


def test_sqlite_waits_for_a_lock(sqlite_path: Path, sqlite_store: SqliteStore) -> None:
    assert sqlite_store.add("k", "old", 60)
    with closing(sqlite3.connect(sqlite_path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        assert refused(lambda: sqlite_store.add("k2", "v", 60)) == "sqlite-unavailable"
        assert time.monotonic() - begun > BUSY_TIMEOUT * 0.9
        assert sqlite_store.get("k") == "old"  # in WAL mode a writer does not block readers
        holder.execute("ROLLBACK")
    assert sqlite_store.add("k2", "v", 60)


def test_sqlite_waits_on_while_others_commit(sqlite_path: Path, sqlite_store: SqliteStore) -> None:
    assert sqlite_store.add("k", "old", 60)
    time_passes = threading.Event()
    with (
        ThreadPoolExecutor(1) as pool,
        closing(sqlite3.connect(sqlite_path, isolation_level=None)) as holder,
    ):
        holder.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(sqlite_store.add, "k2", "v", 60)
        time_passes.wait(BUSY_TIMEOUT / 2)
        holder.execute("UPDATE entry SET ends_at = ends_at + 1")
        holder.execute("COMMIT")
        holder.execute("BEGIN IMMEDIATE")
        time_passes.wait(BUSY_TIMEOUT)
        holder.execute("ROLLBACK")
        assert waiting.result() is True


def test_sqlite_on_a_full_disk(sqlite_path: Path) -> None:
    (said,) = work_together("fill", f"sqlite:{sqlite_path}", 100, 1)
    assert said == "sqlite-unavailable kept=True again=True"


def test_sqlite_without_write_permission() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (said,) = work_together("without_rights", f"sqlite:{folder}/store.db", 1, 1)
    assert said == "sqlite-unavailable kept=value again=True"


def test_a_package_without_the_client_of_redis_says_how_to_build_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "handler.store.redis")
    monkeypatch.setitem(sys.modules, "redis.connection", None)  # Python then finds no such module
    with pytest.raises(SettingsInvalid, match="scripts/build --with redis"):
        open_store("redis://redis.example.com", Clock())


def test_redis_that_is_down(server: StoreServer) -> None:
    store = RedisStore(server.url)
    assert store.add("k", "v", 60)
    server.kill()
    each_refused(store, "redis-unreachable")
    server.start()
    assert store.add("k", "v", 60)


@pytest.mark.slow
def test_redis_that_is_slow(server: StoreServer) -> None:
    kept, fresh = RedisStore(server.url), RedisStore(server.url)
    assert kept.add("k", "v", 60)
    for store in (kept, fresh):
        with server.stopped():
            # Without a limit it would wait as long as the server is stopped.
            assert refused(lambda: store.add("late", "v", 60)) == "redis-unreachable"  # noqa: B023  # called here
        assert store.get("k") == "v"


def test_redis_that_cuts_idle_connections(server: StoreServer) -> None:
    store = RedisStore(server.url)
    assert store.add("k", "v", 60)
    for number in range(3):
        with server.admin() as admin:
            admin.client_kill_filter(_type="normal", skipme=True)
        assert store.add(f"k{number}", "v", 60)


def test_redis_behind_a_connection_that_died_unnoticed(server: StoreServer) -> None:
    """As after SCF has thawed the instance: nothing announced that the connection is gone."""
    with running_relay(server) as relay:
        store = RedisStore(f"redis://127.0.0.1:{relay.port}")
        assert store.add("k", "v", 60)
        assert relay.connections == 1
        sets = server.calls("set")

        def dead_until_anew(_: bytes, answer: bytes) -> Reply:
            return Reply(b"" if relay.connections == 1 else answer)

        relay.spoil = dead_until_anew
        assert store.add("k2", "v", 60) is True
        assert relay.connections == 2
        assert server.calls("set") == sets + 1


def test_redis_connection_is_kept_while_it_lives(server: StoreServer) -> None:
    with running_relay(server) as relay:
        store = RedisStore(f"redis://127.0.0.1:{relay.port}")
        for number in range(5):
            assert store.add(f"k{number}", "v", 60)
        assert relay.connections == 1


def test_redis_write_with_a_lost_response_is_not_repeated(server: StoreServer) -> None:
    with running_relay(server) as relay:
        store = RedisStore(f"redis://127.0.0.1:{relay.port}")

        def lose_answer_to_set(request: bytes, answer: bytes) -> Reply:
            return Reply(b"", then_cut=True) if b"SET" in request else Reply(answer)

        relay.spoil = lose_answer_to_set
        assert refused(lambda: store.add("k", "v", 60)) == "redis-unreachable"
        assert server.calls("set") == 1
        assert refused(lambda: store.replace("k", "v", "w", 60)) == "redis-unreachable"
        assert server.calls("eval") == 1
        assert store.get("k") == "w"


NONSENSE = {
    "another protocol": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "redis-unreachable"),
    "no number": (b":abc\r\n", "redis-unreachable"),
    "empty line": (b"\r\n", "redis-unreachable"),
    "no length": (b"$x\r\nhello\r\n", "redis-unreachable"),
    "number": (b":7\r\n", "redis-nonsense"),
    "list": (b"*1\r\n$1\r\nv\r\n", "redis-nonsense"),
    "loading": (b"-LOADING Redis is loading the dataset in memory\r\n", "redis-unreachable"),
    "out of memory": (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", "redis-refused"),
    "read only": (b"-READONLY You can't write against a read only replica.\r\n", "redis-refused"),
    "no password": (b"-NOAUTH Authenticator required.\r\n", "redis-refused"),
    "no right": (b"-NOPERM this user has no permissions to run the command\r\n", "redis-refused"),
    "too many": (b"-ERR max number of clients reached\r\n", "redis-unreachable"),
    "cut before the answer": (b"", "redis-unreachable"),
    "cut in the answer": (b"$5\r\nhe", "redis-unreachable"),
    "cut in the length": (b"$5", "redis-unreachable"),
}


@pytest.mark.parametrize(("data", "reason"), NONSENSE.values(), ids=NONSENSE)
def test_redis_that_answers_nonsense(server: StoreServer, data: bytes, reason: str) -> None:
    with running_relay(server) as relay:
        store = RedisStore(f"redis://127.0.0.1:{relay.port}")
        assert store.add("k", "old", 60)

        def spoil(request: bytes, answer: bytes) -> Reply:
            # A complete line leaves the connection open, so that the next operation shows that it is usable.
            return Reply(answer) if b"PING" in request else Reply(data, then_cut=not data.endswith(b"\r\n"))

        relay.spoil = spoil
        each_refused(store, reason)
        relay.spoil = lambda _, answer: Reply(answer)
        assert store.get("k") is not None
        assert store.add("k", "v", 60) is False


def test_redis_is_reconnected_after_a_wrong_ping_response(server: StoreServer) -> None:
    """The rest of an earlier response must not be taken for the response to the next command."""
    with running_relay(server) as relay:
        store = RedisStore(f"redis://127.0.0.1:{relay.port}")

        def answer_twice(request: bytes, answer: bytes) -> Reply:
            return Reply(b"$1\r\nx\r\n" if b"PING" in request and relay.connections == 1 else answer)

        relay.spoil = answer_twice
        assert store.get("k") is None
        assert relay.connections == 2


def test_redis_that_only_reads(server: StoreServer) -> None:
    store = RedisStore(server.url)
    assert store.add("k", "v", 60)
    with server.admin() as admin:
        admin.replicaof("127.0.0.1", "1")
        try:
            assert refused(lambda: store.add("k2", "v", 60)) == "redis-refused"
            assert refused(lambda: store.replace("k", "v", "w", 60)) == "redis-refused"
        finally:
            admin.replicaof("NO", "ONE")
    assert store.replace("k", "v", "w", 60)


def test_redis_that_is_full(server: StoreServer) -> None:
    store = RedisStore(server.url)
    assert store.add("k", "v", 60)
    with server.admin() as admin:
        admin.config_set("maxmemory", "1")
        try:
            assert refused(lambda: store.add("k2", "v", 60)) == "redis-refused"
            assert refused(lambda: store.replace("k", "v", "w", 60)) == "redis-refused"
            assert store.get("k") == "v"
        finally:
            admin.config_set("maxmemory", "0")
    assert store.replace("k", "v", "w", 60)
    assert store.add("k2", "v", 60)


def test_redis_with_something_else_under_the_key(server: StoreServer) -> None:
    store = RedisStore(server.url)
    with server.admin() as admin:
        admin.rpush(f"{PREFIX}list", "v")
        admin.set(f"{PREFIX}bytes", b"\xff\xfe")
    assert refused(lambda: store.get("list")) == "redis-refused"
    assert refused(lambda: store.replace("list", "v", "w", 60)) == "redis-refused"
    assert store.add("list", "v", 60) is False
    assert refused(lambda: store.get("bytes")) == "redis-nonsense"
    assert store.replace("bytes", "v", "w", 60) is False
    assert store.add("bytes", "v", 60) is False


@pytest.mark.parametrize("kind", RUN)
def test_redis_with_a_password(kind: str) -> None:
    with RUN[kind](PASSWORD) as server:
        for secret in ("", ":wrong-password@", "nobody:wrong-password@"):
            each_refused(RedisStore(f"redis://{secret}127.0.0.1:{server.port}"), "redis-refused")
        store = RedisStore(f"redis://:{ENCODED_PASSWORD}@127.0.0.1:{server.port}/3")
        assert store.add("k", "v", 60)
        with server.admin(database=3) as admin:
            assert admin.keys() == [b"keypair-function:k"]
            # The least that an account of its own needs.
            admin.acl_setuser(
                "function",
                enabled=True,
                passwords=["+only-mine"],
                keys=["keypair-function:*"],
                commands=["+ping", "+select", "+get", "+set", "+eval"],
            )
        store = RedisStore(f"redis://function:only-mine@127.0.0.1:{server.port}/3")
        assert store.replace("k", "v", "w", 60)
        assert store.add("k2", "v", 60)
        assert store.get("k") == "w"


def test_redis_password_is_not_shown() -> None:
    url = f"redis://someone:{ENCODED_PASSWORD}@127.0.0.1:1"
    store = RedisStore(url)
    with pytest.raises(StoreUnavailable) as caught:
        store.get("k")
    shown = [repr(store), str(store), str(caught.value), repr(caught.value), caught.value.reason]
    error: BaseException | None = caught.value
    while error:
        shown += [repr(error), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    for text in shown:
        assert PASSWORD not in text
        assert ENCODED_PASSWORD not in text


# --- TLS ----------------------------------------------------------------------------------------------------


MAY_SIGN_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Authority:
    """A certificate authority; `file` is its own certificate."""

    key: ec.EllipticCurvePrivateKey
    name: x509.Name
    file: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        authority = cls(key, subject, folder / f"{name}.pem")
        certificate = (
            authority._builder(subject, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(MAY_SIGN_CERTIFICATES, critical=True)
        )
        authority._write(authority.file, certificate)
        return authority

    def context_for(self, host: str) -> ssl.SSLContext:
        """Return the TLS context of a server with a certificate for `host`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        certificate = self._builder(subject, key).add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False
        )
        file = self.file.with_name(f"{self.file.stem}-{host}.pem")
        self._write(file, certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            # From Python 3.13 on, certificates must have what RFC 5280 section 4.2.1 asks for.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        )

    def _write(
        self, file: Path, certificate: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey | None = None
    ) -> None:
        pem = certificate.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        if key:
            pem += key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        file.write_bytes(pem)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that this process trusts through SSL_CERT_FILE, as a function would."""
    trusted = Authority.make(tmp_path, "trusted")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.file))
    return trusted


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda v: v.name)
def test_redis_over_tls(server: StoreServer, authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.context_for("localhost")
    context.minimum_version = context.maximum_version = version
    with running_relay(server, context) as relay:
        store = RedisStore(f"rediss://localhost:{relay.port}")
        assert store.add("k", "v", 60)
        assert store.replace("k", "v", "w", 60)
        assert store.get("k") == "w"
        assert relay.connections == 1  # a handshake an operation would be felt


def test_redis_over_tls_for_another_host(server: StoreServer, authority: Authority) -> None:
    with running_relay(server, authority.context_for("other.example")) as relay:
        each_refused(RedisStore(f"rediss://localhost:{relay.port}"), "redis-unreachable")


def test_redis_over_tls_of_an_unknown_authority(
    server: StoreServer, authority: Authority, tmp_path: Path
) -> None:
    del authority
    stranger = Authority.make(tmp_path, "stranger")
    with running_relay(server, stranger.context_for("localhost")) as relay:
        each_refused(RedisStore(f"rediss://localhost:{relay.port}"), "redis-unreachable")


def test_redis_without_tls_is_refused_for_rediss(server: StoreServer) -> None:
    assert refused(lambda: RedisStore(f"rediss://127.0.0.1:{server.port}").get("k")) == "redis-unreachable"


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_every_wait_for_redis_is_bounded_and_every_certificate_checked(scheme: str) -> None:
    kwargs = RedisStore(f"{scheme}://cache.example")._pool.connection_kwargs  # noqa: SLF001  # what it connects with
    expected: dict[str, object] = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
    if scheme == "rediss":
        expected |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    assert kwargs.items() >= expected.items()


# --- The setting --------------------------------------------------------------------------------------------


def settings_with(store: str, **more: str) -> Settings:
    environ = {"REGION": "ap-guangzhou", "HOSTS": "h.example", "MASTER_SECRET": "A" * 43, "STORE": store}
    environ |= more
    return Settings.from_environ({f"KEYPAIR_{name}": value for name, value in environ.items()})


@pytest.mark.parametrize(
    "store",
    [
        "memory:",
        "sqlite:/var/lib/key pairs/store.db",
        "rediss://cache.example",
        "redis://localhost",
        "redis://127.0.0.2/1",
        "redis://[::1]:6379",
        "rediss://10.0.0.1:65535/15",
        "rediss://[fd00::1]:6379",
        f"rediss://:{ENCODED_PASSWORD}@cache.example",
        f"rediss://crs-1:{ENCODED_PASSWORD}@cache.example:6379/0",
    ],
)
def test_valid_store_urls(store: str) -> None:
    accepted = settings_with(store)
    assert accepted.store == store
    assert store not in repr(accepted)
    open_store(accepted.store, Clock())


@pytest.mark.parametrize(
    "store",
    [
        "redis://cache.example",
        "redis://10.0.0.1:6379/1",
        "redis://[fd00::1]",
        "redis://:secret@127.0.0.1.example",
        "redis://:secret@localhost.example",
        "redis://localhost@10.0.0.1",
    ],
)
def test_a_redis_server_elsewhere_needs_tls_or_a_plain_permission(store: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        settings_with(store)
    assert str(caught.value) == (
        "KEYPAIR_STORE is redis://, without TLS, to another machine; write rediss://, or set "
        "KEYPAIR_STORE_WITHOUT_TLS=yes"
    )
    assert settings_with(store, STORE_WITHOUT_TLS="yes").store == store
    with pytest.raises(SettingsInvalid, match=r"^KEYPAIR_STORE_WITHOUT_TLS is malformed; it takes yes if"):
        settings_with(store, STORE_WITHOUT_TLS="no")


@pytest.mark.parametrize(
    "store",
    [
        "",
        "memory",
        "memory:secret",
        "sqlite:",
        "sqlite:secret.db",
        "sqlite:/",
        "redis://",
        "redis:secret",
        "redis://secret.example:65536",
        "redis://secret.example:x",
        "redis://secret.example/first",
        "redis://secret.example\n",
        "redis://a:secret@b:secret@c.example",
        "redis://:sec/ret@cache.example",
        "rediss://secret.example?ssl_cert_reqs=none",
        "rediss://secret.example/0?ssl_check_hostname=False",
        "unix:///secret.sock",
        "REDIS://secret.example",
    ],
)
def test_invalid_store_urls(store: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        settings_with(store)
    assert str(caught.value).startswith("KEYPAIR_STORE is malformed; it takes memory: or sqlite:/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "imported"),
    [("memory:", []), ("sqlite:/nowhere/store.db", ["sqlite3"]), ("redis://nowhere.example", ["redis"])],
)
def test_a_cold_start_imports_only_the_chosen_store(url: str, imported: list[str]) -> None:
    program = (
        "import sys; from handler.scf.invocation import Clock; from handler.store import open_store\n"
        "open_store(sys.argv[1], Clock()); print([m for m in ('redis', 'sqlite3') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, url],
        # Measuring coverage would import sqlite3 by itself.
        env={"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{imported}\n"
