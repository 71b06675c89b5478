"""Whether the store of authenticated records keeps the contract of a store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from handler.auth.master_secret import MasterSecrets, Purpose
from handler.errors import StoreUnavailable
from handler.store.authenticated import CLOCK_TOLERANCE, AuthenticatedStore
from handler.store.memory import MemoryStore
from tests.support.function_under_test import MASTER, OTHER_MASTER, PREVIOUS_MASTER, TestClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.store.base import Store


def store_under(inner: Store, clock: TestClock, *secrets: bytes) -> AuthenticatedStore:
    codes = partial(MasterSecrets(secrets or (MASTER,)).derive, Purpose.STORE_RECORD)
    return AuthenticatedStore(inner, codes, clock.clock(), inner.shared)


class Endless(MemoryStore):
    """Its administrator lets no record expire."""

    asked = 0.0
    """For how long the last record was to be kept."""

    def add(self, key: str, value: str, ttl: float) -> bool:
        self.asked = ttl
        return super().add(key, value, 1e9)

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        self.asked = ttl
        return super().replace(key, expected, value, 1e9)


def test_the_contract() -> None:
    clock = TestClock()
    store = store_under(MemoryStore(clock.clock()), clock)
    assert store.shared is False
    assert store.get("k") is None
    assert store.replace("k", "", "first", 60) is False
    assert store.add("k", "first.\nline", 60) is True
    assert store.add("k", "second", 60) is False
    assert store.replace("k", "other", "second", 60) is False
    assert store.get("k") == "first.\nline"
    assert store.replace("k", "first.\nline", "", 60) is True
    assert store.get("k") == ""
    clock.time += 61
    assert store.get("k") is None
    assert store.add("k", "third", 60) is True


def test_a_record_that_outlives_its_time() -> None:
    clock = TestClock()
    inner = Endless(clock.clock())
    store = store_under(inner, clock)
    assert store.add("k", "first", 60)
    clock.time += 60 + CLOCK_TOLERANCE - 1
    assert store.get("k") == "first"
    assert store.add("k", "second", 60) is False
    clock.time += 1
    assert store.get("k") is None
    assert store.replace("k", "first", "second", 60) is False
    assert store.add("k", "second", 90) is True
    assert inner.asked == 90
    assert store.get("k") == "second"


def test_a_record_that_expires_between_two_looks() -> None:
    class Fleeting(MemoryStore):
        def add(self, key: str, value: str, ttl: float) -> bool:
            del key, value, ttl
            return False

    clock = TestClock()
    assert store_under(Fleeting(clock.clock()), clock).add("k", "v", 60) is False


def test_a_record_under_the_previous_secret_is_replaced_under_the_current_one() -> None:
    clock = TestClock()
    inner = MemoryStore(clock.clock())
    assert store_under(inner, clock, PREVIOUS_MASTER).add("k", "first", 60)
    rotated = store_under(inner, clock, MASTER, PREVIOUS_MASTER)
    assert rotated.replace("k", "first", "second", 60)
    assert store_under(inner, clock, MASTER).get("k") == "second"


@pytest.mark.parametrize("operation", ["get", "add", "replace"])
def test_a_forged_record(operation: str) -> None:
    clock = TestClock()
    inner = MemoryStore(clock.clock())
    assert store_under(inner, clock, OTHER_MASTER).add("k", "first", 60)
    store = store_under(inner, clock)
    attempt: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("k"),
        "add": lambda: store.add("k", "second", 60),
        "replace": lambda: store.replace("k", "first", "second", 60),
    }
    with pytest.raises(StoreUnavailable) as refused:
        attempt[operation]()
    assert refused.value.reason == "store-record-forged"


def test_a_text_that_is_no_record() -> None:
    clock = TestClock()
    inner = MemoryStore(clock.clock())
    assert inner.add("k", "somebody else's", 60)
    with pytest.raises(StoreUnavailable) as refused:
        store_under(inner, clock).get("k")
    assert refused.value.reason == "store-record-forged"


def test_key_and_value_cannot_be_shifted() -> None:
    """The parts of the signed text have one reading only."""
    clock = TestClock()
    inner = MemoryStore(clock.clock())
    store = store_under(inner, clock)
    assert store.add("k1", "v", 60)
    text = inner.get("k1") or ""
    assert inner.add("k", text.replace(".1", ".11", 1), 60)
    with pytest.raises(StoreUnavailable):
        store.get("k")
