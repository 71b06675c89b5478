"""Recipients are vetted, and each can open the envelope alone, with the real age."""

from __future__ import annotations

import base64
import functools
import itertools
import os
import re
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pyrage
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretBytes

from handler import sealing
from handler.errors import RecipientRefused, SealingFailed
from handler.issuance import key_material
from handler.order import PrivateKeyFormat
from handler.sealing import Contents, Sealer, bech32
from handler.sealing.age import AgeSealer, Recipient, _accepted
from handler.sealing.recipient_problems import RECIPIENT_LIMIT, RecipientProblem
from tests.support.leaks import chain, values_in_frames
from tests.support.random_cases import examples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
PROBLEM = RecipientProblem
CONTENTS = Contents("skey-12345678", "name", "SHA256:fingerprint")
prepare_sealer = functools.partial(sealing.prepare_sealer, now=0.0)

quick = settings(
    max_examples=examples(100),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


# ---------------------------------------------------------------- what the tests make themselves


@dataclass(frozen=True)
class Owner:
    """Somebody with a key made by the real tools."""

    public: str
    identity: Path

    def open(self, envelope: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["age", "-d", "-i", self.identity], input=envelope.encode(), capture_output=True, check=False
        )


def make_owner(kind: str, folder: Path) -> Owner:
    folder.mkdir(parents=True)
    if kind == "age":
        identity = folder / "key.txt"
        subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
        public = subprocess.run(
            ["age-keygen", "-y", identity], check=True, capture_output=True, text=True
        ).stdout.strip()
        return Owner(public, identity)
    key_type, _, bits = kind.partition("-")
    identity = folder / f"id_{key_type}"
    size = ["-b", bits] if bits else []
    subprocess.run(
        ["ssh-keygen", "-q", "-t", key_type, *size, "-N", "", "-C", "someone@example", "-f", identity],
        check=True,
    )
    return Owner(identity.with_suffix(".pub").read_text(), identity)


@pytest.fixture(scope="module")
def owners(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Owner]:
    folder = tmp_path_factory.mktemp("owners")
    return {kind: make_owner(kind, folder / kind) for kind in ("age", "ed25519", "rsa-2048", "rsa-3072")}


def checksummed(human: str, values: list[int]) -> str:
    """Encode as BIP 173 says, written apart from the decoder under test."""
    expanded = [ord(c) >> 5 for c in human] + [0] + [ord(c) & 31 for c in human] + values + [0] * 6
    checksum = 1
    for value in expanded:
        top, checksum = checksum >> 25, (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in (
            (1, 0x3B6A57B2),
            (2, 0x26508E6D),
            (4, 0x1EA119FA),
            (8, 0x3D4233DD),
            (16, 0x2A1462B3),
        ):
            checksum ^= generator if top & bit else 0
    checksum ^= 1
    values = values + [checksum >> 5 * (5 - i) & 31 for i in range(6)]
    return f"{human}1" + "".join(ALPHABET[value] for value in values)


def bech32_encode(human: str, data: bytes) -> str:
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    return checksummed(human, [int(bits[i : i + 5], 2) for i in range(0, len(bits), 5)])


def age_recipient(u: int) -> str:
    return bech32_encode("age", u.to_bytes(32, "little"))


def string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def mpint(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def ssh_line(*parts: bytes, word: str | None = None) -> str:
    word = word or parts[0][4:].decode()
    return f"{word} {base64.b64encode(b''.join(parts)).decode()}"


def ed25519_line(encoded: bytes) -> str:
    return ssh_line(string(b"ssh-ed25519"), string(encoded))


def rsa_line(exponent: int, modulus: int) -> str:
    return ssh_line(string(b"ssh-rsa"), mpint(exponent), mpint(modulus))


Point = tuple[int, int]


def add(one: Point, other: Point) -> Point:
    """Add on Ed25519 (RFC 8032 section 5.1.4, affine)."""
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2
    return (
        (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
        (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
    )


def multiply(scalar: int, point: Point) -> Point:
    total = (0, 1)
    for bit in f"{scalar:b}":
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def point_at(y: int) -> Point | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for x in (root, root * pow(2, (P - 1) // 4, P) % P):
        if x * x % P == square:
            return x, y
    return None


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def torsion() -> list[Point]:
    for y in itertools.count(2):
        point = point_at(y)
        if point is None:
            continue
        generator = multiply(ORDER, point)
        if multiply(4, generator) != (0, 1):
            return [multiply(i, generator) for i in range(8)]
    raise AssertionError


TORSION = torsion()
OFF_CURVE = next(y for y in itertools.count(2) if point_at(y) is None)
# The points of order 1, 2, 4, 8 on the Montgomery curve and its twist, and the two spellings below 2^255.
ORDER_8 = sorted({(1 + y) * pow(1 - y, -1, P) % P for x, y in TORSION if x and y})
LOW_ORDER = [0, 1, P - 1, P, P + 1, *ORDER_8]
MODULUS = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n


def refused(text: str) -> RecipientProblem:
    """Return the problem, after checking everything that the error carries."""
    with pytest.raises(RecipientRefused) as caught:
        prepare_sealer([text])
    assert caught.value.position == 0
    assert_silent(caught.value)
    return caught.value.problem


# All that an error about a recipient and whatever led to it may say; the last line is of base64.
SAYINGS = re.compile(
    r"A recipient cannot be used\.|not bech32|not canonical|checksum|padding|cut|Error computing shared key\."
    r"|Incorrect padding|(Invalid base64-encoded string|Excess|Only base64|Leading padding)[a-z0-9 :()]*"
)


def assert_silent(refusal: RecipientRefused) -> None:
    """Assert that neither the error nor what it hangs on holds anything of the caller's text."""
    assert refusal.reason == refusal.problem.code
    for link in chain(refusal):
        assert SAYINGS.fullmatch(str(link)), link
        assert link.args == (str(link),)
        assert repr(link) == f"{type(link).__name__}({str(link)!r})"


def envelope_to(text: str) -> Sealer | None:
    """Return nothing where the text is refused; any other error is a failure."""
    try:
        return prepare_sealer([text])
    except RecipientRefused as refusal:
        assert_silent(refusal)
        return None


# ---------------------------------------------------------------- Bech32


@pytest.mark.parametrize(
    ("text", "human", "data"),
    [
        ("a12uel5l", "a", ""),
        (
            "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
            "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio",
            "",
        ),
        (
            "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
            "abcdef",
            "00443214c74254b635cf84653a56d7c675be77df",
        ),
        ("11" + "q" * 82 + "c8247j", "1", "00" * 51),
        (
            "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
            "split",
            "c5f38b70305f519bf66d85fb6cf03058f3dde463ecd7918f2dc743918f2d",
        ),
        ("?1ezyfcl", "?", ""),
        (
            "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa",
            "age",
            "5f8662658a1446e3aa0b6fc63c84988966c99f5fa3fc7102c9a73b0690fa9075",
        ),
    ],
)
def test_published_bech32_is_decoded(text: str, human: str, data: str) -> None:
    assert bech32.decode(text) == (human, bytes.fromhex(data))


@pytest.mark.parametrize(
    "text",
    [
        "\x201nwldj5",
        "\x7f1axkwrx",
        "\x801eym55h",
        "pzry9x0s0muk",
        "1pzry9x0s0muk",
        "x1b4n0q5v",
        "li1dgmt3",
        "de1lg7wt\xff",
        "A1G7SGD8",
        "10a06t8",
        "1qzzfhee",
        "A12UEL5L",  # valid in BIP 173; age writes lower case and reads nothing else
        "a12UEL5L",
        "",
        "1",
        "age1",
        checksummed("AGE", []),
        checksummed("Age", []),
        checksummed("age", [0]),  # five bits of padding
        checksummed("age", [0, 0, 0]),  # seven
        checksummed("age", [0, 1]),  # padding that is not zero
        checksummed("age", [*[0] * 51, 8]),
    ],
)
def test_bad_bech32_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(not bech32|checksum|padding)$"):
        bech32.decode(text)


@pytest.mark.slow
@quick
@given(st.binary(max_size=64), st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_bech32_round_trip(data: bytes, human: str) -> None:
    assert bech32.decode(bech32_encode(human.lower(), data)) == (human.lower(), data)


# ---------------------------------------------------------------- age recipients


def test_there_are_seven_low_order_points_and_eight_of_torsion() -> None:
    assert len(set(LOW_ORDER)) == 7
    assert len(set(TORSION)) == 8


@pytest.mark.slow
@pytest.mark.parametrize("u", LOW_ORDER)
@pytest.mark.parametrize("top_bit", [0, 1 << 255])
def test_low_order_points_are_refused(u: int, top_bit: int) -> None:
    assert refused(age_recipient(u | top_bit)) is PROBLEM.LOW_ORDER


@pytest.mark.parametrize("u", [P + 2, 2**255 - 1, 2**255 + 9, 2**256 - 1])
def test_another_encoding_of_a_point_is_refused(u: int) -> None:
    assert refused(age_recipient(u)) is PROBLEM.UNUSABLE


def test_the_owner_cannot_open_an_envelope_to_another_encoding() -> None:
    owner = pyrage.x25519.Identity.generate()
    _, point = bech32.decode(str(owner.to_public()))
    spelling = age_recipient(int.from_bytes(point, "little") | 1 << 255)
    assert refused(spelling) is PROBLEM.UNUSABLE

    sealed = pyrage.encrypt(b"lost", [pyrage.x25519.Recipient.from_str(spelling)])
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [owner])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (bech32_encode("age1yubikey", bytes(33)), PROBLEM.PLUGIN),
        (bech32_encode("age1../../bin/sh", bytes(32)), PROBLEM.PLUGIN),
        (bech32_encode("age1pq", bytes(1216)), PROBLEM.PLUGIN),
        (bech32_encode("age", b"\x09" + bytes(30)), PROBLEM.PLUGIN),
        (bech32_encode("age", b"\x09" + bytes(32)), PROBLEM.PLUGIN),
        (age_recipient(9)[:-1], PROBLEM.BECH32),
        (age_recipient(9) + "," + age_recipient(9), PROBLEM.SEVERAL),
        ("age1", PROBLEM.BECH32),
        ("age1é" + "q" * 58, PROBLEM.CONTROL_CHARACTERS),
        (age_recipient(9) + "\x00", PROBLEM.CONTROL_CHARACTERS),
        (age_recipient(9) + "\n" + age_recipient(9), PROBLEM.SEVERAL),
        (age_recipient(9) + "\r" + age_recipient(9), PROBLEM.SEVERAL),
        ("age1" + "q" * (RECIPIENT_LIMIT - 3), PROBLEM.TOO_LONG),
        ("age1" + "q" * (RECIPIENT_LIMIT - 4), PROBLEM.BECH32),
        ("", PROBLEM.UNKNOWN),
        (" \n", PROBLEM.UNKNOWN),
        ("\ud800 a lone surrogate", PROBLEM.CONTROL_CHARACTERS),
        ("someone@example.com", PROBLEM.UNKNOWN),
    ],
)
def test_malformed_age_recipients(text: str, problem: RecipientProblem) -> None:
    assert refused(text) is problem


@pytest.mark.parametrize(
    "text",
    [
        "AGE-SECRET-KEY-1" + "Q" * 58,
        "age-secret-key-1" + "q" * 58,
        "AGE-SECRET-KEY-PQ-1QQQQ",
        "# public key: age1xyz\nAGE-SECRET-KEY-1QQQ",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\r\n",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
        '{"kty":"RSA","n":"AQAB","d" : "AQAB"}',
        '{"kty":"oct","k":"AQAB"}',
        "-----BEGIN PRIVATE KEY-----" + "A" * RECIPIENT_LIMIT,
        "-----BEGIN PRIVATE KEY-----\x00é",
    ],
)
def test_private_keys_are_detected_before_anything_else(text: str) -> None:
    assert refused(text) is PROBLEM.PRIVATE


# ---------------------------------------------------------------- SSH recipients


@pytest.mark.parametrize("point", TORSION)
def test_ed25519_points_of_low_order_are_refused(point: Point) -> None:
    line = ed25519_line(encode(point))
    # pyrage takes it, and the envelope would protect nothing.
    assert pyrage.encrypt(b"open to all", [pyrage.ssh.Recipient.from_str(line)])
    assert refused(line) is PROBLEM.LOW_ORDER


@pytest.mark.parametrize("y", [1, P - 1])
def test_ed25519_points_with_a_sign_and_no_x_are_refused(y: int) -> None:
    assert refused(ed25519_line((y | 1 << 255).to_bytes(32, "little"))) is PROBLEM.LOW_ORDER


@pytest.mark.parametrize("y", [OFF_CURVE, OFF_CURVE | 1 << 255, P, P + 1, P + 3, 2**255 - 1, 2**256 - 1])
def test_invalid_ed25519_points_are_refused(y: int) -> None:
    assert refused(ed25519_line(y.to_bytes(32, "little"))) is PROBLEM.ED25519_POINT


@pytest.mark.slow
def test_an_ed25519_point_of_mixed_order_is_harmless(owners: dict[str, Owner]) -> None:
    key = base64.b64decode(owners["ed25519"].public.split()[1])[-32:]
    number = int.from_bytes(key, "little")
    point = point_at(number & 2**255 - 1)
    assert point is not None
    if point[0] & 1 != number >> 255:
        point = (P - point[0], point[1])
    assert encode(point) == key
    montgomery = [(1 + y) * pow(1 - y, -1, P) % P for _, y in (add(point, small) for small in TORSION)]
    assert len(set(montgomery)) == 8
    ephemeral = X25519PrivateKey.generate()
    secrets = {
        ephemeral.exchange(X25519PublicKey.from_public_bytes(u.to_bytes(32, "little"))) for u in montgomery
    }
    assert len(secrets) == 1
    for small in TORSION:
        prepare_sealer([ed25519_line(encode(add(point, small)))])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (ssh_line(string(b"ssh-ed25519"), string(bytes(31))), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-ed25519"), string(bytes(33))), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-ed25519")), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-ed25519"), string(b"\x09" * 32), b"\x00"), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-ed25519"), string(b"\x09" * 32), string(b"")), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-ed25519"), string(b"\x09" * 32)[:-1]), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-ed25519"), b"\xff\xff\xff\xff" + bytes(32)), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-rsa"), string(bytes(32)), word="ssh-ed25519"), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-ed25519"), string(bytes(32)), word="ssh-rsa"), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-rsa"), mpint(65537)), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-rsa"), mpint(65537), mpint(MODULUS), b"\x00"), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-rsa"), mpint(65537), mpint(MODULUS), string(b"")), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-rsa"), mpint(65537), mpint(MODULUS), mpint(1)), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-rsa"), mpint(65537), mpint(MODULUS)[:-1]), PROBLEM.SSH_MALFORMED),
        # an exponent that is empty, zero, negative, with a needless zero; a modulus that is negative
        (ssh_line(string(b"ssh-rsa"), string(b""), mpint(MODULUS)), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-rsa"), string(b"\x00"), mpint(MODULUS)), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-rsa"), string(b"\x81\x00\x01"), mpint(MODULUS)), PROBLEM.SSH_MALFORMED),
        (ssh_line(string(b"ssh-rsa"), string(b"\x00\x01\x00\x01"), mpint(MODULUS)), PROBLEM.SSH_MALFORMED),
        (
            ssh_line(string(b"ssh-rsa"), mpint(65537), string(MODULUS.to_bytes(256, "big"))),
            PROBLEM.SSH_MALFORMED,
        ),
        (rsa_line(65537, MODULUS >> 1 | 1), PROBLEM.RSA_SIZE),
        (rsa_line(65537, 2**4096 + 1), PROBLEM.RSA_SIZE),
        (rsa_line(3, MODULUS), PROBLEM.RSA_EXPONENT),
        (rsa_line(65535, MODULUS), PROBLEM.RSA_EXPONENT),
        (rsa_line(65538, MODULUS), PROBLEM.RSA_EXPONENT),
        (rsa_line(2**31 + 11, MODULUS), PROBLEM.RSA_EXPONENT),
        (rsa_line(65537, MODULUS - 1), PROBLEM.RSA_MODULUS),
        # base64 that is cut, padded needlessly, with bits to spare, without padding, in the URL alphabet
        ("ssh-ed25519 AAAA!", PROBLEM.SSH_MALFORMED),
        ("ssh-ed25519 A", PROBLEM.SSH_MALFORMED),
        ("ssh-rsa ====", PROBLEM.SSH_MALFORMED),
        (ed25519_line(b"\x09" * 32) + "=", PROBLEM.SSH_MALFORMED),
        (ed25519_line(b"\x09" * 32) + "==", PROBLEM.SSH_MALFORMED),
        (re.sub(r"(\w)==$", "B==", ssh_line(string(b"ssh-rsa"), b"\0")), PROBLEM.SSH_MALFORMED),
        (rsa_line(65537, MODULUS).rstrip("=") + "===", PROBLEM.SSH_MALFORMED),
        (ed25519_line(b"\xfb\xff" * 16).replace("/", "_").replace("+", "-"), PROBLEM.SSH_MALFORMED),
        ("ssh-rsa ", PROBLEM.SSH_MALFORMED),
        ("ssh-dss AAAAB3NzaC1kc3M= me", PROBLEM.SSH_TYPE),
        ("ecdsa-sha2-nistp256 AAAA me", PROBLEM.SSH_MALFORMED),
        ("sk-ssh-ed25519@openssh.com AAAA me", PROBLEM.SSH_SECURITY_KEY),
        ("sk-ecdsa-sha2-nistp256@openssh.com AAAA", PROBLEM.SSH_SECURITY_KEY),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", PROBLEM.SSH_TYPE),
        ('command="id" ' + ed25519_line(b"\x09" * 32), PROBLEM.SSH_OPTIONS),
        ("restrict," + ed25519_line(b"\x09" * 32), PROBLEM.SSH_OPTIONS),
    ],
)
def test_malformed_ssh_recipients(line: str, problem: RecipientProblem) -> None:
    assert refused(line) is problem


@pytest.mark.process
def test_unused_bits_of_base64_are_refused(owners: dict[str, Owner]) -> None:
    word, blob, _ = owners["rsa-3072"].public.split()
    assert blob.endswith("=")
    assert not blob.endswith("==")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".index(blob[-2])
    spelling = blob[:-2] + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[last + 1] + "="
    assert base64.b64decode(spelling) == base64.b64decode(blob)
    assert refused(f"{word} {spelling}") is PROBLEM.SSH_MALFORMED


def without_small_factors(start: int) -> int:
    """Return the first number from `start` on that no number below 10,000 divides."""
    return next(n for n in itertools.count(start) if all(n % divisor for divisor in range(2, 10_000)))


def test_the_edges_of_rsa_are_accepted() -> None:
    smallest, largest = without_small_factors(2**2047), without_small_factors(2**4095)
    prepare_sealer([rsa_line(2**31 - 1, MODULUS), rsa_line(65537, smallest), rsa_line(65537, largest)])


@pytest.mark.slow
@pytest.mark.parametrize("factor", [3, 5, 101, 9973])
def test_a_modulus_with_a_small_factor_is_refused(factor: int) -> None:
    """As most damaged lines have one."""
    modulus = factor * without_small_factors(2**2047)
    assert refused(rsa_line(65537, modulus)) is PROBLEM.RSA_MODULUS


def test_a_square_is_refused() -> None:
    root = without_small_factors(2**1024)
    assert refused(rsa_line(65537, root * root)) is PROBLEM.RSA_MODULUS


@pytest.mark.parametrize("kind", ["ed25519", "rsa-2048"])
def test_spacing_and_comment_do_not_matter(kind: str, owners: dict[str, Owner]) -> None:
    word, blob, _ = owners[kind].public.split()
    fingerprints = [
        prepare_sealer([text]).fingerprints
        for text in (
            f"{word} {blob}",
            f"  {word} {blob}\r\n",
            f"{word}\t{blob}\tmy laptop, bought 2024; rm -rf /",
            f"\n{word}  {blob} ",
        )
    ]
    listed = subprocess.run(
        ["ssh-keygen", "-lf", owners[kind].identity], check=True, capture_output=True, text=True
    ).stdout.split()
    assert fingerprints == [(listed[1],)] * 4


def test_the_position_of_the_first_bad_recipient_is_reported(owners: dict[str, Owner]) -> None:
    with pytest.raises(RecipientRefused) as caught:
        prepare_sealer([owners["age"].public, owners["ed25519"].public, "nonsense", age_recipient(0)])
    assert caught.value.position == 2
    assert [(p.field, p.rule) for p in caught.value.problems] == [("recipients.2", "recipient-unknown")]


def test_at_least_one_recipient_is_required() -> None:
    with pytest.raises(RecipientRefused) as caught:
        prepare_sealer([])
    assert (caught.value.problem, caught.value.position) == (PROBLEM.MISSING, None)


# ---------------------------------------------------------------- sealing, and the real age


@pytest.mark.process
@pytest.mark.parametrize(
    ("kind", "times"), [("age", 50), ("ed25519", 50), ("rsa-2048", 8), ("rsa-3072", 4), ("rsa-4096", 2)]
)
def test_fresh_recipients_open_what_is_sealed_to_them(kind: str, times: int, tmp_path: Path) -> None:
    for i in range(times):
        owner = make_owner(kind, tmp_path / str(i))
        secret = os.urandom(1675)
        opened = owner.open(prepare_sealer([owner.public]).seal(SecretBytes(secret), CONTENTS))
        assert (opened.returncode, opened.stdout) == (0, secret), opened.stderr


def test_each_of_several_recipients_opens_alone(owners: dict[str, Owner], tmp_path: Path) -> None:
    second = make_owner("age", tmp_path / "second")
    stranger = make_owner("age", tmp_path / "stranger")
    readers = [owners["ed25519"], second, owners["rsa-2048"], owners["age"], owners["rsa-3072"]]
    envelope = prepare_sealer([reader.public for reader in readers])
    assert envelope.format == "age"
    assert envelope.fingerprints[1] == second.public
    sealed = envelope.seal(SecretBytes(b"for five"), CONTENTS)
    assert sealed.startswith("-----BEGIN AGE ENCRYPTED FILE-----\n")
    assert sealed.endswith("\n-----END AGE ENCRYPTED FILE-----\n")
    for reader in readers:
        assert reader.open(sealed).stdout == b"for five"
    nobody = stranger.open(sealed)
    assert (nobody.returncode, nobody.stdout) == (1, b"")


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537])
def test_any_size_comes_back(size: int, owners: dict[str, Owner]) -> None:
    secret = os.urandom(size)
    opened = owners["age"].open(prepare_sealer([owners["age"].public]).seal(SecretBytes(secret), CONTENTS))
    assert (opened.returncode, opened.stdout) == (0, secret)


def test_no_two_envelopes_are_alike(owners: dict[str, Owner]) -> None:
    envelope = prepare_sealer([owners["age"].public])
    assert len({envelope.seal(SecretBytes(b"same"), CONTENTS) for _ in range(50)}) == 50


@pytest.mark.slow
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_a_change_anywhere_is_noticed(owners: dict[str, Owner], step: int) -> None:
    sealed = prepare_sealer([owners["age"].public]).seal(SecretBytes(b"some secret text"), CONTENTS)
    assert owners["age"].open(sealed).stdout == b"some secret text"
    # Every character but the last newline, which age lets go.
    for i, character in list(enumerate(sealed[:-1]))[::step]:
        changed = sealed[:i] + ("A" if character != "A" else "B") + sealed[i + 1 :]
        opened = owners["age"].open(changed)
        assert (opened.returncode, opened.stdout) == (1, b""), (i, changed)


HOME_IDENTITIES = {"age": "key.txt", "ed25519": ".ssh/id_ed25519", "rsa-2048": ".ssh/id_rsa"}


def run_in_home(command: str, home: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(
        ["sh", "-c", f"umask 022; {command}"], cwd=home, env=environment, capture_output=True, check=False
    )


def settle(owner: Owner, kind: str, home: Path) -> None:
    identity = home / HOME_IDENTITIES[kind]
    identity.parent.mkdir(parents=True, exist_ok=True)
    identity.write_bytes(owner.identity.read_bytes())
    identity.chmod(0o600)


@pytest.mark.process
@pytest.mark.parametrize("kind", HOME_IDENTITIES)
@pytest.mark.parametrize("form", [form for form in PrivateKeyFormat if form is not PrivateKeyFormat.PPK])
def test_the_command_writes_a_key_that_ssh_accepts(
    kind: str, form: PrivateKeyFormat, owners: dict[str, Owner], tmp_path: Path
) -> None:
    made = rsa.generate_private_key(65537, 2048)
    pem = made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = made.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    private_key = key_material.convert(SecretBytes(pem.rstrip()), form)
    settle(owners[kind], kind, tmp_path)
    envelope = prepare_sealer([owners[kind].public, age_recipient(9)])
    (tmp_path / "ci_key.age").write_text(envelope.seal(private_key, CONTENTS))

    done = run_in_home(envelope.open_with("ci_key"), tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    opened = tmp_path / "ci_key.pem"
    assert opened.read_bytes() == private_key.get_secret_value()
    assert stat.S_IMODE(opened.stat().st_mode) == 0o600
    shown = subprocess.run(["ssh-keygen", "-y", "-f", opened], check=True, capture_output=True).stdout
    assert shown.split()[:2] == public.split()[:2]


def test_the_command_leaves_no_file_if_it_fails(owners: dict[str, Owner], tmp_path: Path) -> None:
    settle(owners["age"], "age", tmp_path)
    envelope = prepare_sealer([age_recipient(9)])
    (tmp_path / "ci_key.age").write_text(envelope.seal(SecretBytes(b"secret"), CONTENTS))
    assert run_in_home(envelope.open_with("ci_key"), tmp_path).returncode == 1
    assert not (tmp_path / "ci_key.pem").exists()


def test_the_command_never_overwrites_a_file(owners: dict[str, Owner], tmp_path: Path) -> None:
    settle(owners["age"], "age", tmp_path)
    envelope = prepare_sealer([owners["age"].public])
    (tmp_path / "ci_key.age").write_text(envelope.seal(SecretBytes(b"secret"), CONTENTS))
    (tmp_path / "ci_key.pem").write_text("another")
    done = run_in_home(envelope.open_with("ci_key"), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"ci_key.pem exists\n")
    assert (tmp_path / "ci_key.pem").read_text() == "another"


# ---------------------------------------------------------------- what pyrage may do


def unvetted() -> Recipient:
    """Return the recipient that makes pyrage panic, past all vetting."""
    return Recipient("fingerprint", "key.txt", pyrage.x25519.Recipient.from_str(age_recipient(0)))


def test_a_panic_while_sealing_is_an_error_without_the_key() -> None:
    with pytest.raises(SealingFailed) as caught:
        AgeSealer((unvetted(),)).seal(SecretBytes(b"the private key"), CONTENTS)
    assert list(chain(caught.value)) == [caught.value]
    values = values_in_frames(caught)
    assert values
    assert b"the private key" not in values


def test_a_panic_on_trial_is_a_refusal() -> None:
    with pytest.raises(RecipientRefused) as caught:
        AgeSealer((unvetted(),)).try_seal()
    assert caught.value.problem is PROBLEM.UNUSABLE
    assert list(chain(caught.value)) == [caught.value]


def panic(_text: str) -> pyrage.x25519.Recipient:
    pyrage.encrypt(b"", [unvetted().key])
    raise AssertionError


@pytest.mark.parametrize("parse", [pyrage.ssh.Recipient.from_str, pyrage.x25519.Recipient.from_str, panic])
def test_recipients_that_pyrage_rejects_are_refused(parse: Callable[[str], pyrage.x25519.Recipient]) -> None:
    with pytest.raises(RecipientRefused) as caught:
        _accepted(parse, "ssh-ed25519 AAAA")
    assert caught.value.problem is PROBLEM.UNUSABLE
    assert list(chain(caught.value)) == [caught.value]


def interrupt(_text: str) -> pyrage.x25519.Recipient:
    raise KeyboardInterrupt


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(KeyboardInterrupt):
        _accepted(interrupt, "")
    with pytest.raises(TypeError):
        AgeSealer((Recipient("fingerprint", "key.txt", cast("Any", "no key")),)).try_seal()


# ---------------------------------------------------------------- whatever is sent

PREFIXES = [
    "",
    "age1",
    "age1yubikey1",
    "ssh-rsa ",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
    "AGE-SECRET-KEY-1",
    "{",
]


@pytest.mark.slow
@quick
@given(st.sampled_from(PREFIXES), st.text() | st.text("".join(map(chr, range(128)))))
def test_any_text_is_refused_and_never_echoed(prefix: str, text: str) -> None:
    envelope = envelope_to(prefix + text)
    assert envelope is None or envelope.seal(SecretBytes(b"x"), CONTENTS)


@pytest.mark.slow
@quick
@given(st.binary(max_size=100))
def test_any_point_or_blob_is_refused_or_sealed_to(data: bytes) -> None:
    for text in (bech32_encode("age", data), ed25519_line(data), ssh_line(string(b"ssh-rsa"), data)):
        envelope = envelope_to(text)
        assert envelope is None or envelope.seal(SecretBytes(b"x"), CONTENTS)


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[str], str]:
    at, character = draw(st.floats(0, 0.999)), draw(st.sampled_from(ALPHABET + "1A+/= \n"))
    how = draw(st.sampled_from(["replace", "insert", "delete", "swap", "case"]))

    def mutate(text: str) -> str:
        i = int(at * len(text))
        before, here, after = text[:i], text[i], text[i + 1 :]
        return {
            "replace": before + character + after,
            "insert": before + character + here + after,
            "delete": before + after,
            "swap": before + after[:1] + here + after[1:],
            "case": before + here.swapcase() + after,
        }[how]

    return mutate


@pytest.mark.slow
@quick
@given(st.lists(mutations(), min_size=1, max_size=4))
def test_a_mistyped_age_recipient_is_refused_or_still_opens(changes: list[Callable[[str], str]]) -> None:
    owner = pyrage.x25519.Identity.generate()
    text = str(owner.to_public())
    for change in changes:
        text = change(text)
    envelope = envelope_to(text)
    if envelope is not None:
        assert pyrage.decrypt(envelope.seal(SecretBytes(b"mine"), CONTENTS).encode(), [owner]) == b"mine"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ed25519", "rsa-2048"])
@quick
@given(changes=st.lists(mutations(), min_size=1, max_size=4))
def test_a_mistyped_ssh_recipient_is_refused_or_opens_or_has_another_fingerprint(
    kind: str, owners: dict[str, Owner], changes: list[Callable[[str], str]]
) -> None:
    owner = pyrage.ssh.Identity.from_buffer(owners[kind].identity.read_bytes())
    text = owners[kind].public
    for change in changes:
        text = change(text)
    envelope = envelope_to(text)
    # Base64 has no checksum: a changed key may be a key, but it is shown as another one.
    if envelope is not None and envelope.fingerprints == prepare_sealer([owners[kind].public]).fingerprints:
        assert pyrage.decrypt(envelope.seal(SecretBytes(b"mine"), CONTENTS).encode(), [owner]) == b"mine"
