"""How often somebody may ask: each request moves a time on, and only so far ahead of the clock.

GCRA (ITU-T I.371), the leaky bucket that needs one number: `20/hour` is a burst of 20, then one more every
three minutes.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from handler.auth.time_window import SIGNATURE_WINDOW
from handler.errors import RateLimited, StoreUnavailable

if TYPE_CHECKING:
    from handler.scf.invocation import Clock
    from handler.store.base import Store

Kind: TypeAlias = Literal["caller", "source"]
"""Of whom an allowance is: a caller, or whoever sends from an address."""

_PERIODS = {"minute": 60, "hour": 3600, "day": 86400}
_COUNTED_FOR = SIGNATURE_WINDOW.nonce_ttl
"""Seconds for which a request is recognised: as long as its signature could be accepted."""
_ROUNDING = 1e-3
"""Seconds that a row of additions to a time since 1970 may be off: 0.2 millionths each."""
_ATTEMPTS = 20
"""Of others that may be faster, before the store counts as overrun."""

# 203.0.113.7, 203.0.113.7:443, [2001:db8::1]:443
_ADDRESS = re.compile(r"(?P<v4>[0-9.]+)(?::[0-9]+)?|\[?(?P<v6>[0-9a-fA-F:.]+)\]?(?:(?<=\]):[0-9]+)?")
_V6_NETWORK = 64
"""Bits; what one customer of a provider has at least (RFC 6177)."""


@dataclass(frozen=True)
class Allowance:
    """How many requests in how many seconds."""

    requests: int
    period: int

    @classmethod
    def of(cls, rate: str) -> Allowance:
        """Return what a rate such as `20/hour` means."""
        requests, _, period = rate.partition("/")
        return cls(int(requests), _PERIODS[period])


@dataclass(frozen=True)
class Standing:
    """What is left of an allowance, and the seconds until all of it is there again."""

    allowance: Allowance
    left: int
    reset: int

    def headers(self) -> dict[str, str]:
        """Return the header fields of draft-ietf-httpapi-ratelimit-headers-10."""
        allowance = self.allowance
        return {
            "RateLimit-Policy": f'"caller";q={allowance.requests};w={allowance.period}',
            "RateLimit": f'"caller";r={self.left};t={self.reset}',
        }


@dataclass(frozen=True)
class Limiter:
    """Counts in the store, so as far as that one is shared."""

    store: Store
    clock: Clock

    def check(self, kind: Kind, who: str, allowance: Allowance) -> None:
        """Raise RateLimited if `who` has nothing left; take nothing."""
        _advance(kind, self._read(f"rate:{kind}:{who}")[0], self.clock.now(), allowance)

    def take(self, kind: Kind, who: str, allowance: Allowance) -> Standing:
        """Take one request of the allowance of `who`.

        Raises RateLimited if there is none left, and StoreUnavailable: what cannot be counted is not let
        through.
        """
        key = f"rate:{kind}:{who}"
        for _ in range(_ATTEMPTS):
            now = self.clock.now()
            used_until, text = self._read(key)
            ahead = _advance(kind, used_until, now, allowance)
            value = repr(now + ahead)
            if (
                self.store.add(key, value, ahead)
                if text is None
                else self.store.replace(key, text, value, ahead)
            ):
                left = int((allowance.period - ahead) * allowance.requests / allowance.period + _ROUNDING)
                return Standing(allowance, left, math.ceil(ahead))
        raise StoreUnavailable("rate-contended")

    def take_once(self, kind: Kind, who: str, allowance: Allowance, request_key: str) -> Standing | None:
        """Do as `take`, but not again for a request that was counted within the last minutes: None then.

        SECURITY BOUNDARY: whoever sees a signed request go by can send it again. It must not cost its sender
        anything but the answer that is stored.
        """
        counted = "counted:" + hashlib.sha256(f"{kind}\n{who}\n{request_key}".encode()).hexdigest()
        if self.store.get(counted) is not None:
            return None
        standing = self.take(kind, who, allowance)
        self.store.add(counted, "", _COUNTED_FOR)
        return standing

    def _read(self, key: str) -> tuple[float, str | None]:
        text = self.store.get(key)
        try:
            return float(text or 0), text
        except ValueError:
            raise StoreUnavailable("rate-unreadable") from None


def _advance(kind: Kind, used_until: float, now: float, allowance: Allowance) -> float:
    """Return how far ahead of `now` one more request leads; raise RateLimited if too far."""
    ahead = max(used_until - now, 0) + allowance.period / allowance.requests
    if ahead > allowance.period + _ROUNDING:
        raise RateLimited(f"rate-{kind}", math.ceil(ahead - allowance.period))
    return ahead


def source_of(remote_address: str) -> str | None:
    """Return the class of sources that an address belongs to; None for what is no address.

    SECURITY BOUNDARY: a client may be able to forge its address (583/96099 does not say). By it, attempts
    are slowed down, and nothing is ever granted.
    """
    parsed = _ADDRESS.fullmatch(remote_address)
    try:
        address = ipaddress.ip_address((parsed["v4"] or parsed["v6"]) if parsed else "")
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    if address.version == 6:  # noqa: PLR2004  # IPv6
        return str(ipaddress.ip_network((address, _V6_NETWORK), strict=False).network_address)
    return str(address)
