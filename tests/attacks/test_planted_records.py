"""The attacker writes into the store.

Has: the password of the Redis server, or the SQLite file; neither the master secret nor a caller's secret.
Does: plants the answer to a victim's next request, swaps or cuts records, or brings back old ones.
Sees: 503, or the victim gets a key pair of their own. No planted record is ever handed out.
"""

from __future__ import annotations

import hashlib
import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from handler.store.redis import PREFIX
from tests.support.function_under_test import MASTER, REST, Answer, FunctionUnderTest, fresh_name
from tests.support.store_servers import HAS_REDIS62, StoreServer, running_redis62, running_valkey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

DAY = 24 * 3600


class OpenStore(Protocol):
    """A store as its administrator sees it."""

    @property
    def url(self) -> str: ...

    def records(self) -> dict[str, str]:
        """Return the records that requests are remembered by."""

    def plant(self, key: str, text: str) -> None:
        """Write a record past the function. It never expires."""


@dataclass
class SqliteFile:
    path: Path

    @property
    def url(self) -> str:
        return f"sqlite:{self.path}"

    def records(self) -> dict[str, str]:
        with closing(sqlite3.connect(self.path)) as file:
            return dict(file.execute("SELECT key, value FROM entry WHERE key LIKE 'claim:%'").fetchall())

    def plant(self, key: str, text: str) -> None:
        with closing(sqlite3.connect(self.path)) as file, file:
            file.execute("REPLACE INTO entry VALUES (?, ?, 9e99)", (key, text))


def as_text(answer: object) -> str:
    assert isinstance(answer, bytes)
    return answer.decode()


@dataclass
class RedisServer:
    server: StoreServer

    @property
    def url(self) -> str:
        return self.server.url

    def records(self) -> dict[str, str]:
        with self.server.admin() as admin:
            found = {as_text(key): as_text(admin.get(key)) for key in admin.keys(f"{PREFIX}claim:*")}
        return {key.removeprefix(PREFIX): text for key, text in found.items()}

    def plant(self, key: str, text: str) -> None:
        with self.server.admin() as admin:
            admin.set(PREFIX + key, text)


@pytest.fixture(scope="module")
def server() -> Iterator[StoreServer]:
    with (running_redis62 if HAS_REDIS62 else running_valkey)() as running:
        yield running


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    if request.param == "sqlite":
        return SqliteFile(tmp_path / "store.db")
    server: StoreServer = request.getfixturevalue("server")
    with server.admin() as admin:
        admin.flushall()
    return RedisServer(server)


@pytest.fixture
def victim(store: OpenStore, emulator: EmulatorProcess, tmp_path: Path) -> Iterator[FunctionUnderTest]:
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", settings={"KEYPAIR_STORE": store.url})
    yield function
    function.delete_key_pairs()


def order(function: FunctionUnderTest, body: Mapping[str, object], caller: str, key: str) -> Answer:
    return function.call(
        function.signed(REST, dict(body), caller, also_signed={"idempotency-key": f'"{key}"'})
    )


def record_of(store: OpenStore, caller: str, key: str) -> tuple[str, str]:
    """Return where the record of a request is, which the attacker can work out, and its text."""
    name = "claim:" + hashlib.sha256(f"{caller}\nkey:{key}".encode()).hexdigest()[:32]
    return name, store.records().get(name, "")


def is_refused(answer: Answer) -> bool:
    return (answer.status, answer.code) == (503, "store-unavailable")


def test_the_answer_of_another_caller(store: OpenStore, victim: FunctionUnderTest) -> None:
    """Swapped: the attacker gets a key pair, and gives it to the victim, whose order is equal."""
    body, key = victim.rest_body(), uuid.uuid4().hex
    assert order(victim, body, "second", key).status == 201
    _, own = record_of(store, "second", key)
    victim.delete_key_pairs()
    store.plant(record_of(store, "demo", key)[0], own)
    assert is_refused(order(victim, body, "demo", key))


def test_a_record_that_the_attacker_wrote(store: OpenStore, victim: FunctionUnderTest) -> None:
    body, key = victim.rest_body(), uuid.uuid4().hex
    assert order(victim, body, "second", key).status == 201
    _, own = record_of(store, "second", key)
    name, _ = record_of(store, "demo", key)
    plain = own[own.index("{") :]
    for text in (plain, f"{uuid.uuid4().hex}{plain}", "", "0", "null", f"{'A' * 43}.9999999999.{plain}"):
        store.plant(name, text)
        assert is_refused(order(victim, body, "demo", key)), text


@pytest.mark.slow
def test_a_record_that_was_changed_or_cut(store: OpenStore, victim: FunctionUnderTest) -> None:
    body, key = victim.rest_body(), uuid.uuid4().hex
    first = order(victim, body, "demo", key)
    name, text = record_of(store, "demo", key)
    for position in range(0, len(text), 97):
        store.plant(name, text[:position] + ("x" if text[position] != "x" else "y") + text[position + 1 :])
        assert is_refused(order(victim, body, "demo", key)), position
        store.plant(name, text[:position])
        assert is_refused(order(victim, body, "demo", key)), position
    store.plant(name, text)
    assert order(victim, body, "demo", key).body == first.body


def test_a_record_that_has_expired(store: OpenStore, victim: FunctionUnderTest) -> None:
    """Old: a saved answer is brought back when its time is over. The request is claimed afresh."""
    body, key = victim.rest_body(), uuid.uuid4().hex
    first = order(victim, body, "demo", key)
    name, text = record_of(store, "demo", key)
    victim.delete_key_pairs()
    victim.clock.time += 2 * DAY
    store.plant(name, text)
    second = order(victim, body, "demo", key)
    assert second.status == 201
    assert second.json["keyId"] != first.json["keyId"]
    assert record_of(store, "demo", key)[1] != text
    assert order(victim, body, "demo", key).body == second.body


def test_a_record_under_another_master_secret(
    store: OpenStore, victim: FunctionUnderTest, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """Another deployment of the same function shares the server."""
    body, key = victim.rest_body(), uuid.uuid4().hex
    settings = {"KEYPAIR_STORE": store.url, "KEYPAIR_MASTER_SECRET": "A" * 43}
    settings["KEYPAIR_PREVIOUS_MASTER_SECRET"] = victim.environ["KEYPAIR_MASTER_SECRET"]
    other = FunctionUnderTest(emulator, tmp_path / "other.json", settings=settings)
    event = other.signed(REST, body, also_signed={"idempotency-key": f'"{key}"'}, master=MASTER)
    assert other.call(event).status == 201
    assert is_refused(order(victim, body, "demo", key))


def test_a_record_from_before_the_rotation(
    store: OpenStore, victim: FunctionUnderTest, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """No attack: records under the previous master secret stay valid."""
    body, key = {"keyName": fresh_name(), **victim.rest_body()}, uuid.uuid4().hex
    first = order(victim, body, "demo", key)
    settings = {"KEYPAIR_STORE": store.url, "KEYPAIR_MASTER_SECRET": "A" * 43}
    settings["KEYPAIR_PREVIOUS_MASTER_SECRET"] = victim.environ["KEYPAIR_MASTER_SECRET"]
    rotated = FunctionUnderTest(emulator, tmp_path / "other.json", settings=settings)
    assert order(rotated, body, "demo", key).body == first.body
