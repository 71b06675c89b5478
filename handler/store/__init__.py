"""Stores for what must survive an invocation, such as idempotency records, nonces and rate limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from handler.errors import SettingsInvalid

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
    try:
        from handler.store.redis import RedisStore
    except ModuleNotFoundError:
        raise SettingsInvalid(
            "KEYPAIR_STORE names a Redis server, and this package was built without its client; "
            "build it with scripts/build --with redis"
        ) from None

    return RedisStore(url)
