"""Stores for what must survive an invocation: idempotency records, nonces and rate limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handler.scf.invocation import Clock
    from handler.store.base import Store


def open_store(url: str, clock: Clock) -> Store:
    """Return the store that `url` names; `handler.settings` has checked it. Does not connect yet."""
    # Imported here, so that a cold start pays for one store only.
    scheme, _, rest = url.partition(":")
    if scheme == "memory":
        from handler.store.memory import MemoryStore

        return MemoryStore(clock)
    if scheme == "sqlite":
        from handler.store.sqlite import SqliteStore

        return SqliteStore(Path(rest), clock)
    from handler.store.redis import RedisStore

    return RedisStore(url)
