"""What a store has to be able to do."""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """Small texts under keys, each gone after its time to live.

    Every operation is atomic for all users of the same store, and raises StoreUnavailable if it cannot be
    done: a caller of this interface never takes 'no answer' for 'not there'.
    """

    def get(self, key: str) -> str | None:
        """Return the text under `key`."""

    def add(self, key: str, value: str, ttl: float) -> bool:
        """Put `value` there for `ttl` seconds unless something is; return whether it was put."""

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        """Put `value` in the place of exactly `expected`; return whether that was there."""
