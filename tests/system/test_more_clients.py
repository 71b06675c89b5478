"""More of those who call: the SDK for Node, and holders of tokens; over HTTP, opened with real age."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.support.function_process import FunctionProcess, running_function
from tests.support.node_opener import FOLDER
from tests.support.token_issuer import OpenIdProvider, free_port, jwk, openid_provider, token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AUDIENCE = "keypair-function"
SERVICE_KEY = ed25519.Ed25519PrivateKey.generate()


@dataclass(frozen=True)
class Place:
    """A function that is served over HTTP, an issuer of tokens, and an age identity."""

    function: FunctionProcess
    provider: OpenIdProvider
    identity: Path
    recipient: str

    def opened(self, ciphertext: str) -> str:
        return subprocess.run(
            ["age", "-d", "-i", self.identity],
            input=ciphertext,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def public_half(self, ciphertext: str, file: Path) -> str:
        file.touch(mode=0o600)
        file.write_text(self.opened(ciphertext))
        printed = subprocess.run(
            ["ssh-keygen", "-y", "-f", file], check=True, capture_output=True, text=True
        ).stdout
        return " ".join(printed.split()[:2])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("clients")
    identity = folder / "key.txt"
    subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
    recipient = subprocess.run(
        ["age-keygen", "-y", identity], check=True, capture_output=True, text=True
    ).stdout.strip()
    grant = {"names": ["*"], "regions": ["ap-guangzhou"], "own_recipients": True}
    with openid_provider(free_port()) as provider:
        policy = {
            "issuers": {
                "billing": {
                    "issuer": "billing",
                    "audience": AUDIENCE,
                    "algorithms": ["EdDSA"],
                    "jwks": {"keys": [jwk(SERVICE_KEY, kid="2026")]},
                },
                "provider": {
                    "issuer": provider.configuration["issuer"],
                    "audience": AUDIENCE,
                    "algorithms": ["RS256"],
                    "jwks_url": provider.configuration["jwks_uri"],
                },
            },
            "callers": {
                "demo": {"tc3": True, "grants": [grant]},
                "billing": {"jwt": [{"issuer": "billing", "claims": {"sub": "billing"}}], "grants": [grant]},
                "deploy": {
                    "jwt": [{"issuer": "provider", "claims": {"repository_id": "74"}}],
                    "grants": [grant],
                },
            },
        }
        file = folder / "policy.json"
        file.write_text(json.dumps(policy))
        with running_function(emulator=True, policy=file) as function:
            yield Place(function, provider, identity, recipient)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_official_sdk_for_node(host: str, place: Place, tmp_path: Path) -> None:
    """It signs what stands before the first dot as the service, so at localhost the port too."""
    info = place.function.info
    name = f"node_{host.replace('.', '_')}"
    environment = {
        "PATH": os.environ["PATH"],
        "ENDPOINT": f"{host}:{urlsplit(place.function.url).port}",
        "SECRET_ID": info["secretId"],
        "SECRET_KEY": info["secretKey"],
        "RECIPIENT": place.recipient,
        "KEY_NAME": name,
    }
    printed = subprocess.run(
        ["node", "create_key_pair.mjs"], cwd=FOLDER, env=environment, check=True, capture_output=True
    ).stdout
    pair = json.loads(printed)
    assert pair["KeyName"] == name
    assert place.public_half(pair["PrivateKey"], tmp_path / "key.pem") == pair["PublicKey"]
    assert decisions(place, name) == [("demo", "intent"), ("demo", "issued")]


@pytest.mark.parametrize("caller", ["billing", "deploy"])
def test_a_token(caller: str, place: Place, tmp_path: Path) -> None:
    """One that a service signed itself, and one of an OpenID provider; sent with curl."""
    now = int(time.time())
    if caller == "billing":
        claims = {"iss": "billing", "sub": "billing", "aud": AUDIENCE, "iat": now, "exp": now + 300}
        bearer = token(SERVICE_KEY, claims, alg="EdDSA", kid="2026")
    else:
        bearer = place.provider.identity_token(AUDIENCE, "ci", repository_id="74")
    command = ["curl", "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {bearer}"]
    command += ["--json", json.dumps({"keyName": f"{caller}_1", "recipients": [place.recipient]})]
    command += [f"{place.function.url.rstrip('/')}/v1/key-pairs"]
    answers = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2)]
    assert answers[0] == answers[1]
    answer = json.loads(answers[0])
    sealed = answer["sealedPrivateKey"]["ciphertext"]
    assert place.public_half(sealed, tmp_path / "key.pem") == answer["publicKey"]
    assert decisions(place, f"{caller}_1") == [(caller, "intent"), (caller, "issued"), (caller, "replayed")]


def decisions(place: Place, key_name: str) -> list[tuple[str, str]]:
    lines = [line for line in place.function.audit_lines() if line.get("keyName") == key_name]
    return [(line["caller"], line["decision"]) for line in lines]
