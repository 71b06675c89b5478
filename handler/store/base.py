"""The interface of a store."""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """Keeps small texts under keys, each until its time to live (`ttl`, in seconds) has passed.

    Every operation is atomic for all users of the store. It raises StoreUnavailable if it fails, so 'no
    answer' is never mistaken for 'no such key'.
    """

    @property
    def shared(self) -> bool:
        """Whether all instances see what one of them puts there."""

    def get(self, key: str) -> str | None:
        """Return the value of `key`, or None."""

    def add(self, key: str, value: str, ttl: float) -> bool:
        """Set `key` unless it has a value; return whether it was set."""

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        """Set `key` if its value is exactly `expected`; return whether it was set."""
