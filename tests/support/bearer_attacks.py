"""Tokens that nobody may get in with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handler.auth.bearer import MAX_TOKEN_SECONDS
from tests.support.bearer_forgeries import documents, encodings, schemes, signatures
from tests.support.bearer_function import (
    AUDIENCE,
    EC,
    EC_384,
    NOBODY,
    OTHER,
    RSA,
    RSA_OTHER,
    RSA_WEAK,
    SERVICE,
    Case,
    bearer,
    claims,
    rsa_token,
)
from tests.support.function_under_test import NOON, base64url
from tests.support.token_issuer import jwk, token, unsigned

if TYPE_CHECKING:
    from collections.abc import Iterator


# ---------------------------------------------------------------- algorithms


def shared_secret(secret: bytes, **header: object) -> str:
    signed = unsigned({"alg": "HS256", "typ": "JWT", **header}, claims())
    code = HMAC(secret, SHA256())
    code.update(signed.encode())
    return f"{signed}.{base64url(code.finalize())}"


def with_alg(alg: object) -> str:
    return token(RSA, claims(), alg="RS256", header=json.dumps({"alg": alg, "kid": "rsa"}).encode())


def algorithms() -> Iterator[Case]:
    public = RSA.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    secrets = {
        "PEM": pem,
        "PEM without its end of line": pem.strip(),
        "DER": der,
        "JWK": json.dumps(jwk(RSA, kid="rsa")).encode(),
        "modulus": public.public_numbers().n.to_bytes(256, "big"),
        "nothing": b"",
    }
    for title, secret in secrets.items():
        yield bearer(f"HS256 with {title}", "bearer-algorithm", shared_secret(secret, kid="rsa"))
    for alg in ("none", "None", "NONE", "nOnE", "", None, 5, ["RS256"], {"RS256": 1}, True):
        yield bearer(f"alg {alg!r}", "bearer-algorithm", with_alg(alg))
    for alg in ("rs256", "RS256 ", "RS1", "ES256K", "HS512", "RSA-OAEP", "RS384"):
        yield bearer(f"alg {alg!r}", "bearer-algorithm", with_alg(alg))
    yield bearer(
        "alg missing", "bearer-algorithm", token(RSA, claims(), alg="RS256", header=b'{"kid":"rsa"}')
    )
    yield bearer("alg none, unsigned", "bearer-malformed", unsigned({"alg": "none"}, claims()) + ".")
    for kid, alg in (
        ("ec", "RS256"),
        ("ed", "RS256"),
        ("rsa-ps", "RS256"),
        ("rsa", "ES256"),
        ("ec-384", "ES256"),
        ("ec", "ES384"),
        ("ec", "EdDSA"),
        ("rsa", "Ed25519"),
    ):
        header = json.dumps({"alg": alg, "kid": kid}).encode()
        yield bearer(f"{alg} for {kid}", "bearer-key", token(RSA, claims(), alg="RS256", header=header))
    yield bearer("ES256 on P-384", "bearer-key", token(EC_384, claims(), alg="ES256", kid="ec-384"))
    yield bearer("a short RSA key", "bearer-key-unusable", token(RSA_WEAK, claims(), alg="RS256", kid="weak"))
    yield bearer("a broken key", "bearer-key-unusable", token(EC, claims(), alg="ES256", kid="off-curve"))
    for kid in ("for-encryption", "for-wrapping", "without-operations", "of-tomorrow"):
        yield bearer(f"the key {kid}", "bearer-key", token(RSA, claims(), alg="RS256", kid=kid))
    yield bearer(
        "one of two keys with this kid", "bearer-key-ambiguous", token(EC, claims(), alg="ES256", kid="twice")
    )


# ---------------------------------------------------------------- header


def headers() -> Iterator[Case]:
    for kid in (
        "unknown",
        "",
        "RSA",
        "rsa\0",
        "rsa ",
        "../../../../../../dev/null",
        "x' OR '1'='1",
        "https://attacker.example/jwks",
        "other",
        "\ud800",
        "k" * 4000,
    ):
        yield bearer(f"kid {kid[:30]!r}", "bearer-key", token(RSA, claims(), alg="RS256", kid=kid))
    for kind in (0, True, ["rsa"], {"kid": "rsa"}):
        yield bearer(f"kid {kind}", "bearer-header", token(RSA, claims(), alg="RS256", kid=kind))
    null = b'{"alg":"RS256","kid":null}'
    yield bearer("kid null", "bearer-key-ambiguous", token(RSA, claims(), alg="RS256", header=null))
    yield bearer("no kid", "bearer-key-ambiguous", token(RSA, claims(), alg="RS256"))
    yield bearer("kid of another key", "bearer-signature", token(RSA, claims(), alg="PS256", kid="rsa-ps"))
    yield bearer("somebody's key", "bearer-signature", token(NOBODY, claims(), alg="RS256", kid="rsa"))
    injected: dict[str, Any] = {
        "jku": "https://attacker.example/jwks",
        "jwk": jwk(NOBODY, kid="rsa"),
        "x5u": "https://attacker.example/certificate",
        "x5c": ["MIIB"],
        "crit": ["exp"],
        "b64": False,
    }
    for name, value in injected.items():
        for title, key in (("the right key", RSA), ("the attacker's key", NOBODY)):
            made = token(key, claims(), alg="RS256", kid="rsa", **{name: value})
            yield bearer(f"{name}, signed by {title}", "bearer-header", made)
    yield bearer("crit empty", "bearer-header", token(RSA, claims(), alg="RS256", kid="rsa", crit=[]))
    yield bearer("b64 true", "bearer-header", token(RSA, claims(), alg="RS256", kid="rsa", b64=True))
    both = token(RSA, claims(), alg="RS256", kid="rsa", b64=False, crit=["b64"])
    yield bearer("b64 and crit", "bearer-header", both)
    for typ in ("logout+jwt", "dpop+jwt", "JOSE", "", "JWT ", 5, ["JWT"]):
        yield bearer(f"typ {typ!r}", "bearer-type", token(RSA, claims(), alg="RS256", kid="rsa", typ=typ))


# ---------------------------------------------------------------- claims


def registered_claims() -> Iterator[Case]:
    for name in ("sub", "exp", "iat"):
        yield bearer(f"no {name}", "bearer-claim-missing", rsa_token(**{name: None}))
        null = json.dumps({**claims(), name: None}).encode()
        made = token(RSA, null, alg="RS256", kid="rsa")
        yield bearer(f"{name} null", "bearer-claim-missing", made)
    issuers: list[Any] = [
        None,
        "",
        f"{SERVICE}/",
        SERVICE.upper(),
        f" {SERVICE}",
        "service",
        [SERVICE],
        5,
        {},
    ]
    for iss in issuers:
        yield bearer(f"iss {iss!r}", "bearer-issuer", rsa_token(iss=iss))
    yield bearer("another issuer's iss", "bearer-key", rsa_token(iss=OTHER))
    other = token(RSA_OTHER, claims(), alg="RS256", kid="other")
    yield bearer("another issuer's key", "bearer-key", other)
    for aud in (
        None,
        "",
        "keys.example.com",
        f"{AUDIENCE}/",
        f"{AUDIENCE}.attacker.example",
        AUDIENCE.upper(),
        [],
        [AUDIENCE, "https://other.example.com"],
        [AUDIENCE, AUDIENCE],
        [[AUDIENCE]],
        [None],
        {AUDIENCE: True},
        5,
    ):
        yield bearer(f"aud {aud!r}", "bearer-audience", rsa_token(aud=aud))
    for sub in (5, True, ["backup"], {"sub": "backup"}):
        yield bearer(f"sub {sub!r}", "bearer-malformed", rsa_token(sub=sub))
    yield bearer("jti a number", "bearer-malformed", rsa_token(jti=5))


def times() -> Iterator[Case]:
    yield bearer("expired long ago", "bearer-expired", rsa_token(exp=NOON - 3600, iat=NOON - 7200))
    yield bearer("expired by the leeway", "bearer-expired", rsa_token(exp=NOON - 30, iat=NOON - 60))
    yield bearer("exp 0", "bearer-expired", rsa_token(exp=0))
    yield bearer("not yet valid", "bearer-not-yet-valid", rsa_token(nbf=NOON + 31))
    yield bearer("not yet valid, in fractions", "bearer-not-yet-valid", rsa_token(nbf=NOON + 30.001))
    yield bearer("issued in future", "bearer-not-yet-valid", rsa_token(iat=NOON + 31))
    yield bearer("a long life", "bearer-lives-too-long", rsa_token(exp=NOON + MAX_TOKEN_SECONDS + 1))
    yield bearer("a life of ages", "bearer-lives-too-long", rsa_token(iat=0))
    bad: list[Any] = ["1795521900", "", True, [NOON], {}, -1, -0.5, 2**53, 10**400, 1e300]
    for name in ("exp", "iat", "nbf"):
        for value in bad:
            title = f"{name} {str(value)[:20]!r}"
            yield bearer(title, "bearer-time", rsa_token(**{name: value}))
        endless = json.dumps({**claims(), name: 0.25}).replace("0.25", "1e999").encode()
        yield bearer(f"{name} 1e999", "bearer-time", token(RSA, endless, alg="RS256", kid="rsa"))
    null = json.dumps({**claims(), "nbf": None}).encode()
    yield bearer("nbf null", "bearer-time", token(RSA, null, alg="RS256", kid="rsa"))


def callers() -> Iterator[Case]:
    ci: dict[str, Any] = {"sub": "ci", "repository_id": "74", "environment": "production"}
    changes: dict[str, dict[str, Any]] = {
        "another repository": {"repository_id": "75"},
        "another environment": {"environment": "staging"},
        "no environment": {"environment": None},
        "a number": {"repository_id": 74},
        "a list": {"repository_id": ["74"]},
        "a list of letters": {"repository_id": ["7", "4"]},
        "an object": {"repository_id": {"74": "74"}},
        "spaces": {"repository_id": "74 "},
        "other digits": {"repository_id": "\uff17\uff14"},
        "other letters": {"environment": "Production"},
        "another subject": {"sub": "CI"},
    }
    for title, change in changes.items():
        yield bearer(f"another tenant: {title}", "bearer-no-caller", rsa_token(**{**ci, **change}))
    for level in ("1", 1.0, 0, False, [1], "true", 2):
        yield bearer(f"level {level!r}", "bearer-no-caller", rsa_token(sub="typed", level=level))
    yield bearer("nobody", "bearer-no-caller", rsa_token(sub="nobody"))
    yield bearer("another issuer's subject", "bearer-no-caller", rsa_token(sub="tenant"))
    yield bearer("two callers", "bearer-several-callers", rsa_token(sub="both", left="x", right="x"))


CASES = [
    case
    for cases in (
        algorithms, headers, registered_claims, times, callers, signatures, encodings, documents, schemes
    )
    for case in cases()
]  # fmt: skip
