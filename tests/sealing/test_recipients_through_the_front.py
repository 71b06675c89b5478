"""Fresh recipients of every kind, through the REST door; opened by software that is not ours.

What comes out is compared with what the cloud gave to the function, byte for byte.
"""

from __future__ import annotations

import copy
import json
import subprocess
import time
from typing import TYPE_CHECKING, TypeAlias

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.support import cms_owners, jwe_owners, pgp_owners
from tests.support.function_under_test import NOON, POLICY, REST, FunctionUnderTest, fresh_name
from tests.support.random_cases import examples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.node_opener import NodeOpener

pytestmark = pytest.mark.slow

Opened: TypeAlias = "list[bytes | None]"
"""By each of the tools that there are for a kind; None where one refuses."""
Owner: TypeAlias = "tuple[str, Callable[[str], Opened]]"
"""What somebody sends, and how they open."""

OWNERS = examples(15)
"""Of each kind: RANDOM_EVENTS=20000 makes it 200, for when a library changes."""
ALONE = OWNERS // 3
"""Requests with one recipient; the rest of a kind's owners share envelopes."""
TOGETHER = 10


@pytest.fixture(scope="module")
def function(emulator: EmulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> FunctionUnderTest:
    policy = copy.deepcopy(POLICY)
    del policy["escrow"]
    return FunctionUnderTest(emulator, tmp_path_factory.mktemp("front") / "policy.json", policy=policy)


def check(function: FunctionUnderTest, owners: list[Owner]) -> None:
    alone = [[owner] for owner in owners[:ALONE]]
    shared = [owners[start : start + TOGETHER] for start in range(ALONE, len(owners), TOGETHER)]
    for group in [*alone, *shared]:
        body = {"keyName": fresh_name(), "recipients": [text for text, _ in group]}
        answer = function.call(function.signed(REST, body))
        assert answer.status == 201, answer.body
        private_key = function.emulator.private_keys()[-1].encode()
        for _, opened in group:
            tools = opened(answer.json["sealedPrivateKey"]["ciphertext"])
            assert tools
            assert all(plaintext == private_key for plaintext in tools)
        function.delete_key_pairs()


def by_age(identity: Path, envelope: str) -> bytes:
    command: list[str | Path] = ["age", "--decrypt", "--identity", identity]
    return subprocess.run(command, input=envelope.encode(), check=True, capture_output=True).stdout


def test_age(function: FunctionUnderTest, node: NodeOpener, tmp_path: Path) -> None:
    def owner(number: int) -> Owner:
        identity = pyrage.x25519.Identity.generate()
        file = tmp_path / str(number)
        file.write_text(str(identity), encoding="ascii")
        return str(identity.to_public()), lambda envelope: [
            by_age(file, envelope),
            node.open("age", identity=str(identity), envelope=envelope),
        ]

    check(function, [owner(number) for number in range(OWNERS)])


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa"])
def test_ssh(kind: str, function: FunctionUnderTest, tmp_path: Path) -> None:
    def owner(number: int) -> Owner:
        key = ed25519.Ed25519PrivateKey.generate() if kind == "ssh-ed25519" else cms_owners.rsa_key(number)
        file = tmp_path / str(number)
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        return line, lambda envelope: [by_age(file, envelope)]

    check(function, [owner(number) for number in range(OWNERS)])


@pytest.mark.parametrize("kind", jwe_owners.KINDS)
def test_jwe(kind: str, function: FunctionUnderTest, node: NodeOpener) -> None:
    def owner(number: int) -> Owner:
        made = jwe_owners.make_owner(kind, rsa_key=cms_owners.rsa_key(number) if kind == "RSA" else None)
        return made.public, lambda envelope: [made.with_jose(node, envelope), made.with_jwcrypto(envelope)]

    check(function, [owner(number) for number in range(OWNERS)])


@pytest.mark.parametrize("kind", cms_owners.KINDS)
def test_cms(kind: str, function: FunctionUnderTest, tmp_path: Path) -> None:
    function.clock.time = NOON

    def owner(number: int) -> Owner:
        made = cms_owners.make_owner(kind, tmp_path / f"{number}.pem", number)

        def opened(envelope: str) -> Opened:
            done = made.open(envelope)
            return [done.stdout if done.returncode == 0 else None]

        return made.text, opened

    check(function, [owner(number) for number in range(OWNERS)])


@pytest.mark.parametrize("primary", ["future-default", "rsa2048"])
def test_gpg(primary: str, function: FunctionUnderTest, gpg: pgp_owners.Gpg) -> None:
    function.clock.time = time.time() + 3600  # PGP keys are made by the true clock

    def owner() -> Owner:
        subkey = () if primary == "future-default" else (primary, "encrypt", "never")
        text = gpg.public(gpg.make(primary, subkey=subkey))
        return text, lambda envelope: [gpg.open(envelope)]

    check(function, [owner() for _ in range(OWNERS)])


def test_openpgp_js(function: FunctionUnderTest, node: NodeOpener) -> None:
    function.clock.time = time.time() + 3600

    def owner(made: pgp_owners.JsOwner) -> Owner:
        return made.public, lambda envelope: [made.open(node, envelope)]

    check(function, [owner(made) for made in pgp_owners.js_owners(*[{"type": "curve25519"}] * OWNERS)])


def test_the_protected_header_says_what_is_in_it(function: FunctionUnderTest) -> None:
    owners = [jwe_owners.make_owner("P-256", kid=f"owner {number}") for number in range(2)]
    for recipients in (owners[:1], owners):
        body = {"keyName": fresh_name(), "recipients": [owner.public for owner in recipients]}
        answer = function.call(function.signed(REST, body)).json
        envelope = answer["sealedPrivateKey"]["ciphertext"]
        said = jwe_owners.protected(envelope)
        assert {name: said[name] for name in ("keyId", "keyName", "fingerprint")} == {
            name: answer[name] for name in ("keyId", "keyName", "fingerprint")
        }
        kids = (
            [entry["header"]["kid"] for entry in json.loads(envelope)["recipients"]]
            if len(recipients) > 1
            else [said["kid"]]
        )
        assert kids == [f"owner {number}" for number in range(len(recipients))]
    function.delete_key_pairs()
