"""The attacker fills the memory of an instance.

Has: a caller's account without a rate limit, and a function with `memory:`.
Does: sends requests that each leave a record.
Sees: 503 when the store is full. Records that were kept stay, and room returns when they expire.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from handler.errors import StoreUnavailable
from handler.store.authenticated import AuthenticatedStore
from handler.store.memory import MAX_ENTRIES, MemoryStore
from tests.support.function_under_test import REST, TestClock

if TYPE_CHECKING:
    from tests.support.function_under_test import FunctionUnderTest


def test_one_key_that_is_replaced_again_and_again() -> None:
    """The heap of ends grows with what is stored, not with what was written."""
    store = MemoryStore(TestClock().clock())
    assert store.add("key", "0", 60)
    for number in range(10_000):
        assert store.replace("key", str(number), str(number + 1), 60)
    assert len(store._ends) < 2_000  # noqa: SLF001  # a look at what it keeps


def test_a_record_ends_to_the_second() -> None:
    clock = TestClock()
    store = MemoryStore(clock.clock())
    assert store.add("key", "value", 60)
    clock.time += 59
    assert store.get("key") == "value"
    clock.time += 1
    assert store.get("key") is None
    assert not store.replace("key", "value", "other", 60)


def test_a_full_store(function: FunctionUnderTest) -> None:
    used = function.services.store
    assert isinstance(used, AuthenticatedStore)
    store = used.store
    assert isinstance(store, MemoryStore)
    first = function.signed(REST)
    kept = function.call(first)
    number = 0
    with suppress(StoreUnavailable):
        while store.add(str(number), "value", 60):
            number += 1
    assert len(store._entries) == MAX_ENTRIES  # noqa: SLF001  # a look at what it keeps
    assert 0 < MAX_ENTRIES - number < 10  # those of the request are there as well
    with pytest.raises(StoreUnavailable) as refused:
        store.add("one more", "value", 60)
    assert refused.value.reason == "memory-full"
    before = function.create_calls()
    answer = function.call(function.signed(REST))
    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert answer.headers["Retry-After"]
    assert function.create_calls() == before
    assert function.call(first).body == kept.body
    assert store.add("0", "other", 60) is False
    assert store.replace("0", "value", "changed", 120)
    function.clock.time += 61
    assert function.call(function.signed(REST)).status == 201
    assert store.get("0") == "changed"
