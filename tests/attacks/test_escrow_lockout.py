"""The attacker locks escrow out of a key pair.

Has: an account that may name its own recipients.
Does: sends, as a second recipient, another key that readers find by the same id as escrow's key. Some readers
stop when they find a part under their id that their key does not open.
Sees: 422 before any key pair exists.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import os
import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwcrypto import jwk
from pydantic import SecretBytes
from pysequoia.packet import Tag

from handler.errors import RecipientRefused
from handler.sealing import prepare_sealer
from handler.sealing.sealer import KeyReference, distinct
from tests.support.function_under_test import POLICY, REST, FunctionUnderTest
from tests.support.pem_attacks import certificate
from tests.support.pgp_crafting import TO_ENCRYPT, Primary, block, four, packet, subkey, subpacket
from tests.support.pgp_owners import CONTENTS, key_ring, split
from tests.support.recipient_attacks import ed25519_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.pgp_owners import Gpg

HOSTILE_ENVELOPES = int(os.environ.get("HOSTILE_ENVELOPES", "20"))
"""Of each format whose ids can be made to collide. Set it to 1000 when sealing changes."""

# Two Ed25519 keys, by the numbers that their private keys are, whose SSH blobs have the same tag in age: the
# first four bytes of SHA-256. It took 55,659 keys to find them (a birthday pair).
TWINS = (28722, 55659)


def ssh_twin(number: int) -> tuple[str, bytes]:
    """Return the public line and the private key of an SSH key."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big"))
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return line, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def jwk_of(kid: str | None, **members: object) -> str:
    named = {} if kid is None else {"kid": kid}
    key: str = jwk.JWK.generate(kty="EC", crv="P-256", **named, **members).export_public()
    return key


def function_with(escrow: str, emulator: EmulatorProcess, folder: Path) -> FunctionUnderTest:
    policy = copy.deepcopy(POLICY)
    policy["escrow"] = [escrow]
    return FunctionUnderTest(emulator, folder / "policy.json", policy=policy)


def refused(function: FunctionUnderTest, *recipients: str) -> bool:
    """Return whether an order is refused for its first recipient, before the cloud is called."""
    before = function.create_calls()
    answer = function.call(function.signed(REST, function.rest_body(recipients=list(recipients))))
    problem = {"field": "recipients.0", "rule": "recipient-ambiguous"}
    return (
        answer.status == 422
        and answer.code == "recipient-refused"
        and problem.items() <= answer.json["errors"][0].items()
        and function.create_calls() == before
    )


def test_the_twins_stop_age(tmp_path: Path) -> None:
    """What the attack is about: `age` gives up at the first part under the tag of its key."""
    (first, _), (second, identity) = (ssh_twin(number) for number in TWINS)
    envelope = pyrage.encrypt(b"text", [pyrage.ssh.Recipient.from_str(line) for line in (first, second)])
    file = tmp_path / "identity"
    file.write_bytes(identity)
    command: list[str | Path] = ["age", "--decrypt", "--identity", file]
    done = subprocess.run(command, input=envelope, capture_output=True, check=False)
    assert done.returncode == 1


def test_age(emulator: EmulatorProcess, tmp_path: Path) -> None:
    hostile, escrow = (ssh_twin(number)[0] for number in TWINS)
    function = function_with(escrow, emulator, tmp_path)
    assert refused(function, hostile)


def test_jwe(emulator: EmulatorProcess, tmp_path: Path) -> None:
    function = function_with(jwk_of("escrow"), emulator, tmp_path)
    assert refused(function, jwk_of("escrow"))
    # A reader looks for the id before the type.
    assert refused(function, jwk.JWK.generate(kty="OKP", crv="X25519", kid="escrow").export_public())


def test_cms(emulator: EmulatorProcess, tmp_path: Path) -> None:
    function = function_with(fresh_certificate(), emulator, tmp_path)
    assert refused(function, fresh_certificate())


def same_name(key: ec.EllipticCurvePrivateKey) -> str:
    """Return a certificate for `key` whose issuer and serial number are always the same."""
    return certificate(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


@dataclass(frozen=True)
class Certificate:
    """Stands for a PGP certificate. Key ids have 64 bits, so real ones that collide are not at hand."""

    references: tuple[KeyReference, ...]


def test_pgp() -> None:
    hostile = Certificate((KeyReference("a1", "hostile 1"), KeyReference("e5", "hostile 2")))
    escrow = Certificate((KeyReference("e5", "escrow"),))
    with pytest.raises(RecipientRefused) as refusal:
        distinct([Certificate((KeyReference("b2", "caller"),)), hostile, escrow])
    assert (refusal.value.problem.code, refusal.value.position) == ("recipient-ambiguous", 1)


def test_a_pgp_certificate_with_the_subkey_of_escrow(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Anybody can bind it to a primary key of their own. The certificate must not stand for escrow's.

    It could claim features that escrow's gpg lacks, or unbind the subkey while the key pair is created.
    """
    with key_ring() as escrow, key_ring() as honest:
        publics = [gpg.public(gpg.make("future-default")) for gpg in (escrow, honest)]
        adopted = next(packet.body for packet in split(publics[0]) if packet.tag == Tag.PublicSubkey)
        hostile = [adopting(adopted, random.Random(seed)) for seed in range(HOSTILE_ENVELOPES)]  # noqa: S311  # the same each time
        outcomes = Counter[str]()
        for number, recipient in enumerate(hostile):
            # The honest one's gpg lacks the same features, so half the time escrow is left alone.
            others = [(publics[1], honest), (publics[0], escrow)][number % 2 :]
            outcomes[outcome([recipient, *(public for public, _ in others)], [gpg for _, gpg in others])] += 1
        assert set(outcomes) == {"all open it", "refused"}, outcomes

        function = function_with(publics[0], emulator, tmp_path)
        function.clock.time = time.time()
        answers = [
            function.call(function.signed(REST, function.rest_body(recipients=[one]))) for one in hostile[:6]
        ]
        assert {answer.status for answer in answers} == {201, 422}
        for answer in answers:
            if answer.status == 201:
                assert escrow.open(answer.json["sealedPrivateKey"]["ciphertext"])
                fingerprints = answer.json["sealedPrivateKey"]["recipients"]
                assert str(split(publics[0])[0].fingerprint).upper() in fingerprints


def adopting(subkey_of_escrow: bytes, choose: random.Random) -> str:
    """Return a certificate of the attacker in which that subkey is one of several."""
    now = int(time.time())
    primary = Primary(now - 1000)
    # RFC 9580 section 5.2.3.32: SEIPD version 1, or version 2 as well.
    features = choose.choice([b"", subpacket(30, b"\x01"), subpacket(30, b"\x09")])
    created = int.from_bytes(subkey_of_escrow[1:5], "big")
    ends = choose.choice([b"", subpacket(9, four(now - created + choose.choice([2, 60, 10**6])))])
    own, native = subkey(now - 900), subkey(now - 900, native=True)
    bound = [
        (subkey_of_escrow, TO_ENCRYPT + ends),
        *[(key, TO_ENCRYPT) for key in choose.sample([own, native], choose.randint(0, 2))],
    ]
    choose.shuffle(bound)
    keys = b"".join(packet(14, key) + primary.binding(key, now - 10, more) for key, more in bound)
    return block(primary.named(now - 900, features) + keys)


def outcome(recipients: list[str], owners: list[Gpg]) -> str:
    try:
        sealer = prepare_sealer(recipients, now=time.time())
    except RecipientRefused:
        return "refused"
    envelope = sealer.seal(SecretBytes(b"text"), CONTENTS)
    return "all open it" if all(owner.open(envelope) == b"text" for owner in owners) else "locked out"


def test_the_same_key_twice_is_sealed_to_once(gpg: Gpg) -> None:
    line, _ = ssh_twin(TWINS[0])
    age = str(pyrage.x25519.Identity.generate().to_public())
    assert fingerprints(line, f"{line} a comment", age, age) == 2
    key = json.loads(jwk_of("mine"))
    assert fingerprints(json.dumps(key), json.dumps(dict(reversed(key.items()))), jwk_of("other")) == 2
    # By another id too, because its owner may look for either.
    assert fingerprints(json.dumps(key), json.dumps(key | {"kid": "theirs"})) == 2
    pgp = gpg.public(gpg.make("future-default"))
    assert fingerprints(pgp, pgp + "\n", gpg.public(gpg.make("future-default"))) == 2


def fingerprints(*recipients: str) -> int:
    return len(prepare_sealer(recipients, now=time.time()).fingerprints)


def test_many_envelopes_with_a_taken_id(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """JWE and CMS, whose ids anybody can choose."""
    for escrow, hostile in (
        (jwk_of("escrow"), [jwk_of("escrow") for _ in range(HOSTILE_ENVELOPES)]),
        (fresh_certificate(), [fresh_certificate() for _ in range(HOSTILE_ENVELOPES)]),
    ):
        function = function_with(escrow, emulator, tmp_path)
        assert all(refused(function, recipient) for recipient in hostile)


def fresh_certificate() -> str:
    return same_name(ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.slow
def test_keys_that_only_hash_alike_in_age(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """The first birthday pairs among millions of junk points, two by two."""
    function = FunctionUnderTest(emulator, tmp_path / "policy.json")
    pairs = list(itertools.islice(birthday_pairs(), HOSTILE_ENVELOPES))
    assert len(pairs) == HOSTILE_ENVELOPES
    assert all(refused(function, *pair) for pair in pairs)


def birthday_pairs() -> Iterator[tuple[str, str]]:
    """Yield pairs of points on the curve under one tag. Nobody has their private keys, nor needs them."""
    prefix = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"
    seen: dict[bytes, bytes] = {}
    for number in itertools.count(2):
        point = number.to_bytes(32, "little")
        other = seen.setdefault(hashlib.sha256(prefix + point).digest()[:4], point)
        if other is not point and on_curve(point) and on_curve(other):
            yield ed25519_line(other), ed25519_line(point)


def on_curve(point: bytes) -> bool:
    prime = 2**255 - 19
    y = int.from_bytes(point, "little")
    x_squared = (y * y - 1) * pow(-121665 * pow(121666, -1, prime) * y * y + 1, -1, prime)
    return pow(x_squared, (prime - 1) // 2, prime) == 1
