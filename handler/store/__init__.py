"""IdempotencyLedger and whatever else has to be remembered between invocations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handler.scf.invocation import Clock
    from handler.store.base import Store


def open_store(url: str, clock: Clock) -> Store:
    """Return the store that `url`, checked by `handler.settings`, names. Nothing is connected to yet."""
    # Imported where chosen: a cold start pays for one store only.
    scheme, _, rest = url.partition(":")
    if scheme == "memory":
        from handler.store.memory import MemoryStore

        return MemoryStore(clock)
    if scheme == "sqlite":
        from handler.store.sqlite import SqliteStore

        return SqliteStore(Path(rest), clock)
    from handler.store.redis import RedisStore

    return RedisStore(url)
