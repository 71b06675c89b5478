"""JWE answers of the endpoints open with the command in the answer; tampered ones do not open."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretBytes

from handler.sealing import prepare_sealer
from handler.sealing.recipient_problems import RecipientProblem
from tests.support.function_under_test import ESCROW, POLICY, REST, V3, FunctionUnderTest, base64url
from tests.support.jwe_owners import CONTENTS, PEM, Owner, decode, make_owner, sealed_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.node_opener import NodeOpener

pytestmark = pytest.mark.process


# ---------------------------------------------------------------- the front doors


def test_the_answer_of_rest(function: FunctionUnderTest, node: NodeOpener) -> None:
    function = with_escrow(function)
    owner = make_owner("P-256", kid="laptop")
    body = function.rest_body(recipients=[owner.public], envelopeFormat="jwe")
    answer = function.call(function.signed(REST, body))

    assert answer.status == 201
    sealed = answer.json["sealedPrivateKey"]
    envelope = sealed.pop("ciphertext")
    name = body["keyName"]
    assert sealed == {
        "format": "jwe",
        "recipients": [owner.key.thumbprint()],
        "openWith": f"(umask 077; [ ! -e {name}.pem ] || {{ echo {name}.pem exists >&2; exit 1; }}; "
        f'jose jwe dec -i "$(cat {name}.jwe)" -k key.jwk -O {name}.pem '
        f"|| {{ rm -f {name}.pem; exit 1; }})",
    }
    header = json.loads(decode(envelope.partition(".")[0]))
    assert header.pop("epk")["crv"] == "P-256"
    assert header == {
        "alg": "ECDH-ES",
        "kid": "laptop",
        "enc": "A256GCM",
        "cty": "x-pem-file",
        **{parameter: answer.json[parameter] for parameter in ("keyId", "keyName", "fingerprint")},
    }
    assert_made_by_the_cloud(function, owner, node, envelope)


def test_the_answer_of_v3(function: FunctionUnderTest, node: NodeOpener) -> None:
    owner, spare = make_owner("RSA"), make_owner("X25519")
    function = with_escrow(function, str(ESCROW.to_public()), spare.public)
    answer = function.call(function.signed(V3, function.v3_body(Recipients=[owner.public])))

    response = answer.json["Response"]
    pair = response["KeyPair"]
    assert response["SealedWith"] == "jwe"
    assert response["SealedTo"] == [owner.key.thumbprint(), spare.key.thumbprint()]
    assert response["OpenWith"] == prepare_sealer([owner.public], now=0.0).open_with(pair["KeyName"])
    for one in (owner, spare):
        assert_made_by_the_cloud(function, one, node, pair["PrivateKey"])


def with_escrow(function: FunctionUnderTest, *escrow: str) -> FunctionUnderTest:
    policy = {**POLICY, "escrow": list(escrow)}
    return FunctionUnderTest(function.emulator, function.policy_file, policy)


def assert_made_by_the_cloud(
    function: FunctionUnderTest, owner: Owner, node: NodeOpener, envelope: str
) -> None:
    made = function.emulator.private_keys()[-1].encode()
    assert owner.with_jose(node, envelope) == made
    assert owner.with_jwcrypto(envelope) == made


# ---------------------------------------------------------------- the command that opens


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run what a user pastes, where `python3` is one that has jwcrypto."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", f"umask 022; {command}"],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def make_identity(kind: str, folder: Path) -> str:
    """Put an identity where the command looks for it, and return the recipient."""
    if kind == "as advised":
        _, _, advice = RecipientProblem.JWK_MALFORMED.advice.partition("; ")
        return run(advice.removesuffix(" creates one"), folder).stdout
    owner = make_owner(kind)
    if owner.pem is not None:
        (folder / "key.pem").write_bytes(owner.pem)
    else:
        (folder / "key.jwk").write_text(owner.key.export_private())
    return owner.public


@pytest.mark.parametrize("kind", ["as advised", "P-256", "P-384", "P-521", "RSA", "X25519", "X25519 PEM"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_the_command_opens_or_leaves_nothing(kind: str, end: str, tmp_path: Path) -> None:
    public = make_identity(kind, tmp_path)
    sealer = prepare_sealer([public], now=0.0)
    envelope = sealer.seal(SecretBytes(PEM), CONTENTS)
    command = sealer.open_with("deploy")
    assert "\n" not in command
    before = sorted(tmp_path.iterdir())

    assert run(command, tmp_path).returncode != 0
    cut = envelope[:-4] + ("AAAA" if envelope[-4:] != "AAAA" else "BBBB")
    (tmp_path / "deploy.jwe").write_text(cut + end)
    assert run(command, tmp_path).returncode != 0
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "deploy.jwe"])

    (tmp_path / "deploy.jwe").write_text(envelope + end)
    done = run(command, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "deploy.pem").read_bytes() == PEM
    assert stat.S_IMODE((tmp_path / "deploy.pem").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["P-256", "RSA", "X25519 PEM"])
def test_the_command_opens_envelopes_to_several(kind: str, tmp_path: Path) -> None:
    sealer = prepare_sealer([make_identity(kind, tmp_path), make_owner("RSA").public], now=0.0)
    (tmp_path / "deploy.jwe").write_text(sealer.seal(SecretBytes(PEM), CONTENTS) + "\n")
    assert run(sealer.open_with("deploy"), tmp_path).returncode == 0
    assert (tmp_path / "deploy.pem").read_bytes() == PEM


def test_the_command_never_writes_over_the_identity(tmp_path: Path) -> None:
    sealer = prepare_sealer([make_identity("X25519 PEM", tmp_path)], now=0.0)
    identity = (tmp_path / "key.pem").read_bytes()
    (tmp_path / "key.jwe").write_text(sealer.seal(SecretBytes(PEM), CONTENTS))
    assert run(sealer.open_with("key"), tmp_path).returncode != 0
    assert (tmp_path / "key.pem").read_bytes() == identity


# ---------------------------------------------------------------- tampering


def flips(text: str) -> Iterator[str]:
    """Change each byte of a text in base64url, one at a time; one bit more where there is none."""
    octets = decode(text)
    for place in range(len(octets)):
        yield base64url(octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :])
    yield base64url(octets + b"\x00")


@pytest.mark.parametrize("kind", ["RSA", "P-256", "X25519"])
def test_no_byte_of_a_compact_envelope_can_be_changed(kind: str, node: NodeOpener) -> None:
    owner = make_owner(kind, kid="laptop")
    parts = sealed_to(owner.public, plaintext=b"secret").split(".")
    assert owner.with_jose(node, ".".join(parts)) == owner.with_jwcrypto(".".join(parts)) == b"secret"
    for place, part in enumerate(parts):
        for flipped in flips(part):
            envelope = ".".join([*parts[:place], flipped, *parts[place + 1 :]])
            assert owner.with_jose(node, envelope) is None, (place, flipped)
            assert owner.with_jwcrypto(envelope) is None, (place, flipped)


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield every text in JSON, and the way to it."""
    if isinstance(value, str):
        yield path, value
        return
    assert isinstance(value, (dict, list))
    for step in value if isinstance(value, dict) else range(len(value)):
        yield from places(value[step], (*path, step))


def changed(envelope: str, path: tuple[Any, ...], text: str) -> str:
    document = inner = json.loads(envelope)
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = text
    return json.dumps(document)


def test_no_byte_of_a_json_envelope_can_be_changed(node: NodeOpener) -> None:
    """Without a `kid`: that only helps to find the key, and is not protected where there are several."""
    owners = [make_owner(kind) for kind in ("RSA", "P-256", "X25519")]
    envelope = sealed_to(*(owner.public for owner in owners), plaintext=b"secret")
    seen = set()
    for path, text in places(json.loads(envelope)):
        seen.add(path[-1])
        shared = path[0] != "recipients"
        concerned = owners if shared else [owners[path[1]]]
        words = path[-1] in ("alg", "kty", "crv")
        for flipped in [text[:-1] + chr(ord(text[-1]) ^ 1)] if words else flips(text):
            tampered = changed(envelope, path, flipped)
            for owner in concerned:
                assert owner.with_jose(node, tampered) is None, (path, flipped)
                assert owner.with_jwcrypto(tampered) is None, (path, flipped)
        for owner in owners:
            if owner not in concerned:
                assert owner.with_jose(node, tampered) == owner.with_jwcrypto(tampered) == b"secret"
    assert seen == {"protected", "iv", "ciphertext", "tag", "encrypted_key", "alg", "kty", "crv", "x", "y"}
