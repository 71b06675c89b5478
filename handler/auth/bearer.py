"""Bearer tokens (RFC 6750): signed JWTs (RFC 7519) from the issuers that the policy names."""

from __future__ import annotations

import base64
import hashlib
import re
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from handler.auth.caller import AuthenticatedCaller, meaning_of
from handler.auth.jwks import FetchedKeys, FixedKeys, public_keys, same_algorithm
from handler.errors import MalformedRequest, Unauthenticated
from handler.http.strict_json import parse_json_object
from handler.order import ANSWER_TTL
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.auth.jwks import KeySource
    from handler.auth.nonces import Nonces
    from handler.http.messages import Request
    from handler.http.strict_json import Json
    from handler.policy.model import Policy, TokenIssuer
    from handler.scf.invocation import Clock

LEEWAY = 30
"""Seconds that an issuer's clock may be ahead or behind."""
MAX_TOKEN_SECONDS = ANSWER_TTL - 4 * LEEWAY
"""Longest time from iat to exp: a token that lives longer is a password (ASVS 5.0, 13.2.1).

It is shorter than the time for which an answer is kept, leeway at both ends included. So while a one-time
token is accepted, repeating its request returns the stored answer and makes no second key pair.
"""

_TOKEN_LIMIT = 15 * 1024
"""Below the limit of `handler.scf.events` for a header. Some issuers list all groups of a user."""

# Three parts: an encrypted token (RFC 7516) has five, an unsigned one (RFC 7519 section 6) ends in a dot.
_AUTHORIZATION = re.compile(r"(?i:bearer) +(?P<token>[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)")
_JTI = re.compile(r"[\x20-\x7e]{1,255}")

# RFC 8725 section 3.11: a logout token or a DPoP proof of the same issuer is not an access token.
_TYPES = {"jwt", "at+jwt", "application/jwt", "application/at+jwt"}
# RFC 8725 section 3.10: keys come from the policy. RFC 7515 section 4.1.11: no critical extension is
# supported. RFC 7797: a JWT's payload is always base64url.
_REFUSED_PARAMETERS = {"jku", "jwk", "x5u", "x5c", "crit", "b64"}

_Claims: TypeAlias = "Mapping[str, Json]"
_Value: TypeAlias = "tuple[type, str | int | float | None]"
"""A scalar with its type, because True, 1 and 1.0 are equal in Python."""


@dataclass(frozen=True)
class BearerVerifier:
    """Verifies tokens and finds the caller whose claims match."""

    policy: Policy
    nonces: Nonces
    clock: Clock

    def authenticate(self, request: Request) -> AuthenticatedCaller:
        """Return the caller whose token came with `request`.

        Raises Unauthenticated, IssuerUnavailable if the key cannot be fetched, and StoreUnavailable if a
        one-time token cannot be recorded.
        """
        authorization = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if authorization is None or len(authorization["token"]) > _TOKEN_LIMIT:
            raise Unauthenticated("bearer-malformed")
        token = authorization["token"]
        signed, _, _ = token.rpartition(".")
        header, unverified_claims = (_json(part) for part in signed.split("."))

        # SECURITY BOUNDARY: until the signature is verified, the token's contents only select among issuers,
        # algorithms and keys that the policy allows anyway.
        name = self._issuer(unverified_claims)
        issuer = self.policy.issuers[name]
        algorithm, kid = _algorithm(header, issuer), header.get("kid")
        if not (kid is None or isinstance(kid, str)):
            raise Unauthenticated("bearer-header")
        claims = _verified(token, self._keys[name].key(kid, algorithm), algorithm, issuer)
        expires_at = self._lifetime(claims)
        caller_id = self._caller(name, claims)
        meaning = meaning_of(request)

        if issuer.once:
            jti = claims.get("jti")
            if not isinstance(jti, str) or not _JTI.fullmatch(jti):
                raise Unauthenticated("bearer-jti")
            # LEEWAY twice: once for accepting the token, and once for the clock of the store.
            ttl = expires_at - self.clock.now() + 2 * LEEWAY
            self.nonces.burn("jwt", name, jti, use=meaning, ttl=ttl)
        # The signature itself is left out: anybody can turn one ECDSA signature into another valid one, and
        # that must not make it a different request.
        request_key = hashlib.sha256(f"{signed}\n{meaning}".encode()).hexdigest()
        # A token signs neither body nor headers, and its holder may send any. So the header can be trusted as
        # much as the body: TLS protects both.
        return AuthenticatedCaller(
            caller_id, request_key, frozenset({"idempotency-key"}), signs_each_request=issuer.once
        )

    @cached_property
    def _names(self) -> dict[tuple[str, str], str]:
        return {(issuer.issuer, issuer.audience): name for name, issuer in self.policy.issuers.items()}

    @cached_property
    def _keys(self) -> dict[str, KeySource]:
        return {name: _source(name, issuer, self.clock) for name, issuer in self.policy.issuers.items()}

    def _issuer(self, unverified_claims: _Claims) -> str:
        """Return the policy's name for the issuer; raise Unauthenticated unless the audience is right."""
        issuer, audience = unverified_claims.get("iss"), unverified_claims.get("aud")
        if not isinstance(issuer, str) or all(issuer != known for known, _ in self._names):
            raise Unauthenticated("bearer-issuer")
        # A list of one is the same as its member (RFC 7519 section 4.1.3). A token for several audiences is
        # refused: each of them could use it here.
        if isinstance(audience, list) and len(audience) == 1:
            audience = audience[0]
        name = self._names.get((issuer, audience)) if isinstance(audience, str) else None
        if name is None:
            raise Unauthenticated("bearer-audience")
        return name

    def _lifetime(self, claims: _Claims) -> float:
        """Return the expiry of a token that is valid now (RFC 7519 sections 4.1.4 to 4.1.6)."""
        now = self.clock.now()
        expires_at, issued_at = _time(claims, "exp"), _time(claims, "iat")
        if now >= expires_at + LEEWAY:
            raise Unauthenticated("bearer-expired")
        if now < issued_at - LEEWAY or ("nbf" in claims and now < _time(claims, "nbf") - LEEWAY):
            raise Unauthenticated("bearer-not-yet-valid")
        if expires_at - issued_at > MAX_TOKEN_SECONDS:
            raise Unauthenticated("bearer-lives-too-long")
        return expires_at

    def _caller(self, issuer: str, claims: _Claims) -> str:
        """Return the only caller that these claims match."""
        scalars: dict[str, _Value] = {
            name: (type(value), value)
            for name, value in claims.items()
            if not isinstance(value, (dict, list))
        }
        found = set[str]()
        for names in self.policy.claim_names.get(issuer, ()):
            if scalars.keys() >= set(names):
                identifying = tuple((name, *scalars[name]) for name in names)
                found.update(self.policy.callers_bound(issuer, identifying))
        if len(found) > 1:
            raise Unauthenticated("bearer-several-callers")
        if not found:
            raise Unauthenticated("bearer-no-caller")
        return found.pop()


def _json(part: str) -> dict[str, Json]:
    """Return the JSON object in a part of a token, parsed strictly."""
    with suppress(ValueError, MalformedRequest):  # ValueError: not a valid length in base64
        return parse_json_object(base64.urlsafe_b64decode(part + "=="))
    raise Unauthenticated("bearer-malformed")


def _algorithm(header: Mapping[str, Json], issuer: TokenIssuer) -> str:
    """Return the algorithm of a token; raise Unauthenticated unless this issuer uses it."""
    if not _REFUSED_PARAMETERS.isdisjoint(header):
        raise Unauthenticated("bearer-header")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthenticated("bearer-type")
    algorithm = header.get("alg")
    # RFC 8725 section 3.1. A policy cannot allow HS* or "none".
    if not isinstance(algorithm, str) or not any(same_algorithm(algorithm, own) for own in issuer.algorithms):
        raise Unauthenticated("bearer-algorithm")
    return algorithm


def _source(name: str, issuer: TokenIssuer, clock: Clock) -> KeySource:
    if issuer.jwks_url is not None:
        return FetchedKeys(name, issuer.jwks_url, clock)
    return FixedKeys(public_keys(issuer.jwks) or ())


def _verified(token: str, jwk: Mapping[str, object], algorithm: str, issuer: TokenIssuer) -> _Claims:
    """Return the claims of `token`, its signature, issuer and audience verified, and nothing of its times."""
    # Those who sign with TC3 do not wait for this import.
    import jwt

    # What PyJWT raises can quote the token or the key, so none of it is the context of what leaves here.
    try:
        # PyJWT does not know the name that RFC 9864 gives to EdDSA with Ed25519.
        key = jwt.PyJWK(dict(jwk), "EdDSA" if algorithm == "Ed25519" else algorithm)
        key.algorithm_name = algorithm
        claims: _Claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer.issuer,
            audience=issuer.audience,
            options={
                "require": ["iss", "sub", "aud", "exp", "iat"],
                # PyJWT uses the machine's clock, and accepts "12" and 12.9 as seconds.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "enforce_minimum_key_length": True,
            },
        )
    except jwt.InvalidSignatureError:
        reason = "bearer-signature"
    except jwt.InvalidKeyError:
        reason = "bearer-key-unusable"
    except jwt.MissingRequiredClaimError:
        reason = "bearer-claim-missing"
    except jwt.PyJWTError:
        reason = "bearer-malformed"
    else:
        return claims
    raise Unauthenticated(reason)


def _time(claims: _Claims, name: str) -> float:
    """Return a NumericDate (RFC 7519 section 2). PyJWT has only checked that it exists."""
    value = claims.get(name)
    # 2**53: 1e999 is parsed as infinity, and an integer may have any length.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**53:
        raise Unauthenticated("bearer-time")
    return float(value)
