"""The public keys of those who issue tokens: JWK Sets (RFC 7517), from the policy or from their address.

PyJWT's own client is not used for the latter. It forgets good keys when the issuer is out for longer than
its cache lives, asks again for every token while the issuer is out, and bounds neither the size of an
answer nor the time for the whole of it.
"""

from __future__ import annotations

import logging
import math
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from handler.errors import IssuerUnavailable, MalformedRequest, Unauthenticated
from handler.http.fetch import HttpRequest, fetch
from handler.http.strict_json import parse_json_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from handler.scf.invocation import Clock

_log = logging.getLogger(__name__)

TIMEOUT = 3.0
"""Seconds for one look at an issuer's keys: name resolution, connection, and all of the answer."""
FRESH = 300.0
"""Seconds for which fetched keys are used without another look; so long lives a key that was withdrawn."""
LONGEST_USE = 24 * 3600.0
"""Seconds for which fetched keys are used at all, while the issuer cannot be reached."""
COOL_DOWN = 30.0
"""Seconds after a look before an unknown key leads to another one."""
PAUSE = 5.0
"""Seconds after a look that failed before the next one; the same as IssuerUnavailable's Retry-After."""

_RESPONSE_LIMIT = 256 * 1024

# RFC 7518 section 3.1 and RFC 8037 section 3.1: what a key has to be for an algorithm. PyJWT itself would
# take an ES256 token with a key on another curve.
_KEY_TYPES: Mapping[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}


class KeySource(Protocol):
    """Where the keys of one issuer come from."""

    def key(self, kid: str | None, algorithm: str) -> Mapping[str, object]:
        """Return the JWK that verifies `algorithm`: the one named `kid`, or the only one there is.

        Raises Unauthenticated, or IssuerUnavailable where the issuer would have to be asked first.
        """


def fits(jwk: Mapping[str, object], algorithm: str) -> bool:
    """Tell whether `jwk` is a public key that is meant to verify `algorithm` (RFC 7517 section 4)."""
    operations = jwk.get("key_ops", ["verify"])
    return (
        (jwk.get("kty"), jwk.get("crv")) == _KEY_TYPES[algorithm]
        and jwk.get("alg", algorithm) == algorithm
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        # A private key that stands in public proves nothing.
        and "d" not in jwk
    )


def public_keys(jwks: object) -> tuple[Mapping[str, object], ...] | None:
    """Return the keys of a JWK Set, as they are; None if it is none.

    RFC 7517 section 5: what is not understood is passed over, and does not cost the other keys.
    """
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list):
        return None
    return tuple(key for key in keys if isinstance(key, dict))


def choose(
    keys: Iterable[Mapping[str, object]], kid: str | None, algorithm: str
) -> Mapping[str, object] | None:
    """Return the key for a token; None where there is none. Raises Unauthenticated if there are several."""
    fitting = [key for key in keys if fits(key, algorithm) and (kid is None or key.get("kid") == kid)]
    if len(fitting) > 1:
        raise Unauthenticated("bearer-key-ambiguous")
    return fitting[0] if fitting else None


@dataclass(frozen=True)
class FixedKeys:
    """`KeySource` for keys that stand in the policy."""

    keys: tuple[Mapping[str, object], ...]

    def key(self, kid: str | None, algorithm: str) -> Mapping[str, object]:
        """Return the JWK for a token."""
        found = choose(self.keys, kid, algorithm)
        if found is None:
            raise Unauthenticated("bearer-key")
        return found


@dataclass(eq=False)
class FetchedKeys:
    """`KeySource` for keys at an address.

    Keys that are known go on for a day while the issuer is out. A key that is not known is looked for once,
    and then no more for a while, so that made-up tokens cost the issuer nothing.
    """

    name: str
    url: str
    clock: Clock
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _keys: tuple[Mapping[str, object], ...] = field(default=(), init=False)
    _fetched_at: float = field(default=-math.inf, init=False)
    _rests_until: float = field(default=-math.inf, init=False)
    _trouble: str | None = field(default=None, init=False)
    """Why the latest look failed; None if it did not."""

    def key(self, kid: str | None, algorithm: str) -> Mapping[str, object]:
        """Return the JWK for a token, after another look at the issuer's keys if one is due."""
        with self._lock:
            now = self.clock.monotonic()
            if now >= self._fetched_at + FRESH or choose(self._keys, kid, algorithm) is None:
                self._look(now)
            # SECURITY BOUNDARY: whoever can keep the issuer away keeps a withdrawn key alive; not for ever.
            if now >= self._fetched_at + LONGEST_USE:
                self._keys = ()
            found = choose(self._keys, kid, algorithm)
            if found is not None:
                return found
            if self._trouble is not None:
                raise IssuerUnavailable(self._trouble)
            raise Unauthenticated("bearer-key")

    def _look(self, now: float) -> None:
        if now < self._rests_until:
            return
        try:
            self._keys = fetch_keys(self.url)
        except IssuerUnavailable as failure:
            self._trouble, self._rests_until = failure.reason, now + PAUSE
            _log.warning("issuers.%s: %s", self.name, failure.reason)
        else:
            self._trouble, self._rests_until = None, now + COOL_DOWN
            self._fetched_at = now


def fetch_keys(url: str) -> tuple[Mapping[str, object], ...]:
    """Return the keys that `url` publishes; raise IssuerUnavailable within TIMEOUT seconds."""
    request = HttpRequest(url, headers={"Accept": "application/json"})
    response = fetch(request, seconds=TIMEOUT, limit=_RESPONSE_LIMIT)
    if response is None:
        raise IssuerUnavailable("issuer-no-answer")
    if response.status != 200:  # noqa: PLR2004  # a redirect is not followed: the policy names the address
        raise IssuerUnavailable("issuer-status")
    keys = None
    if len(response.body) <= _RESPONSE_LIMIT:
        with suppress(MalformedRequest):
            keys = public_keys(parse_json_object(response.body))
    if keys is None:
        raise IssuerUnavailable("issuer-answer")
    return keys
