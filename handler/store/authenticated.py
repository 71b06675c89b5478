"""A store whose records only this function can write.

SECURITY BOUNDARY: whoever can write into the store could otherwise hand a caller a key pair of their own,
mark a used nonce as free for a request of their own, or raise a rate limit. They can still delete records.
"""

from __future__ import annotations

import hmac
import math
import re
from typing import TYPE_CHECKING

from handler.errors import StoreUnavailable
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handler.scf.invocation import Clock
    from handler.store.base import Store

RECORD_FORGED = "store-record-forged"
"""The reason for a record that this function did not write, or wrote under a former master secret."""
CLOCK_TOLERANCE = 300.0
"""Seconds for which an expired record is still accepted: an instance's clock and the store's may differ."""

# Code, end of its life in seconds since 1970, value.
_FORM = re.compile(r"(?P<code>[A-Za-z0-9_-]{43})\.(?P<ends_at>[0-9]{1,12})\.(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True)
class AuthenticatedStore:
    """See `handler.store.base.Store`. Keeps a code with each record, over key, end of life and value.

    Every operation raises StoreUnavailable for a record without a valid code.
    """

    store: Store
    codes: Callable[[str], Sequence[str]]
    """Text -> its code under each secret, 43 characters of base64url; the current secret comes first."""
    clock: Clock
    shared: bool
    """Whether all instances see what one of them puts there."""

    def get(self, key: str) -> str | None:
        """Return the value of `key`, or None."""
        stored = self.store.get(key)
        return None if stored is None else self._value(key, stored)

    def add(self, key: str, value: str, ttl: float) -> bool:
        """Set `key` unless it has a value."""
        record = self._record(key, value, ttl)
        if self.store.add(key, record, ttl):
            return True
        stored = self.store.get(key)
        if stored is None or self._value(key, stored) is not None:
            return False
        # A record that should have expired: somebody put it back.
        return self.store.replace(key, stored, record, ttl)

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        """Set `key` if its value is exactly `expected`."""
        stored = self.store.get(key)
        if stored is None or self._value(key, stored) != expected:
            return False
        return self.store.replace(key, stored, self._record(key, value, ttl), ttl)

    def _record(self, key: str, value: str, ttl: float) -> str:
        ends_at = math.ceil(self.clock.now() + ttl)
        return f"{self.codes(_signed_text(key, ends_at, value))[0]}.{ends_at}.{value}"

    def _value(self, key: str, stored: str) -> str | None:
        """Return the value in a record; None if its life is over."""
        record = _FORM.fullmatch(stored)
        if record is None:
            raise StoreUnavailable(RECORD_FORGED)
        ends_at, value = int(record["ends_at"]), record["value"]
        genuine = False
        for code in self.codes(_signed_text(key, ends_at, value)):
            # No early exit: the time taken must not reveal which secret matched.
            genuine |= hmac.compare_digest(code, record["code"])
        if not genuine:
            raise StoreUnavailable(RECORD_FORGED)
        return value if self.clock.now() < ends_at + CLOCK_TOLERANCE else None


def _signed_text(key: str, ends_at: int, value: str) -> str:
    # The lengths of key and number are part of the text, so no two records have the same one.
    return f"{len(key)}:{key}{ends_at}:{value}"
