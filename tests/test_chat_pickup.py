"""Pick-up links: one reading, for an hour, and a line in the audit log for each try."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from handler.chat.pickup import LIFE, Pickups, file_name_of, id_in
from handler.errors import NotFound, PickedUp, StoreUnavailable
from handler.invocation import Clock
from handler.issuing import IssuedKeyPair, SealedPrivateKey
from handler.store.memory import MemoryStore
from tests.chat_function import CONTEXT
from tests.function_under_test import Answer, FunctionUnderTest, TestClock

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUED = IssuedKeyPair(
    key_id="skey-1a2b3c4d",
    key_name="web_1",
    project_id=7,
    region="ap-guangzhou",
    public_key="ssh-rsa AAAA",
    fingerprint="SHA256:abc",
    created_at="2026-11-24T12:00:00Z",
    expires_at=None,
    sealed_private_key=SealedPrivateKey(
        format="age", recipients=("age1x",), ciphertext="-----BEGIN…\n", open_with="age -d"
    ),
    request_id="r-1",
)
ID = "a" * 42 + "_"


@pytest.fixture
def pickups(function: FunctionUnderTest) -> Pickups:
    return function.application.bot.pickups


def get(function: FunctionUnderTest, path: str, method: str = "GET") -> Answer:
    event = {"httpMethod": method, "path": path, "headers": {"x-scf-remote-addr": "203.0.113.7"}}
    return function.call(event, CONTEXT)


def path_of(link: str) -> str:
    base = "https://keys.example.com"
    assert link.startswith(base)
    return link.removeprefix(base)


def test_a_parcel_is_given_to_the_first_who_asks(function: FunctionUnderTest, pickups: Pickups) -> None:
    path = path_of(pickups.leave("alice", ISSUED))
    assert id_in(path) is not None
    answer = get(function, path)
    assert (answer.status, answer.body) == (200, "-----BEGIN…\n")
    assert answer.headers == {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Disposition": 'attachment; filename="web_1.age"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    second = get(function, path)
    assert (second.status, second.code) == (410, "picked-up")
    first_line, second_line = function.audit_lines()
    known = {
        "door": "pickup", "decision": "replayed", "reason": None, "caller": "alice", "keyName": "web_1",
        "keyId": "skey-1a2b3c4d", "fingerprint": "SHA256:abc", "region": "ap-guangzhou", "projectId": 7,
        "recipients": ["age1x"], "remoteAddress": "203.0.113.7",
    }  # fmt: skip
    assert (
        first_line.items() >= {name: value for name, value in known.items() if name != "recipients"}.items()
    )
    assert first_line["recipients"] == known["recipients"]
    assert (second_line["decision"], second_line["reason"]) == ("refused", "picked-up")


def test_a_parcel_is_there_for_an_hour(function: FunctionUnderTest, pickups: Pickups) -> None:
    first, second = (path_of(pickups.leave("alice", ISSUED)) for _ in range(2))
    assert first != second
    function.clock.time += LIFE - 1
    assert get(function, first).status == 200
    function.clock.time += 1
    assert get(function, second).status == 404
    assert function.audit_lines()[-1]["reason"] == "pickup-unknown"


@pytest.mark.parametrize(
    "path",
    [
        "/pickup/",
        "/pickup",
        "/pickup/a",
        f"/pickup/{ID}/",
        f"/pickup/{ID}a",
        f"/pickup/{ID[:-1]}.",
        "/pickup/%2e",
    ],
)
def test_what_is_no_link(function: FunctionUnderTest, path: str) -> None:
    assert get(function, path).status == 404
    assert function.audit_lines() == []


def test_an_id_that_nobody_was_given(function: FunctionUnderTest) -> None:
    assert get(function, f"/pickup/{ID}").status == 404
    (line,) = function.audit_lines()
    assert (line["door"], line["decision"], line["reason"]) == ("pickup", "refused", "pickup-unknown")


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
def test_other_methods_take_nothing(function: FunctionUnderTest, pickups: Pickups, method: str) -> None:
    path = path_of(pickups.leave("alice", ISSUED))
    answer = get(function, path, method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert get(function, path).status == 200


def test_one_of_many_who_ask_at_once_gets_it() -> None:
    clock = Clock()
    pickups = Pickups(MemoryStore(clock), clock, "")
    for _ in range(20):
        pickup_id = pickups.leave("alice", ISSUED).removeprefix("/pickup/")

        def take(_: int, pickup_id: str = pickup_id) -> bool:
            try:
                pickups.take(pickup_id)
            except PickedUp:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(take, range(8))) == 1


class Interrupted(MemoryStore):
    """A store in which something happens between a reading and a replacement."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.meanwhile: Callable[[], None] = lambda: None

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        self.meanwhile()
        return super().replace(key, expected, value, ttl)


def test_somebody_who_was_faster_by_a_moment() -> None:
    clock = TestClock().clock()
    store = Interrupted(clock)
    pickups = Pickups(store, clock, "", new_id=lambda: ID)
    pickups.leave("alice", ISSUED)

    def faster() -> None:
        store.meanwhile = lambda: None
        pickups.take(ID)

    store.meanwhile = faster
    with pytest.raises(PickedUp):
        pickups.take(ID)


class Forgetful(MemoryStore):
    """Does what it is told, and then its answer is lost, once."""

    loses = True

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        done = super().replace(key, expected, value, ttl)
        if self.loses:
            self.loses = False
            raise StoreUnavailable("lost")
        return done


def test_a_lost_answer_of_the_store_takes_nothing() -> None:
    clock = TestClock().clock()
    pickups = Pickups(Forgetful(clock), clock, "", new_id=lambda: ID)
    pickups.leave("alice", ISSUED)
    with pytest.raises(StoreUnavailable):
        pickups.take(ID)
    assert pickups.take(ID).ciphertext == ISSUED.sealed_private_key.ciphertext


def test_what_could_not_be_written_down_is_not_given(function: FunctionUnderTest, pickups: Pickups) -> None:
    """And it is there for a later try, for as long as it would have been."""
    path = path_of(pickups.leave("alice", ISSUED))

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, f"No space left on device for {len(text)} characters")

    good = function.audit
    function.audit = Full()
    answer = get(function, path)
    assert (answer.status, answer.code) == (503, "audit-unavailable")
    assert ISSUED.sealed_private_key.ciphertext not in answer.body
    function.audit = good
    function.clock.time += LIFE - 1
    assert get(function, path).status == 200


def test_what_is_put_back_too_late_is_gone() -> None:
    clock = TestClock()
    pickups = Pickups(MemoryStore(clock.clock()), clock.clock(), "", new_id=lambda: ID)
    pickups.leave("alice", ISSUED)
    parcel = pickups.take(ID)
    clock.time += LIFE
    pickups.put_back(ID, parcel)
    with pytest.raises(NotFound):
        pickups.take(ID)


def test_a_store_that_gives_nonsense() -> None:
    clock = TestClock().clock()
    store = MemoryStore(clock)
    pickups = Pickups(store, clock, "", new_id=lambda: ID)
    pickups.leave("alice", ISSUED)
    with pytest.raises(StoreUnavailable) as taken:
        pickups.leave("alice", ISSUED)
    assert taken.value.reason == "pickup-id-taken"
    ((key, (_, text)),) = store._entries.items()  # noqa: SLF001  # a look at what is stored
    assert ID not in key + text
    assert json.loads(text)["ciphertext"] == ISSUED.sealed_private_key.ciphertext
    store.replace(key, text, "{}", 60)
    with pytest.raises(StoreUnavailable) as unreadable:
        pickups.take(ID)
    assert unreadable.value.reason == "pickup-unreadable"


@pytest.mark.parametrize(
    ("envelope", "suffix"), [("age", "age"), ("jwe", "jwe"), ("cms", "cms"), ("openpgp", "asc")]
)
def test_the_file_is_named_as_its_command_expects(envelope: str, suffix: str) -> None:
    sealed = ISSUED.sealed_private_key.model_copy(update={"format": envelope})
    changed: dict[str, Any] = {"sealed_private_key": sealed}
    assert file_name_of(ISSUED.model_copy(update=changed)) == f"web_1.{suffix}"
