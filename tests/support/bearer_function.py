"""A function whose callers bring tokens, and the good tokens that they bring."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyrage
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_public_key,
)

from tests.support.function_under_test import ESCROW, NOON, POLICY, RECIPIENT, REST, Answer, FunctionUnderTest
from tests.support.token_issuer import jwk, token

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.token_issuer import PrivateKey

AUDIENCE = "https://keys.example.com"
SERVICE = "https://service.example.com"
OTHER = "https://other.example.com"

RSA = rsa.generate_private_key(65537, 2048)
RSA_OTHER = rsa.generate_private_key(65537, 2048)
RSA_WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505  # to be refused
EC = ec.generate_private_key(ec.SECP256R1())
EC_OTHER = ec.generate_private_key(ec.SECP256R1())
EC_384 = ec.generate_private_key(ec.SECP384R1())
EC_521 = ec.generate_private_key(ec.SECP521R1())
ED = ed25519.Ed25519PrivateKey.generate()
NOBODY = rsa.generate_private_key(65537, 2048)
"""Of a key that is in no set."""

SERVICE_KEYS: list[dict[str, Any]] = [
    jwk(RSA, kid="rsa"),
    jwk(RSA_OTHER, kid="rsa-ps", alg="PS256", use="sig", key_ops=["verify"]),
    jwk(EC, kid="ec"),
    jwk(EC_384, kid="ec-384"),
    jwk(EC_521, kid="ec-521"),
    jwk(ED, kid="ed"),
    jwk(RSA_WEAK, kid="weak"),
    jwk(RSA, kid="for-encryption", use="enc"),
    jwk(RSA, kid="for-wrapping", key_ops=["wrapKey"]),
    jwk(RSA, kid="without-operations", key_ops="verify"),
    jwk(EC, kid="off-curve", x=jwk(EC)["y"]),
    jwk(EC, kid="twice"),
    jwk(EC_OTHER, kid="twice"),
    {"kty": "AKP", "kid": "of-tomorrow"},
]
ALGORITHMS = ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"]

_GRANTS = POLICY["callers"]["demo"]["grants"]


def caller(issuer: str, **claims: object) -> dict[str, Any]:
    return {"jwt": [{"issuer": issuer, "claims": claims}], "grants": _GRANTS}


def issuer(text: str, **more: object) -> dict[str, Any]:
    return {"issuer": text, "audience": AUDIENCE, **more}


BEARER_POLICY: dict[str, Any] = {
    "escrow": [str(ESCROW.to_public())],
    "failed_rate": "1000/minute",
    "issuers": {
        "service": issuer(SERVICE, algorithms=ALGORITHMS, jwks={"keys": SERVICE_KEYS}),
        "other": issuer(OTHER, algorithms=["RS256"], jwks={"keys": [jwk(RSA_OTHER, kid="other")]}),
        "single": issuer("single", algorithms=["RS256", "ES256"], jwks={"keys": [jwk(RSA), jwk(EC)]}),
        "once": issuer("once", algorithms=["ES256"], jwks={"keys": [jwk(EC)]}, once=True),
    },
    "callers": {
        **POLICY["callers"],
        "backup": caller("service", sub="backup"),
        "deploy": caller("service", sub="ci", repository_id="74", environment="production"),
        "number": caller("service", sub="typed", level=1),
        "truth": caller("service", sub="typed", level=True),
        "one-of-two": caller("service", sub="both", left="x"),
        "two-of-two": caller("service", sub="both", right="x"),
        "tenant": caller("other", sub="tenant"),
        "anonymous-key": caller("single", sub="backup"),
        "burner": caller("once", sub="burner"),
        # Known by two proofs, and by a token that fits both.
        "two-proofs": {
            "jwt": [{"issuer": "service", "claims": claims} for claims in ({"sub": "twin"}, {"twin": "yes"})],
            "grants": _GRANTS,
        },
    },
}


def claims(**changes: object) -> dict[str, object]:
    """Return good claims of `backup` at noon; `changes` of None are taken away."""
    good = {
        "iss": SERVICE,
        "sub": "backup",
        "aud": AUDIENCE,
        "exp": NOON + 300,
        "iat": NOON,
        "jti": "6a1f0c9e",
        **changes,
    }
    return {name: value for name, value in good.items() if value is not None}


@dataclass(frozen=True)
class Maker:
    """Makes tokens with one key of the service's set."""

    key: PrivateKey
    alg: str
    kid: str | None

    def __call__(self, **changes: object) -> str:
        return token(self.key, claims(**changes), alg=self.alg, kid=self.kid)


rsa_token = Maker(RSA, "RS256", "rsa")
ec_token = Maker(EC, "ES256", "ec")
ed_token = Maker(ED, "EdDSA", "ed")


def bearer_function(
    emulator: EmulatorProcess, folder: Path, policy: Mapping[str, Any] = BEARER_POLICY
) -> FunctionUnderTest:
    return FunctionUnderTest(emulator, folder / "policy.json", policy=policy)


def sent(authorization: str | None, body: Mapping[str, object], **headers: str) -> dict[str, Any]:
    """Return the event of a request to REST."""
    given = {} if authorization is None else {"Authorization": authorization}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {
        "httpMethod": "POST",
        "path": REST,
        "queryString": {},
        "headers": {"Content-Type": "application/json", "X-Scf-Remote-Addr": "203.0.113.7", **given, **named},
        "body": json.dumps(body),
    }


def ask(
    function: FunctionUnderTest, made: str, body: Mapping[str, object] | None = None, **headers: str
) -> Answer:
    """Send a good request with a token."""
    return function.call(sent(f"Bearer {made}", function.rest_body() if body is None else body, **headers))


def assert_issued(function: FunctionUnderTest, answer: Answer, caller_id: str) -> None:
    """Assert that the caller got a key pair, whose private half opens with their identity and fits."""
    assert answer.status == 201, function.audit.getvalue()
    assert function.audit_lines()[-1]["decision"] == "issued"
    assert function.audit_lines()[-1]["caller"] == caller_id
    sealed = answer.json["sealedPrivateKey"]["ciphertext"]
    private = load_pem_private_key(pyrage.decrypt(sealed.encode(), [RECIPIENT]), None)
    public = load_ssh_public_key(answer.json["publicKey"].encode())
    form = (Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert private.public_key().public_bytes(*form) == public.public_bytes(*form)


def reason(function: FunctionUnderTest, answer: Answer) -> str:
    """Return why a request got 401."""
    assert answer.status == 401, answer.body
    return str(function.audit_lines()[-1]["reason"])


@dataclass(frozen=True)
class Case:
    """What stands in the header, and the reason that the audit line gives."""

    title: str
    reason: str
    authorization: str | None


def bearer(title: str, reason: str, text: str) -> Case:
    return Case(title, reason, f"Bearer {text}")
