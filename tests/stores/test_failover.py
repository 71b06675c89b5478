"""A Redis server that has become a replica: imitated for single commands, and real, under load."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from handler.errors import StoreUnavailable
from handler.scf.invocation import DEFAULT_TIME_LIMIT
from handler.store.redis import RedisStore
from tests.support.chat_function import TrueClock
from tests.support.function_under_test import REST, Answer, FunctionUnderTest
from tests.support.store_servers import (
    HAS_REDIS62,
    HAS_VALKEY,
    Reply,
    StoreServer,
    running_redis62,
    running_relay,
    running_valkey,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.store_servers import Relay, RunServer

pytestmark = pytest.mark.process

KINDS = [
    pytest.param(run, id=name)
    for name, run, has in (("redis62", running_redis62, HAS_REDIS62), ("valkey", running_valkey, HAS_VALKEY))
    if has
]
EXCHANGES, ORDERS = 4, 6
"""With three clients, fewer key pairs than an account may have."""
GIVE_UP = 60.0
running_any = running_redis62 if HAS_REDIS62 else running_valkey


@pytest.mark.parametrize(
    "error",
    [
        "READONLY replica",
        "LOADING dataset",
        "MOVED 1 127.0.0.1:1",
        "MASTERDOWN link",
        "ERR script: -READONLY",
    ],
)
def test_the_first_connection_leads_to_the_old_server(error: str) -> None:
    with running_any() as server, running_relay(server) as relay:

        def spoil(request: bytes, answer: bytes) -> Reply:
            old = relay.connections == 1 and b"SET" in request
            return Reply(f"-{error}\r\n".encode() if old else answer)

        relay.spoil = spoil
        store = RedisStore(f"redis://127.0.0.1:{relay.port}")
        assert store.get("k") is None  # the connection is older than the failover
        store.add("k", "value", 60)  # behind the relay the first SET was executed, unlike on a replica
        assert relay.connections == 2
        assert store.get("k") == "value"


def test_a_server_that_stays_a_replica() -> None:
    with running_any() as server, running_relay(server) as relay:
        relay.spoil = lambda request, answer: Reply(b"-READONLY x\r\n" if b"SET" in request else answer)
        with pytest.raises(StoreUnavailable):
            RedisStore(f"redis://127.0.0.1:{relay.port}").add("k", "v", 60)
        assert relay.connections == 2


def test_a_response_that_fits_no_command() -> None:
    """It is another command's, perhaps. A read is repeated; what a write did is unknown."""
    with running_any() as server, running_relay(server) as relay:

        def spoil(request: bytes, answer: bytes) -> Reply:
            return Reply(b":7\r\n" if relay.connections % 2 and b"PING" not in request else answer)

        relay.spoil = spoil
        store = RedisStore(f"redis://127.0.0.1:{relay.port}")
        assert store.get("k") is None
        assert relay.connections == 2
        relay.connections = 3
        with pytest.raises(StoreUnavailable):
            store.add("k", "v", 60)
        assert store.get("k") == "v"
        assert relay.connections == 4


def ask(server: StoreServer, *command: str | int) -> Any:  # noqa: ANN401  # whatever it answers
    with server.admin() as admin:
        return admin.execute_command(*command)  # type: ignore[no-untyped-call]  # it has no types


@dataclass
class Pair:
    """A primary and its replica, behind one address that leads to the primary, as in a managed service."""

    primary: StoreServer
    replica: StoreServer
    relay: Relay

    def exchange_roles(self) -> None:
        """Let the replica take over. Connections that exist lead to the old primary, which lives on."""
        # It waits until the replica has everything, and is a replica itself afterwards.
        ask(self.primary, "FAILOVER", "TO", "127.0.0.1", self.replica.port)
        until(lambda: ask(self.replica, "ROLE")[0] == b"master")
        self.relay.target = self.replica.port
        self.primary, self.replica = self.replica, self.primary
        until(self._replicates)

    def connect(self) -> None:
        ask(self.replica, "REPLICAOF", "127.0.0.1", self.primary.port)
        until(self._replicates)

    def _replicates(self) -> bool:
        with self.replica.admin() as admin:
            found: dict[str, str] = admin.info("replication")
        return (found["role"], found.get("master_link_status")) == ("slave", "up")


def until(happened: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < ends_at
        time.sleep(0.01)  # another process can only be asked again


@contextmanager
def running_pair(run: RunServer) -> Iterator[Pair]:
    with run() as primary, run() as replica, running_relay(primary) as relay:
        pair = Pair(primary, replica, relay)
        pair.connect()
        yield pair


@dataclass
class Client:
    """An instance with requests one after another, each repeated until it succeeds."""

    name: str
    function: FunctionUnderTest
    answers: list[Answer] = field(default_factory=list)
    records: dict[str, str] = field(default_factory=dict)

    def load(self, other: Future[None]) -> None:
        """Order key pairs, then write records, until `other` is done; then nothing fails any more."""
        for _ in range(ORDERS):
            self._order()
        while not other.done():
            self._write()
        self._order(failing=())

    def _order(self, failing: Collection[int] = (409, 503, 504)) -> None:
        key, body, began = f"{self.name}-{len(self.answers)}", self.function.rest_body(), time.monotonic()
        while (answer := self._ask(key, body)).status != 201:
            # 504: the store failed after the key pair was created. The next try settles it.
            assert answer.status in failing, answer.body
            assert time.monotonic() - began < GIVE_UP
        self.answers.append(answer)
        assert self._ask(key, body).body == answer.body

    def _ask(self, key: str, body: dict[str, object]) -> Answer:
        event = self.function.signed(REST, body, also_signed={"idempotency-key": f'"{key}"'})
        return self.function.call(event, {"time_limit_in_ms": int(DEFAULT_TIME_LIMIT * 1000)})

    def _write(self) -> None:
        key = f"{self.name}-{len(self.records)}"
        store, began = self.function.services.store, time.monotonic()
        while True:
            with suppress(StoreUnavailable):
                # Of a try without an answer nobody knows whether it succeeded.
                if store.add(key, "first", 600) or store.get(key) == "first":
                    break
            assert time.monotonic() - began < GIVE_UP
        self.records[key] = "first"


@pytest.mark.slow
@pytest.mark.parametrize("run", KINDS)
def test_roles_are_exchanged_under_load(run: RunServer, emulator: EmulatorProcess, tmp_path: Path) -> None:
    with running_pair(run) as pair:
        settings = {"KEYPAIR_STORE": f"redis://127.0.0.1:{pair.relay.port}"}
        clients = [
            Client(
                name,
                FunctionUnderTest(emulator, tmp_path / f"{name}.json", settings=settings, clock=TrueClock()),
            )
            for name in ("one", "two", "three")
        ]
        with ThreadPoolExecutor() as threads:
            for _ in range(EXCHANGES):
                exchanged = threads.submit(pair.exchange_roles)
                loads = [threads.submit(client.load, exchanged) for client in clients]
                for done in (exchanged, *loads):
                    done.result()
        for client in clients:
            store = client.function.services.store
            assert all(store.get(key) == value for key, value in client.records.items())
        # No key pair was lost and none is left over.
        given = {answer.json["keyId"] for client in clients for answer in client.answers}
        assert {key_pair["KeyId"] for key_pair in emulator.key_pairs()} == given
        assert len(given) == sum(len(client.answers) for client in clients)
        clients[0].function.delete_key_pairs()
