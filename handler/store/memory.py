"""A store in memory, for tests and for functions with a single instance."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handler.scf.invocation import Clock


class MemoryStore:
    """See `handler.store.base.Store`."""

    shared = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[float, str]] = {}

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
            self._entries[key] = (self._clock.now() + ttl, value)
            return True

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        """Set `key` if its value is exactly `expected`."""
        with self._lock:
            if self._live(key) != expected:
                return False
            self._entries[key] = (self._clock.now() + ttl, value)
            return True

    def _live(self, key: str) -> str | None:
        ends_at, value = self._entries.get(key, (0.0, ""))
        return value if ends_at > self._clock.now() else None

    def _drop_expired(self) -> None:
        now = self._clock.now()
        self._entries = {key: entry for key, entry in self._entries.items() if entry[0] > now}
