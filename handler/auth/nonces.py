"""Values that may be used once: nonces of signatures, ids of tokens."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from handler.errors import Unauthenticated
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.store.base import Store


@dataclass(frozen=True)
class Nonces:
    """Remembers which nonce was used for which request, for all instances that share the store."""

    store: Store

    def burn(self, *parts: str, use: str, ttl: float) -> None:
        """Reserve the nonce named by `parts` for `use`, a digest of the request, for `ttl` seconds.

        The same request may use it again, because it gets the same answer. Raises Unauthenticated for any
        other request, and StoreUnavailable.
        """
        if self.first_use(*parts, use=use, ttl=ttl) != use:
            raise Unauthenticated("nonce-used")

    def first_use(self, *parts: str, use: str, ttl: float) -> str | None:
        """Reserve the nonce for `use`; return its first use, or None if that has just expired."""
        key = "nonce:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return use if self.store.add(key, use, ttl) else self.store.get(key)
