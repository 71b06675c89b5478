"""Races for an idempotency record, played step by step."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handler.errors import OutcomeUnknown, RequestInFlight, StoreUnavailable
from handler.issuance.cleanup import is_released
from handler.issuance.idempotency import SCHEMA, FoundRecord, HeldRecord, IdempotencyLedger, State
from handler.issuance.ownership_tags import OwnershipTag
from handler.scf.invocation import Clock
from handler.store.authenticated import AuthenticatedStore
from handler.store.memory import MemoryStore
from tests.support.function_under_test import REST

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.errors import KeyPairFunctionError
    from tests.support.function_under_test import FunctionUnderTest

ORDER = "0" * 64
RECORD_ID = hashlib.sha256(b"demo\nkey").hexdigest()[:32]


class Interrupted(MemoryStore):
    """A store that calls `between[NAME]` before the next operation of that name."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.between: dict[str, Callable[[], object]] = {}

    def get(self, key: str) -> str | None:
        self.between.pop("get", lambda: None)()
        return super().get(key)

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        self.between.pop("replace", lambda: None)()
        return super().replace(key, expected, value, ttl)


@pytest.fixture
def store() -> Interrupted:
    return Interrupted(Clock(now=lambda: 1000.0))


def ledger(store: Interrupted, holder: str, now: float = 1000.0) -> IdempotencyLedger:
    return IdempotencyLedger(store, Clock(now=lambda: now), new_holder=lambda: holder * 32)


def acquire(store: Interrupted, holder: str, now: float = 1000.0) -> HeldRecord:
    record = ledger(store, holder, now).acquire("demo", "key", ORDER, 10)
    assert isinstance(record, HeldRecord)
    return record


def test_a_record_that_expires_between_two_reads_counts_as_in_flight(store: Interrupted) -> None:
    acquire(store, "a")
    store.between["get"] = lambda: store._entries.clear()  # noqa: PLW0108, SLF001  # the dict is replaced, as when the record expires
    with pytest.raises(RequestInFlight):
        acquire(store, "b")


def test_one_of_two_invocations_that_take_over_wins(store: Interrupted) -> None:
    acquire(store, "a")
    store.between["replace"] = lambda: acquire(store, "b", 1011.0)
    with pytest.raises(RequestInFlight):
        acquire(store, "c", 1011.0)


def test_a_holder_whose_record_was_taken_over_cannot_begin(store: Interrupted) -> None:
    slow = acquire(store, "a")
    acquire(store, "b", 1011.0)
    with pytest.raises(StoreUnavailable) as lost:
        slow.begin()
    assert lost.value.reason == "claim-lost"


def test_the_holder_in_a_tag_leads_to_its_record(store: Interrupted) -> None:
    record, records = acquire(store, "a"), ledger(store, "b")
    tag = OwnershipTag("demo", record.holder)
    assert records.maker(tag) is None  # nothing was to be made yet
    record.begin()
    record.finish("{}", "r")
    maker = records.maker(tag)
    assert maker is not None
    assert is_released(maker.record, tag)
    assert records.maker(replace(tag, holder="b" * 32)) is None
    assert not is_released(maker.record, replace(tag, holder="b" * 32))


def test_a_holder_that_its_record_does_not_list_is_nobody(store: Interrupted) -> None:
    record, records = acquire(store, "a"), ledger(store, "b")
    record.begin()
    former = OwnershipTag("demo", "c" * 32, record_id=RECORD_ID)
    assert records.maker(former) is None
    assert records.maker(replace(former, holder=record.holder)) is not None


@pytest.mark.parametrize("damaged", ["{}", None])
def test_an_unreadable_stored_answer_is_not_released(
    function: FunctionUnderTest, damaged: str | None
) -> None:
    event = function.signed(REST, function.rest_body())
    assert function.call(event).status == 201
    store = function.services.issuer.ledger.store
    assert isinstance(store, AuthenticatedStore)
    assert isinstance(store.store, MemoryStore)
    (key,) = [key for key in store.store._entries if key.startswith("claim:")]  # noqa: SLF001  # a look at what is stored
    text = store.get(key) or ""
    assert json.loads(text)["state"] == State.SEALED.value
    # What a defect of an earlier version might have written.
    assert store.replace(key, text, json.dumps(json.loads(text) | {"answer": damaged}), 60)
    function.forget_audit()
    answer = function.call(event)
    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert [(line["decision"], line["reason"]) for line in function.audit_lines()] == [
        ("failed", "answer-unreadable")
    ]


TAKEN: dict[str, object] = {"kind": "error", "code": "InvalidKeyPairName.Duplicate", "after": "before"}


def test_a_name_that_has_become_free_is_tried_again(function: FunctionUnderTest) -> None:
    function.emulator.add_faults(TAKEN)
    assert function.call(function.signed(REST, function.rest_body())).status == 201


def test_a_name_that_stays_taken_is_refused(function: FunctionUnderTest) -> None:
    function.emulator.add_faults({**TAKEN, "times": 3})
    before = function.create_calls()
    answer = function.call(function.signed(REST, function.rest_body()))
    assert (answer.status, answer.code) == (409, "name-taken")
    assert function.create_calls() == before + 3


def test_only_the_answer_of_the_same_finished_request_is_found(store: Interrupted) -> None:
    record, records = acquire(store, "a"), ledger(store, "b")
    assert records.finished("demo", "key", ORDER) is None
    record.begin()
    record.finish("{}", "r")
    assert records.finished("demo", "another", ORDER) is None
    assert records.finished("demo", "key", "1" * 64) is None
    found = records.finished("demo", "key", ORDER)
    assert found is not None
    assert (found.record_id, found.record) == (RECORD_ID, records.find(RECORD_ID))
    # Its key pair was deleted: the request starts again, as it stands in the store.
    assert records.restart(found, 10).holder == "b" * 32
    stored = records.find(RECORD_ID)
    assert stored is not None
    assert (stored.state, stored.lease_ends, stored.former) == (State.CLAIMED, 1010.0, ())


def test_a_withdrawn_record_is_free_at_once(store: Interrupted) -> None:
    record, records = acquire(store, "a"), ledger(store, "b")
    record.begin()
    maker = records.maker(OwnershipTag("demo", record.holder))
    assert maker is not None
    assert records.withdraw(maker)
    withdrawn = records.find(RECORD_ID)
    assert withdrawn is not None
    assert (withdrawn.state, withdrawn.lease_ends) == (State.UNKNOWN, 0.0)
    assert withdrawn.holder == record.holder


def test_a_released_lease_is_over(store: Interrupted) -> None:
    record = acquire(store, "a")
    record.release(State.UNDONE)
    stored = ledger(store, "b").find(RECORD_ID)
    assert stored is not None
    assert (stored.state, stored.lease_ends) == (State.UNDONE, 0.0)


def test_a_finished_record_is_not_withdrawn(store: Interrupted) -> None:
    record, records = acquire(store, "a"), ledger(store, "b")
    record.begin()
    record.finish("{}", "r")
    found = records.find(RECORD_ID)
    assert found is not None
    assert not records.withdraw(FoundRecord(RECORD_ID, found))
    assert records.find(RECORD_ID) == found


class Failing(MemoryStore):
    """A store whose next write of a record fails, before or after it takes effect, and then perhaps more."""

    def __init__(self, clock: Clock, *, stored: bool, error: Exception | None, reads: bool = True) -> None:
        super().__init__(clock)
        self.armed = False
        self._stored = stored
        self._error = error
        self._reads = reads

    def get(self, key: str) -> str | None:
        if self.armed and not self._reads:
            raise StoreUnavailable("down")
        return super().get(key)

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        if not self.armed:
            return super().replace(key, expected, value, ttl)
        if self._stored:
            super().replace(key, expected, value, ttl)
            self._stored = False
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return super().replace(key, expected, value, ttl)


def finishing(store: Failing) -> tuple[HeldRecord, IdempotencyLedger]:
    records = IdempotencyLedger(store, Clock(now=lambda: 1000.0), new_holder=lambda: "a" * 32)
    record = records.acquire("demo", "key", ORDER, 10)
    assert isinstance(record, HeldRecord)
    record.begin()
    store.armed = True
    return record, records


@pytest.mark.parametrize("error", [StoreUnavailable("cut"), ValueError("a defect")])
def test_a_write_that_failed_after_it_took_effect_has_succeeded(error: Exception) -> None:
    record, records = finishing(Failing(Clock(now=lambda: 1000.0), stored=True, error=error))
    record.finish("{}", "r")
    stored = records.find(RECORD_ID)
    assert stored is not None
    assert (stored.state, stored.answer, stored.recipients) == (State.SEALED, "{}", "r")


@pytest.mark.parametrize("error", [StoreUnavailable("cut"), ValueError("a defect")])
def test_a_write_that_failed_before_it_took_effect_is_withdrawn(error: Exception) -> None:
    record, records = finishing(Failing(Clock(now=lambda: 1000.0), stored=False, error=error))
    with pytest.raises(StoreUnavailable) as failed:
        record.finish("{}", "r")
    assert failed.value.reason == "answer-not-stored"
    stored = records.find(RECORD_ID)
    assert stored is not None
    assert (stored.state, stored.answer) == (State.UNKNOWN, None)


@pytest.mark.parametrize("taken", [True, False])
def test_a_write_whose_effect_stays_unclear(taken: bool) -> None:  # noqa: FBT001  # pytest hands it over by name
    store = Failing(Clock(now=lambda: 1000.0), stored=taken, error=StoreUnavailable("cut"), reads=False)
    record, _ = finishing(store)
    with pytest.raises(OutcomeUnknown) as unclear:
        record.finish("{}", "r")
    assert unclear.value.reason == "answer-perhaps-stored"


def test_a_holder_whose_record_was_taken_over_cannot_finish(store: Interrupted) -> None:
    slow = acquire(store, "a")
    slow.begin()
    acquire(store, "b", 1011.0)
    with pytest.raises(StoreUnavailable) as lost:
        slow.finish("{}", "r")
    assert lost.value.reason == "answer-not-stored"


def test_nobody_else_works_on_a_request_until_the_lease_ends(store: Interrupted) -> None:
    record = acquire(store, "a")
    assert not record.unsettled
    with pytest.raises(RequestInFlight):
        acquire(store, "b", 1009.9)
    assert acquire(store, "b", 1010.0).holders == {"a" * 32, "b" * 32}


def test_what_a_holder_began_is_unsettled_for_the_next(store: Interrupted) -> None:
    acquire(store, "a").begin()
    later = acquire(store, "b", 1010.0)
    assert later.unsettled
    later.release(State.UNDONE)
    assert not acquire(store, "c", 1011.0).unsettled


def test_records_name_their_version(store: Interrupted) -> None:
    record, records = acquire(store, "a"), ledger(store, "b")
    (version,) = {json.loads(text)["version"] for _, text in store._entries.values()}  # noqa: SLF001  # a look at what is stored
    assert version == SCHEMA
    record.begin()
    record.finish("{}", "r")
    found = records.finished("demo", "key", ORDER)
    assert found is not None
    records.restart(found, 10)
    again = records.find(RECORD_ID)
    assert again is not None
    assert again.version == SCHEMA


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ('{"version":3}', RequestInFlight, "record-of-later-version"),
        ('{"version":"3"}', StoreUnavailable, "claim-unreadable"),
        ('{"version":2}', StoreUnavailable, "claim-unreadable"),
        ("{}", StoreUnavailable, "claim-unreadable"),
        ("[]", StoreUnavailable, "claim-unreadable"),
        ("", StoreUnavailable, "claim-unreadable"),
        (
            '{"version":2,"state":"claimed","order":"","holder":"","lease_ends":0,"more":1}',
            StoreUnavailable,
            "claim-unreadable",
        ),
    ],
)
def test_a_record_that_cannot_be_read(
    store: Interrupted, text: str, error: type[KeyPairFunctionError], reason: str
) -> None:
    assert store.add(f"claim:{RECORD_ID}", text, 60)
    with pytest.raises(error) as unreadable:
        acquire(store, "a")
    assert unreadable.value.reason == reason
