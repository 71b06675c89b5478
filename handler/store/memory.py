"""A store in memory, for tests and for functions with a single instance."""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING

from handler.errors import StoreUnavailable

if TYPE_CHECKING:
    from handler.scf.invocation import Clock


MAX_ENTRIES = 100_000
"""More are refused: an instance must not run out of memory in the middle of an order."""
_SPARE_ENDS = 1000


class MemoryStore:
    """See `handler.store.base.Store`."""

    shared = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[float, str]] = {}
        self._ends: list[tuple[float, str]] = []
        """A heap of when entries end, the first one first. An entry that was replaced has several."""

    def get(self, key: str) -> str | None:
        """Return the value of `key`, or None."""
        with self._lock:
            return self._live(key)

    def add(self, key: str, value: str, ttl: float) -> bool:
        """Set `key` unless it has a value."""
        with self._lock:
            self._drop_expired()
            if self._live(key) is not None:
                return False
            if len(self._entries) >= MAX_ENTRIES:
                raise StoreUnavailable("memory-full")
            self._put(key, value, ttl)
            return True

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        """Set `key` if its value is exactly `expected`."""
        with self._lock:
            if self._live(key) != expected:
                return False
            self._put(key, value, ttl)
            return True

    def _put(self, key: str, value: str, ttl: float) -> None:
        ends_at = self._clock.now() + ttl
        self._entries[key] = (ends_at, value)
        heapq.heappush(self._ends, (ends_at, key))
        if len(self._ends) > 2 * len(self._entries) + _SPARE_ENDS:
            # Most are of values that were replaced. Without this, one key could fill the memory.
            self._ends = [(ends_at, key) for key, (ends_at, _) in self._entries.items()]
            heapq.heapify(self._ends)

    def _live(self, key: str) -> str | None:
        ends_at, value = self._entries.get(key, (0.0, ""))
        return value if ends_at > self._clock.now() else None

    def _drop_expired(self) -> None:
        now = self._clock.now()
        while self._ends and self._ends[0][0] <= now:
            _, key = heapq.heappop(self._ends)
            if self._live(key) is None:
                self._entries.pop(key, None)
