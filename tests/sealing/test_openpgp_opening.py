"""Owners of PGP keys open their envelopes in GnuPG and OpenPGP.js; tampered ones do not open."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretBytes
from pysequoia import ArmorKind, armor
from pysequoia.packet import Tag

from handler.sealing import prepare_sealer
from handler.sealing.recipient_problems import MAKE_PGP_KEY
from tests.support.function_under_test import POLICY, REST, FunctionUnderTest
from tests.support.pgp_owners import CONTENTS, Gpg, JsOwner, js_owners, key_ring, seal, split

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.node_opener import NodeOpener

pytestmark = pytest.mark.process

JS_KINDS: dict[str, dict[str, Any]] = {
    "curve25519 legacy": {"type": "ecc", "curve": "curve25519Legacy"},
    "P-256": {"type": "ecc", "curve": "nistP256"},
    "P-384": {"type": "ecc", "curve": "nistP384"},
    "P-521": {"type": "ecc", "curve": "nistP521"},
    "RSA": {"type": "rsa", "rsaBits": 2048},
    "X25519 of RFC 9580": {"type": "curve25519"},
    "that asks for AEAD": {"config": {"aeadProtect": True}},
    "version 6": {"type": "curve25519", "config": {"v6Keys": True}},
    "version 6 of RSA": {"type": "rsa", "rsaBits": 2048, "config": {"v6Keys": True}},
}
NOT_FOR_GPG = ("X25519 of RFC 9580", "that asks for AEAD", "version 6", "version 6 of RSA")


@pytest.fixture(scope="module")
def in_js() -> dict[str, JsOwner]:
    return dict(zip(JS_KINDS, js_owners(*JS_KINDS.values()), strict=True))


@pytest.fixture(scope="module")
def good(gpg: Gpg) -> str:
    return gpg.public(gpg.make())


# ---------------------------------------------------------------- opened by its owner


def made_in_gpg(gpg: Gpg, count: int) -> Iterator[str]:
    for i in range(count):
        if i % 10 == 0:
            yield gpg.make("rsa3072" if i == 0 else "rsa2048", "sign", subkey=("rsa2048", "encr"))
        elif i % 10 == 1:
            yield gpg.make(expire="1y")
        else:
            yield gpg.make()


@pytest.mark.parametrize("count", [10, pytest.param(50, marks=pytest.mark.exhaustive)])
def test_fresh_keys_of_gpg_open_what_is_sealed_to_them(gpg: Gpg, count: int) -> None:
    for fingerprint in made_in_gpg(gpg, count):
        public = gpg.public(fingerprint)
        sealer = prepare_sealer([public], now=time.time())
        assert sealer.fingerprints == (fingerprint,)
        plaintext = f"the private key for {fingerprint}\r\n".encode() + os.urandom(1000)
        assert gpg.open(sealer.seal(SecretBytes(plaintext), CONTENTS)) == plaintext


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.exhaustive)])
def test_fresh_keys_of_openpgp_js_open_what_is_sealed_to_them(node: NodeOpener, rounds: int) -> None:
    for owner in js_owners(*list(JS_KINDS.values()) * rounds):
        plaintext = b"the private key\r\n" + os.urandom(1000)
        assert owner.open(node, seal(plaintext, owner.public)) == plaintext


@pytest.mark.parametrize("kind", JS_KINDS)
def test_each_of_several_opens_alone(
    kind: str, gpg: Gpg, node: NodeOpener, in_js: dict[str, JsOwner]
) -> None:
    js, ours = in_js[kind], gpg.make()
    publics = [
        js.public,
        gpg.public(ours),
        gpg.public(gpg.make("rsa2048", "sign", subkey=("rsa2048", "encr"))),
    ]
    envelope = seal(b"the private key", *publics)
    assert js.open(node, envelope) == b"the private key"
    assert gpg.open(envelope) == b"the private key"
    with key_ring() as apart:
        assert apart.open(envelope) is None
        apart.run("--import", given=gpg.secret(ours))
        assert apart.open(envelope) == b"the private key"


@pytest.mark.parametrize("kind", JS_KINDS)
def test_the_command_is_for_the_owner_of_the_first(kind: str, in_js: dict[str, JsOwner], good: str) -> None:
    command = prepare_sealer([in_js[kind].public, good], now=time.time()).open_with("deploy")
    if kind in NOT_FOR_GPG:
        assert "sq decrypt --output deploy.pem deploy.asc || " in command
    else:
        assert command == prepare_sealer([good], now=time.time()).open_with("deploy")
        assert "gpg" in command


def test_what_an_envelope_looks_like(gpg: Gpg, good: str) -> None:
    envelope = seal(b"the private key", good, gpg.public(gpg.make()))
    assert envelope.startswith("-----BEGIN PGP MESSAGE-----\n\n")
    assert envelope.endswith("-----END PGP MESSAGE-----\n")
    assert [packet.tag for packet in split(envelope)] == [Tag.PKESK, Tag.PKESK, Tag.SEIP]
    # gpg 2.2 knows no other: session keys of version 3, encrypted data of version 1.
    assert [packet.body[0] for packet in split(envelope)] == [3, 3, 1]
    assert len({seal(b"same", good) for _ in range(20)}) == 20


# What a change to the framing of the session key may do is open all the same: no version authenticates it.


@pytest.mark.parametrize(
    "kind",
    ["curve25519 legacy", pytest.param("RSA", marks=pytest.mark.slow), "that asks for AEAD", "version 6"],
)
def test_openpgp_js_opens_no_changed_text(kind: str, node: NodeOpener, in_js: dict[str, JsOwner]) -> None:
    owner = in_js[kind]
    envelope = seal(b"the private key", owner.public)
    for place, changed in changes(envelope, 0x01, 0x80):
        opened = owner.open(node, changed)
        assert opened is None or (opened == b"the private key" and place in session_key(envelope)), place


@pytest.mark.slow
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_gpg_opens_no_changed_text(gpg: Gpg, good: str, tmp_path: Path, step: int) -> None:
    envelope = seal(b"the private key", good)
    command = prepare_sealer([good], now=time.time()).open_with("deploy")
    opened = tmp_path / "deploy.pem"
    for place, changed in itertools.islice(changes(envelope, 0x01, 0x80), 0, None, step):
        (tmp_path / "deploy.asc").write_text(changed)
        if run(command, tmp_path, gpg).returncode == 0:
            assert opened.read_bytes() == b"the private key"
            assert place in session_key(envelope)
            opened.unlink()
        assert list(tmp_path.iterdir()) == [tmp_path / "deploy.asc"]


def session_key(envelope: str) -> range:
    return range(len(bytes(split(envelope)[0])))


def changes(envelope: str, *masks: int) -> Iterator[tuple[int, str]]:
    """Give each place of the message, with an envelope that differs there."""
    message = b"".join(bytes(packet) for packet in split(envelope))
    for place, mask in itertools.product(range(len(message)), masks):
        changed = bytearray(message)
        changed[place] ^= mask
        yield place, armor(bytes(changed), ArmorKind.Message)


# ---------------------------------------------------------------- the command


def run(command: str, folder: Path, gpg: Gpg) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"umask 022; {command}"],
        cwd=folder,
        env=gpg.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def tampered(envelope: str) -> str:
    """Change the last octet, of the checksum: gpg has then written the text before it finds that out."""
    *_, (_, changed) = changes(envelope, 0x01)
    return changed


@pytest.mark.parametrize("end", ["\n", ""])
def test_the_command_opens_or_leaves_nothing(end: str, gpg: Gpg, good: str, tmp_path: Path) -> None:
    command = prepare_sealer([good], now=time.time()).open_with("deploy")
    assert "\n" not in command
    envelope = seal(b"the private key\n", good)
    file, opened = tmp_path / "deploy.asc", tmp_path / "deploy.pem"

    assert run(command, tmp_path, gpg).returncode != 0
    assert list(tmp_path.iterdir()) == []

    file.write_text(tampered(envelope))
    written = gpg.run("--output", str(tmp_path / "written"), "--decrypt", str(file))
    assert written.returncode != 0
    assert (tmp_path / "written").read_bytes().startswith(b"the private")
    (tmp_path / "written").unlink()
    assert run(command, tmp_path, gpg).returncode != 0
    assert list(tmp_path.iterdir()) == [file]

    file.write_text(envelope.rstrip("\n") + end)
    assert run(command, tmp_path, gpg).returncode == 0
    assert opened.read_bytes() == b"the private key\n"
    assert stat.S_IMODE(opened.stat().st_mode) == 0o600
    assert sorted(tmp_path.iterdir()) == [file, opened]

    file.write_text(tampered(envelope))
    assert run(command, tmp_path, gpg).returncode != 0
    assert opened.read_bytes() == b"the private key\n"
    assert sorted(tmp_path.iterdir()) == [file, opened]


def test_the_command_leaves_nothing_to_somebody_else(good: str, tmp_path: Path) -> None:
    (tmp_path / "deploy.asc").write_text(seal(b"the private key", good))
    with key_ring() as other:
        assert (
            run(prepare_sealer([good], now=time.time()).open_with("deploy"), tmp_path, other).returncode != 0
        )
    assert list(tmp_path.iterdir()) == [tmp_path / "deploy.asc"]


def test_a_key_made_as_the_advice_says(gpg: Gpg) -> None:
    make, _, export = MAKE_PGP_KEY.partition(" && ")
    assert make.split()[0] == export.split()[0] == "gpg"
    assert gpg.run(*make.split()[1:]).returncode == 0
    public = gpg.run(*export.split()[1:]).stdout.decode()
    assert gpg.open(seal(b"the private key", public)) == b"the private key"


# ---------------------------------------------------------------- the front door


def test_the_answer_of_rest(emulator: EmulatorProcess, gpg: Gpg, tmp_path: Path) -> None:
    escrow = gpg.make()
    policy = {**POLICY, "escrow": [*POLICY["escrow"], gpg.public(escrow)]}
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", policy)
    function.clock.time = time.time()
    fingerprint = gpg.make()
    body = function.rest_body(recipients=[gpg.public(fingerprint)], envelopeFormat="openpgp")
    answer = function.call(function.signed(REST, body))

    assert answer.status == 201
    sealed = answer.json["sealedPrivateKey"]
    envelope = sealed.pop("ciphertext")
    name = body["keyName"]
    assert sealed == {
        "format": "openpgp",
        "recipients": [fingerprint, escrow],
        "openWith": f"(umask 077; [ ! -e {name}.pem ] || {{ echo {name}.pem exists >&2; exit 1; }}; "
        f"gpg --output {name}.pem --decrypt {name}.asc && [ -s {name}.pem ] "
        f"|| {{ rm -f {name}.pem; exit 1; }})",
    }
    made = function.emulator.private_keys()[-1].encode()
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / f"{name}.asc").write_text(tampered(envelope))
    assert run(sealed["openWith"], folder, gpg).returncode != 0
    assert list(folder.iterdir()) == [folder / f"{name}.asc"]
    (folder / f"{name}.asc").write_text(envelope)
    assert run(sealed["openWith"], folder, gpg).returncode == 0
    assert (folder / f"{name}.pem").read_bytes() == made
