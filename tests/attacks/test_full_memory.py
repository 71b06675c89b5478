"""The attacker fills the memory of an instance.

Has: a caller's account without a rate limit, and a function with `memory:`.
Does: sends requests that each leave a record.
Sees: 503 when the store is full. Records that were kept stay, and room returns when they expire.
"""

from __future__ import annotations

import pytest

from handler.errors import StoreUnavailable
from handler.store.memory import MAX_ENTRIES, MemoryStore
from tests.support.function_under_test import TestClock


@pytest.mark.slow
def test_a_full_store() -> None:
    clock = TestClock()
    store = MemoryStore(clock.clock())
    for number in range(MAX_ENTRIES):
        assert store.add(str(number), "value", 60)
    with pytest.raises(StoreUnavailable) as refused:
        store.add("one more", "value", 60)
    assert refused.value.reason == "memory-full"
    assert store.add("0", "other", 60) is False
    assert store.replace("0", "value", "changed", 120)
    clock.time += 61
    assert store.add("one more", "value", 60)
    assert store.get("0") == "changed"
