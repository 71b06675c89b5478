"""The public keys of token issuers: JWK Sets (RFC 7517), from the policy or fetched from a URL.

PyJWT's own client is not used for fetching. It forgets good keys if the issuer is down for longer than its
cache lives, asks again for every token while the issuer is down, and bounds neither the size of a response
nor the total time.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from handler.errors import IssuerUnavailable, MalformedRequest, Unauthenticated
from handler.http.fetch import HttpRequest, fetch
from handler.http.strict_json import parse_json_object
from handler.scf.invocation import LONG_AGO, Moment
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from handler.scf.invocation import Clock

_log = logging.getLogger(__name__)

TIMEOUT = 3.0
"""Seconds to fetch an issuer's keys: name resolution, connection, and the whole response."""
FRESH = 300.0
"""Seconds for which fetched keys are used without fetching again. A withdrawn key stays valid for as long."""
LONGEST_USE = 24 * 3600.0
"""Seconds for which fetched keys are used while the issuer cannot be reached."""
COOL_DOWN = 30.0
"""Seconds after a fetch before an unknown key causes another one."""
PAUSE = 5.0
"""Seconds after a failed fetch before the next one; the same as the Retry-After of IssuerUnavailable."""

_RESPONSE_LIMIT = 256 * 1024

# RFC 7518 section 3.1 and RFC 8037 section 3.1: the type of key for each algorithm. PyJWT itself would
# verify an ES256 token with a key on another curve.
_KEY_TYPES: Mapping[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    # RFC 9864: the name that states the curve.
    "Ed25519": ("OKP", "Ed25519"),
}
_SAME = {"Ed25519": "EdDSA"}
"""Algorithms with two names, by the newer one. The key determines the curve, so both mean the same here."""


def same_algorithm(one: object, other: object) -> bool:
    """Return whether two values of `alg` mean the same algorithm."""
    return _SAME.get(str(one), one) == _SAME.get(str(other), other)


class KeySource(Protocol):
    """Where the keys of one issuer come from."""

    def key(self, kid: str | None, algorithm: str) -> Mapping[str, object]:
        """Return the JWK that verifies `algorithm`: the one named `kid`, or the only one.

        Raises Unauthenticated, or IssuerUnavailable if the keys cannot be fetched.
        """


def fits(jwk: Mapping[str, object], algorithm: str) -> bool:
    """Return whether `jwk` is a public key for verifying `algorithm` (RFC 7517 section 4)."""
    # Programs in some languages write all members, those without a value as null.
    jwk = {name: value for name, value in jwk.items() if value is not None}
    operations = jwk.get("key_ops", ["verify"])
    return (
        (jwk.get("kty"), jwk.get("crv")) == _KEY_TYPES[algorithm]
        and same_algorithm(jwk.get("alg", algorithm), algorithm)
        and jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        # A published private key proves nothing.
        and "d" not in jwk
    )


def _numbers(jwk: Mapping[str, object]) -> list[object]:
    """Return what tells apart keys that fit the same algorithm."""
    return [jwk.get(name) for name in ("n", "e", "x", "y")]


def public_keys(jwks: object) -> tuple[Mapping[str, object], ...] | None:
    """Return the keys of a JWK Set; None if `jwks` is not one.

    RFC 7517 section 5: entries that are not understood are ignored; the other keys remain usable.
    """
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list):
        return None
    return tuple(key for key in keys if isinstance(key, dict))


def choose(
    keys: Iterable[Mapping[str, object]], kid: str | None, algorithm: str
) -> Mapping[str, object] | None:
    """Return the key for a token, or None. Raises Unauthenticated if several match.

    A set may contain one key twice.
    """
    fitting = [key for key in keys if fits(key, algorithm) and (kid is None or key.get("kid") == kid)]
    if any(_numbers(key) != _numbers(fitting[0]) for key in fitting):
        raise Unauthenticated("bearer-key-ambiguous")
    return fitting[0] if fitting else None


@dataclass(frozen=True)
class FixedKeys:
    """`KeySource` for keys that are part of the policy."""

    keys: tuple[Mapping[str, object], ...]

    def key(self, kid: str | None, algorithm: str) -> Mapping[str, object]:
        """Return the JWK for a token."""
        found = choose(self.keys, kid, algorithm)
        if found is None:
            raise Unauthenticated("bearer-key")
        return found


@dataclasses.dataclass(eq=False)
class FetchedKeys:
    """`KeySource` for keys at a URL.

    While the issuer is down, known keys remain valid for a day. An unknown key causes one fetch, then none
    for a while, so that made-up tokens cause no traffic at the issuer.
    """

    name: str
    url: str
    clock: Clock
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _keys: tuple[Mapping[str, object], ...] = field(default=(), init=False)
    _fetched_at: Moment = field(default=LONG_AGO, init=False)
    _tried_at: Moment = field(default=LONG_AGO, init=False)
    _failure: str | None = field(default=None, init=False)
    """Why the latest fetch failed; None if it succeeded."""

    def key(self, kid: str | None, algorithm: str) -> Mapping[str, object]:
        """Return the JWK for a token; fetch the issuer's keys first if that is due."""
        with self._lock:
            stale = self.clock.since(self._fetched_at) >= FRESH
            if stale or choose(self._keys, kid, algorithm) is None:
                self._refresh()
            # SECURITY BOUNDARY: whoever can block the issuer keeps a withdrawn key alive, but not for ever.
            if self.clock.since(self._fetched_at) >= LONGEST_USE:
                self._keys = ()
            found = choose(self._keys, kid, algorithm)
            if found is not None:
                return found
            if self._failure is not None:
                raise IssuerUnavailable(self._failure)
            raise Unauthenticated("bearer-key")

    def _refresh(self) -> None:
        if self.clock.since(self._tried_at) < (COOL_DOWN if self._failure is None else PAUSE):
            return
        self._tried_at = self.clock.moment()
        try:
            self._keys = fetch_keys(self.url)
        except IssuerUnavailable as failure:
            self._failure = failure.reason
            _log.warning("issuers.%s: %s", self.name, failure.reason)
        else:
            self._failure, self._fetched_at = None, self._tried_at


def fetch_keys(url: str) -> tuple[Mapping[str, object], ...]:
    """Return the keys that `url` publishes; raise IssuerUnavailable within TIMEOUT seconds."""
    request = HttpRequest(url, headers={"Accept": "application/json"})
    response = fetch(request, seconds=TIMEOUT, limit=_RESPONSE_LIMIT)
    if response is None:
        raise IssuerUnavailable("issuer-no-answer")
    if not response.ok:  # a redirect is not followed: the policy names the address
        raise IssuerUnavailable("issuer-status")
    keys = None
    if len(response.body) <= _RESPONSE_LIMIT:
        with suppress(MalformedRequest):
            keys = public_keys(parse_json_object(response.body))
    if keys is None:
        raise IssuerUnavailable("issuer-answer")
    return keys
