"""Rate limiting by GCRA (ITU-T I.371), a leaky bucket that stores a single number.

`20/hour` allows a burst of 20, then one more request every three minutes.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from handler.auth.time_window import SIGNATURE_WINDOW
from handler.errors import RateLimited, StoreUnavailable
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.scf.invocation import Clock
    from handler.store.base import Store

Kind: TypeAlias = Literal["caller", "source", "repeat"]
"""What an allowance belongs to: a caller, the address that requests come from, or one repeated request."""

_PERIODS = {"minute": 60, "hour": 3600, "day": 86400}
_COUNTED_FOR = SIGNATURE_WINDOW.nonce_ttl
"""Seconds for which a request is recognised: as long as its signature could be accepted."""
_REPEATS_LIMIT = 60
"""How often an equal request may be repeated in that time. Clients that honor Retry-After stay below it."""
_ROUNDING = 1e-3
"""Seconds. Each addition to a time since 1970 is off by up to 0.2 microseconds, and they add up."""
_ATTEMPTS = 20
"""How often another request may win the race to update a counter before this one gives up."""

# 203.0.113.7, 203.0.113.7:443, [2001:db8::1]:443
_ADDRESS = re.compile(r"(?P<v4>[0-9.]+)(?::[0-9]+)?|\[?(?P<v6>[0-9a-fA-F:.]+)\]?(?:(?<=\]):[0-9]+)?")
_V6_NETWORK = 64
"""Bits. A provider assigns at least this much to each customer (RFC 6177)."""


@dataclass(frozen=True)
class Allowance:
    """A number of requests, and the seconds in which they may be made."""

    requests: int
    period: int

    @classmethod
    def of(cls, rate: str) -> Allowance:
        """Return the allowance for a rate such as `20/hour`."""
        requests, _, period = rate.partition("/")
        return cls(int(requests), _PERIODS[period])


_REPEATS = Allowance(_REPEATS_LIMIT, int(_COUNTED_FOR))


@dataclass(frozen=True)
class Standing:
    """How many requests are left, and the seconds until the whole allowance is available again."""

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
    """Counts in the store, for all instances that share it."""

    store: Store
    clock: Clock

    def check(self, kind: Kind, who: str, allowance: Allowance) -> None:
        """Raise RateLimited if `who` has no requests left. Count nothing."""
        _advance(kind, self._read(f"rate:{kind}:{who}")[0], self.clock.now(), allowance)

    def take(self, kind: Kind, who: str, allowance: Allowance) -> Standing:
        """Count one request against the allowance of `who`.

        Raises RateLimited if there are none left, and StoreUnavailable: a request that cannot be counted is
        not let through.
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
        """Count a request like `take`; return None if it was counted in the last ten minutes already.

        SECURITY BOUNDARY: whoever captures a signed request can send it again. A replay must not use up its
        sender's allowance, nor the cloud's: each one that is not finished asks the cloud again.
        """
        digest = hashlib.sha256(f"{kind}\n{who}\n{request_key}".encode()).hexdigest()
        counted = f"counted:{digest}"
        if self.store.get(counted) is not None:
            self.take("repeat", digest, _REPEATS)
            return None
        standing = self.take(kind, who, allowance)
        if self.store.add(counted, "", _COUNTED_FOR):
            return standing
        # An equal request came at the same time, and has been counted.
        self._give_back(f"rate:{kind}:{who}", allowance)
        return None

    def _give_back(self, key: str, allowance: Allowance) -> None:
        for _ in range(_ATTEMPTS):
            used_until, text = self._read(key)
            value = used_until - allowance.period / allowance.requests
            ahead = value - self.clock.now()
            if text is None or ahead <= 0 or self.store.replace(key, text, repr(value), ahead):
                return

    def _read(self, key: str) -> tuple[float, str | None]:
        text = self.store.get(key)
        try:
            return float(text or 0), text
        except ValueError:
            raise StoreUnavailable("rate-unreadable") from None


def _advance(kind: Kind, used_until: float, now: float, allowance: Allowance) -> float:
    """Return how far one more request moves the time ahead of `now`; raise RateLimited if too far."""
    ahead = max(used_until - now, 0) + allowance.period / allowance.requests
    if ahead > allowance.period + _ROUNDING:
        raise RateLimited(f"rate-{kind}", math.ceil(ahead - allowance.period))
    return ahead


def source_of(remote_address: str) -> str | None:
    """Return the source that an address counts as: itself, or its IPv6 network; None if it is malformed.

    SECURITY BOUNDARY: a client may be able to forge its address (583/96099 does not say). It only slows
    attempts down; nothing is ever granted because of it.
    """
    parsed = _ADDRESS.fullmatch(remote_address)
    if parsed is None:
        return None
    try:
        address = ipaddress.ip_address(parsed["v4"] or parsed["v6"])
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    if address.version == 6:  # noqa: PLR2004  # IPv6
        return str(ipaddress.ip_network((address, _V6_NETWORK), strict=False).network_address)
    return str(address)
