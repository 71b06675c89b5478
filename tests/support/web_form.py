"""The form for browsers without JavaScript, and a caller who uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.function_under_test import NOON, POLICY, FunctionUnderTest
from tests.support.token_issuer import jwk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.function_under_test import Answer

KEY = ec.generate_private_key(ec.SECP256R1())
ISSUER = "https://login.example.com"
AUDIENCE = "keypair-web"
ELSEWHERE = "https://intranet.example.com"


def claims(**changes: object) -> dict[str, object]:
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOON, "exp": NOON + 600, **changes}


def function_with(emulator: EmulatorProcess, folder: Path, **more: object) -> FunctionUnderTest:
    alice = {
        "jwt": [{"issuer": "one", "claims": {"sub": "alice"}}],
        "grants": POLICY["callers"]["demo"]["grants"],
    }
    issuer = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithms": ["ES256"],
        "jwks": {"keys": [jwk(KEY)]},
    }
    policy = {
        **POLICY,
        "web": {"origins": [ELSEWHERE]},
        "issuers": {"one": issuer},
        "callers": {**POLICY["callers"], "alice": alice},
        **more,
    }
    return FunctionUnderTest(emulator, folder / "policy.json", policy)


def post(function: FunctionUnderTest, body: dict[str, str] | str, **headers: str) -> Answer:
    named = {"content-type": "application/x-www-form-urlencoded", "x-scf-remote-addr": "203.0.113.7"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return function.call(
        {
            "httpMethod": "POST",
            "path": "/form",
            "queryString": {},
            "headers": named,
            "body": body if isinstance(body, str) else urlencode(body),
        }
    )
