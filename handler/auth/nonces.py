"""What may be used once: nonces of signatures, ids of tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handler.errors import Unauthenticated

if TYPE_CHECKING:
    from handler.store.base import Store


@dataclass(frozen=True)
class Nonces:
    """Remembers what was used, and for what; the store decides how far that is known."""

    store: Store

    def burn(self, *parts: str, use: str, ttl: float) -> None:
        """Take the nonce that `parts` name for `use`, a digest of the request, and keep it for `ttl` seconds.

        The same request again passes: it gets the same answer. Raises Unauthenticated for any other, and
        StoreUnavailable.
        """
        key = "nonce:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()
        if not self.store.add(key, use, ttl) and self.store.get(key) != use:
            raise Unauthenticated("nonce-used")
