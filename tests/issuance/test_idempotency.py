"""What a claim does when somebody else comes in between: races, told step by step."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handler.errors import RequestInFlight, StoreUnavailable
from handler.issuance.idempotency import IdempotencyLedger, State
from handler.issuance.ownership_tags import OwnershipTag
from handler.scf.invocation import Clock
from handler.store.memory import MemoryStore
from tests.support.function_under_test import REST

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.function_under_test import FunctionUnderTest

ORDER = "0" * 64


class Interrupted(MemoryStore):
    """A store at which `between` happens before the next operation of that name."""

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


def claims(store: Interrupted, holder: str, now: float = 1000.0) -> IdempotencyLedger:
    return IdempotencyLedger(store, Clock(now=lambda: now), new_holder=lambda: holder * 32)


def test_a_record_that_ends_between_two_looks_counts_as_in_flight(store: Interrupted) -> None:
    claims(store, "a").claim("demo", "key", ORDER, 10)
    store.between["get"] = lambda: store._entries.clear()  # noqa: PLW0108, SLF001  # the dict changes; as its time to live would
    with pytest.raises(RequestInFlight):
        claims(store, "b").claim("demo", "key", ORDER, 10)


def test_of_two_that_take_over_one_wins(store: Interrupted) -> None:
    claims(store, "a").claim("demo", "key", ORDER, 10)
    store.between["replace"] = lambda: claims(store, "b", 1011.0).claim("demo", "key", ORDER, 10)
    with pytest.raises(RequestInFlight):
        claims(store, "c", 1011.0).claim("demo", "key", ORDER, 10)


def test_a_holder_whose_claim_was_taken_over_begins_nothing(store: Interrupted) -> None:
    slow = claims(store, "a").claim("demo", "key", ORDER, 10)
    claims(store, "b", 1011.0).claim("demo", "key", ORDER, 10)
    with pytest.raises(StoreUnavailable) as lost:
        slow.begin()
    assert lost.value.reason == "claim-lost"


def test_the_store_knows_of_a_mark_what_its_claim_says(store: Interrupted) -> None:
    claim = claims(store, "a").claim("demo", "key", ORDER, 10)
    assert not claim.knows_given(OwnershipTag("f" * 32, ORDER[:32], "a" * 32))  # no such claim
    assert not claim.knows_given(claim.mark)  # unfinished
    claim.begin()
    claim.finish("{}")
    assert claim.knows_given(claim.mark)
    assert not claim.knows_given(replace(claim.mark, holder="b" * 32))


def test_a_stored_answer_that_cannot_be_read_is_not_released(function: FunctionUnderTest) -> None:
    event = function.signed(REST, function.rest_body())
    assert function.call(event).status == 201
    store = function.services.issuer.claims.store
    assert isinstance(store, MemoryStore)
    ((key, (ends_at, text)),) = store._entries.items()  # noqa: SLF001  # what a faulty store would return
    assert json.loads(text)["state"] == State.SEALED.value
    store._entries[key] = (ends_at, json.dumps(json.loads(text) | {"answer": "{}"}))  # noqa: SLF001  # as above
    function.forget_audit()
    answer = function.call(event)
    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert [(line["decision"], line["reason"]) for line in function.audit_lines()] == [
        ("failed", "answer-unreadable")
    ]


TAKEN: dict[str, object] = {"kind": "error", "code": "InvalidKeyPairName.Duplicate", "after": "before"}


def test_a_name_that_was_given_up_since_is_tried_again(function: FunctionUnderTest) -> None:
    function.emulator.add_faults(TAKEN)
    assert function.call(function.signed(REST, function.rest_body())).status == 201


def test_a_name_that_the_cloud_goes_on_calling_taken_is_taken(function: FunctionUnderTest) -> None:
    function.emulator.add_faults({**TAKEN, "times": 3})
    before = function.create_calls()
    answer = function.call(function.signed(REST, function.rest_body()))
    assert (answer.status, answer.code) == (409, "name-taken")
    assert function.create_calls() == before + 3
