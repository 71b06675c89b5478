"""A key pair from the cloud is accepted only if it is sound, and no error contains the private key."""

from __future__ import annotations

import base64
import itertools
import math
import re
import subprocess
import traceback
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pydantic import SecretBytes

from handler.errors import CloudAnswerInvalid
from handler.issuance import key_material
from handler.issuance.rsa_numbers import RsaNumbers
from handler.order import PrivateKeyFormat
from tests.support.leaks import chain, values_in_frames

if TYPE_CHECKING:
    from pathlib import Path

PEM = serialization.Encoding.PEM
PKCS1 = serialization.PrivateFormat.TraditionalOpenSSL
PKCS8 = serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()


@cache
def made(name: str, bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    assert name
    return rsa.generate_private_key(exponent, bits)


def private_pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat = PKCS1
) -> bytes:
    return key.private_bytes(PEM, form, PLAIN)


def public_line(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    openssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(*openssh).decode()


KEY = made("the cloud's")
PRIVATE = private_pem(KEY)
PUBLIC = public_line(KEY)
NUMBERS = KEY.private_numbers()


def holds(error: BaseException, private_key: bytes) -> bool:
    said = "".join(f"{link}{link!r}{link.args!r}{link.__dict__!r}" for link in chain(error))
    said += "".join(traceback.format_exception(error))
    lines = [line for line in private_key.decode("latin-1").splitlines() if not line.startswith("-----")]
    body = "".join(lines)
    return any(body[i : i + 12] in said for i in range(len(body) - 11))


def length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(octets)]) + octets


def integer(number: int) -> bytes:
    octets = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
    return b"\x02" + length(len(octets)) + octets


def in_pem(der: bytes) -> bytes:
    text = base64.encodebytes(der)
    return b"-----BEGIN RSA PRIVATE KEY-----\n" + text + b"-----END RSA PRIVATE KEY-----\n"


def contradicting(**changed: int) -> bytes:
    """Return the key with some of its numbers (RFC 8017 A.1.2) changed."""
    numbers = {
        "version": 0,
        "n": NUMBERS.public_numbers.n,
        "e": 65537,
        "d": NUMBERS.d,
        "p": NUMBERS.p,
        "q": NUMBERS.q,
        "dp": NUMBERS.dmp1,
        "dq": NUMBERS.dmq1,
        "qi": NUMBERS.iqmp,
    }
    assert changed.keys() <= numbers.keys()
    content = b"".join(map(integer, (numbers | changed).values()))
    return in_pem(b"\x30" + length(len(content)) + content)


OTHER = made("another")
WEAK = made("weak", bits=1024)
CUBIC = made("cubic", exponent=3)
PHI = (NUMBERS.p - 1) * (NUMBERS.q - 1)
# Fits d as the prime itself does, and is no factor of the modulus.
HALF = (NUMBERS.p + 1) // 2
# A small prime as exponent does not fit every key: it must not divide φ(n).
EXPONENT = next(exponent for exponent in itertools.count(257, 2) if math.gcd(exponent, PHI) == 1)
ANOTHER_EXPONENT = (
    rsa.RSAPublicNumbers(EXPONENT, NUMBERS.public_numbers.n)
    .public_key()
    .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    .decode()
)
CURVE = ec.generate_private_key(ec.SECP256R1())
BODY = PRIVATE.split(b"-----\n")[1]


@pytest.mark.parametrize(
    ("public", "private", "reason"),
    [
        # the halves
        (public_line(OTHER), PRIVATE, "answer-key-mismatch"),
        (PUBLIC, private_pem(OTHER), "answer-key-mismatch"),
        (public_line(WEAK), private_pem(WEAK), "answer-key-weak"),
        (public_line(CUBIC), private_pem(CUBIC), "answer-key-exponent"),
        (ANOTHER_EXPONENT, contradicting(e=EXPONENT, d=pow(EXPONENT, -1, PHI)), "answer-key-exponent"),
        (public_line(ed25519.Ed25519PrivateKey.generate()), PRIVATE, "answer-key-type"),
        # the public half
        (PUBLIC[:-5], PRIVATE, "answer-key-unreadable"),
        (PUBLIC[:100], PRIVATE, "answer-key-unreadable"),
        ("", PRIVATE, "answer-key-unreadable"),
        ("ssh-rsa", PRIVATE, "answer-key-unreadable"),
        (PUBLIC.replace("ssh-rsa", "ssh-ed25519"), PRIVATE, "answer-key-unreadable"),
        ("ssh-rsa é", PRIVATE, "answer-key-unreadable"),
        (PRIVATE.decode(), PRIVATE, "answer-key-unreadable"),
        # the text around the private half
        (PUBLIC, b"", "answer-private-key-pem"),
        (PUBLIC, b"\n" + PRIVATE, "answer-private-key-pem"),
        (PUBLIC, b"Your key:\n" + PRIVATE, "answer-private-key-pem"),
        (PUBLIC, PRIVATE + b"\n", "answer-private-key-pem"),
        (PUBLIC, PRIVATE + b"Keep it safe.", "answer-private-key-pem"),
        (PUBLIC, PRIVATE + PRIVATE, "answer-private-key-pem"),
        (PUBLIC, PRIVATE + private_pem(OTHER), "answer-private-key-pem"),
        (PUBLIC, PRIVATE.replace(b"\n", b"\r\n"), "answer-private-key-pem"),
        (PUBLIC, PRIVATE.replace(b"\n", b"\\n"), "answer-private-key-pem"),
        (PUBLIC, PRIVATE.replace(b"\n", b" "), "answer-private-key-pem"),
        (PUBLIC, PRIVATE.replace(b"END RSA ", b"END "), "answer-private-key-pem"),
        (PUBLIC, PRIVATE[:-30], "answer-private-key-pem"),
        (PUBLIC, PRIVATE.replace(b"M", b"\x00", 1), "answer-private-key-pem"),
        (PUBLIC, private_pem(CURVE), "answer-private-key-pem"),
        (PUBLIC, private_pem(KEY, serialization.PrivateFormat.OpenSSH), "answer-private-key-pem"),
        (
            PUBLIC,
            KEY.private_bytes(PEM, PKCS1, serialization.BestAvailableEncryption(b"pass")),
            "answer-private-key-pem",
        ),
        (
            PUBLIC,
            KEY.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"pass")),
            "answer-private-key-pem",
        ),
        # the private half itself
        (PUBLIC, private_pem(CURVE, PKCS8), "answer-key-unreadable"),
        (PUBLIC, PRIVATE.replace(BODY[65:130], b""), "answer-key-unreadable"),
        (PUBLIC, PRIVATE.replace(b"RSA PRIVATE", b"PRIVATE"), "answer-key-unreadable"),
        (PUBLIC, private_pem(KEY, PKCS8).replace(b" PRIVATE", b" RSA PRIVATE"), "answer-key-unreadable"),
        # numbers that contradict each other; OpenSSL would still sign with most of these
        (PUBLIC, contradicting(n=NUMBERS.public_numbers.n + 2), "answer-key-mismatch"),
        (PUBLIC, contradicting(e=3), "answer-key-mismatch"),
        (PUBLIC, contradicting(d=NUMBERS.d ^ 2), "answer-key-mismatch"),
        (PUBLIC, contradicting(d=NUMBERS.d % (NUMBERS.p - 1)), "answer-key-mismatch"),
        (PUBLIC, contradicting(d=NUMBERS.d % (NUMBERS.q - 1)), "answer-key-mismatch"),
        (PUBLIC, contradicting(p=NUMBERS.p + 2), "answer-key-mismatch"),
        (PUBLIC, contradicting(q=NUMBERS.q + 2), "answer-key-mismatch"),
        (PUBLIC, contradicting(p=NUMBERS.q, q=NUMBERS.p), "answer-key-mismatch"),
        (PUBLIC, contradicting(p=1, q=NUMBERS.public_numbers.n), "answer-key-mismatch"),
        (
            PUBLIC,
            contradicting(p=HALF, dp=NUMBERS.d % (HALF - 1), qi=pow(NUMBERS.q, -1, HALF)),
            "answer-key-mismatch",
        ),
        (PUBLIC, contradicting(dp=NUMBERS.dmp1 ^ 2), "answer-key-mismatch"),
        (PUBLIC, contradicting(dq=NUMBERS.dmq1 ^ 2), "answer-key-mismatch"),
        (PUBLIC, contradicting(qi=NUMBERS.iqmp ^ 2), "answer-key-mismatch"),
    ],
)
def test_an_unsound_key_pair_is_refused_and_never_quoted(public: str, private: bytes, reason: str) -> None:
    with pytest.raises(CloudAnswerInvalid) as caught:
        key_material.check(public, SecretBytes(private))
    assert caught.value.reason == reason
    assert caught.value.args == ("The cloud's response failed a check.",)
    assert list(chain(caught.value)) == [caught.value]
    assert not holds(caught.value, private)
    assert not [value for value in values_in_frames(caught) if isinstance(value, bytes)]


DER = base64.b64decode(b"".join(PRIVATE.splitlines()[1:-1]))
CONTENT = DER[4:]
"""The numbers, without tag and length of the sequence."""
VERSION, Q_INVERSE = integer(0), integer(NUMBERS.iqmp)


@pytest.mark.parametrize(
    "der",
    [
        b"\x30",
        b"\x30\x00",
        b"\x31" + DER[1:],
        DER[:-1],
        DER + b"\x00",
        # lengths that are not the shortest, or say another number of octets
        b"\x30\x83\x00" + DER[2:],
        b"\x30\x80" + CONTENT + b"\x00\x00",
        b"\x30" + length(len(CONTENT) + 1) + b"\x02\x81\x01\x00" + CONTENT[3:],
        b"\x30" + length(len(CONTENT) + 1) + CONTENT,
        b"\x30" + length(len(CONTENT) - 1) + CONTENT,
        b"\x30\x82",
        # another version, a number too few, a number too many, another type
        b"\x30" + length(len(CONTENT)) + integer(1) + CONTENT[3:],
        b"\x30" + length(len(CONTENT) - 3) + CONTENT[3:],
        b"\x30" + length(len(CONTENT) - len(Q_INVERSE)) + CONTENT[: -len(Q_INVERSE)],
        b"\x30" + length(len(CONTENT) + 3) + CONTENT + integer(1),
        b"\x30" + length(len(CONTENT)) + b"\x03" + CONTENT[1:],
        b"\x30" + length(len(CONTENT)) + VERSION + b"\x04" + CONTENT[4:],
        # numbers that are zero, negative, or not the shortest
        b"\x30" + length(len(CONTENT) - len(Q_INVERSE) + 3) + CONTENT[: -len(Q_INVERSE)] + integer(0),
        b"\x30" + length(len(CONTENT) - len(Q_INVERSE) + 3) + CONTENT[: -len(Q_INVERSE)] + integer(-1),
        b"\x30" + length(len(CONTENT) - len(Q_INVERSE) + 2) + CONTENT[: -len(Q_INVERSE)] + b"\x02\x00",
        b"\x30" + length(len(CONTENT) + 1) + CONTENT[:3] + b"\x02\x82\x01\x02\x00" + CONTENT[7:],
    ],
    ids=lambda der: der[:6].hex() + f"-{len(der)}",
)  # fmt: skip
def test_other_encodings(der: bytes) -> None:
    with pytest.raises(CloudAnswerInvalid) as caught:
        key_material.check(PUBLIC, SecretBytes(in_pem(der)))
    assert caught.value.reason == "answer-key-unreadable"


@pytest.mark.parametrize("factor", [0, 1])
def test_each_factor_is_prime(factor: int) -> None:
    """Everything fits but that one factor is a product."""
    factors = [NUMBERS.p, NUMBERS.q]
    factors[factor] = OTHER.private_numbers().p * 3
    while math.gcd(65537, (factors[0] - 1) * (factors[1] - 1)) != 1 or math.gcd(*factors) != 1:
        factors[factor] += 2 * 3
    p, q = factors
    d = pow(65537, -1, (p - 1) * (q - 1))
    numbers = RsaNumbers(p * q, 65537, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))
    assert not numbers.belong_together


@pytest.mark.parametrize("small", [1, 2])
@pytest.mark.parametrize("name", ["p", "q"])
def test_factors_that_no_key_has(name: str, small: int) -> None:
    numbers = RsaNumbers(
        NUMBERS.public_numbers.n, 65537, NUMBERS.d, NUMBERS.p, NUMBERS.q, NUMBERS.dmp1, NUMBERS.dmq1,
        NUMBERS.iqmp,
    )  # fmt: skip
    assert numbers.belong_together
    assert not numbers._replace(**{name: small}).belong_together


def test_composite_factors() -> None:
    """All equations hold for them, but the signatures of such a key are invalid."""
    p, q = NUMBERS.p * 3, OTHER.private_numbers().p
    while True:
        try:
            d = pow(65537, -1, (p - 1) * (q - 1))
            break
        except ValueError:
            p += 2
    public = rsa.RSAPublicNumbers(65537, p * q)
    private = contradicting(n=p * q, d=d, p=p, q=q, dp=d % (p - 1), dq=d % (q - 1), qi=pow(q, -1, p))
    openssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    line = public.public_key().public_bytes(*openssh).decode()
    with pytest.raises(CloudAnswerInvalid) as caught:
        key_material.check(line, SecretBytes(private))
    assert caught.value.reason == "answer-key-mismatch"


def test_the_key_is_sound_before_it_is_changed() -> None:
    assert contradicting().replace(b"\n", b"") == PRIVATE.replace(b"\n", b"")
    key_material.check(PUBLIC, SecretBytes(contradicting()))


@pytest.mark.parametrize(
    "public",
    [PUBLIC, f"{PUBLIC} skey_101", f"{PUBLIC} skey-3glfot13", f"{PUBLIC}\n", f"{PUBLIC} a comment of three"],
)
@pytest.mark.parametrize(
    "private", [PRIVATE, PRIVATE.rstrip(), private_pem(KEY, PKCS8), private_pem(KEY, PKCS8).rstrip()]
)
def test_a_sound_key_pair_is_returned_without_the_comment(
    public: str, private: bytes, tmp_path: Path
) -> None:
    secret = SecretBytes(private)
    checked = key_material.check(public, secret)
    assert checked.public_key == PUBLIC
    assert checked.private_key is secret
    (tmp_path / "key.pub").write_text(PUBLIC)
    listed = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "key.pub"], check=True, capture_output=True, text=True
    ).stdout
    assert checked.fingerprint == listed.split()[1]


@pytest.mark.slow
@pytest.mark.parametrize("bits", [3072, 4096])
def test_longer_keys_are_sound(bits: int) -> None:
    key = made("long", bits)
    assert key_material.check(public_line(key), SecretBytes(private_pem(key))).public_key == public_line(key)


@pytest.mark.parametrize("given", [PRIVATE, PRIVATE.rstrip(), private_pem(KEY, PKCS8)])
@pytest.mark.parametrize(
    ("wanted", "label", "form"),
    [
        (PrivateKeyFormat.PKCS1, b"RSA PRIVATE KEY", PKCS1),
        (PrivateKeyFormat.PKCS8, b"PRIVATE KEY", PKCS8),
        (PrivateKeyFormat.OPENSSH, b"OPENSSH PRIVATE KEY", serialization.PrivateFormat.OpenSSH),
    ],
)
def test_ssh_reads_every_format_as_the_same_key(
    given: bytes, wanted: PrivateKeyFormat, label: bytes, form: serialization.PrivateFormat, tmp_path: Path
) -> None:
    converted = key_material.convert(SecretBytes(given), wanted).get_secret_value()
    assert converted.startswith(b"-----BEGIN " + label + b"-----\n")
    if wanted is not PrivateKeyFormat.OPENSSH:  # that one holds a random check number
        assert converted.rstrip() == private_pem(KEY, form).rstrip()
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(converted)
    shown = subprocess.run(
        ["ssh-keygen", "-y", "-f", path], check=True, capture_output=True, text=True
    ).stdout
    assert shown.split()[:2] == PUBLIC.split()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (PRIVATE, PrivateKeyFormat.PKCS1),
        (PRIVATE.rstrip(), PrivateKeyFormat.PKCS1),
        (private_pem(KEY, PKCS8), PrivateKeyFormat.PKCS8),
    ],
)
def test_a_key_in_the_requested_format_is_unchanged(given: bytes, wanted: PrivateKeyFormat) -> None:
    secret = SecretBytes(given)
    assert key_material.convert(secret, wanted) is secret


def test_repr_does_not_show_the_numbers_of_a_key() -> None:
    numbers = RsaNumbers.read(DER)
    for text in (repr(numbers), str(numbers), f"{numbers!r:>80}", "%r" % [numbers]):
        assert "RsaNumbers(**********)" in text
        assert not re.search(r"[0-9]{4}", text)


def test_repr_does_not_show_a_key() -> None:
    checked = key_material.check(PUBLIC, SecretBytes(PRIVATE))
    converted = key_material.convert(checked.private_key, PrivateKeyFormat.OPENSSH)
    for shown in (checked, checked.private_key, converted):
        for text in (repr(shown), str(shown), f"{shown}", f"{shown!r:>80}", "%s %r" % (shown, shown)):  # noqa: UP031  # one of the ways it could be shown
            assert "PRIVATE" not in text
            assert "MII" not in text
            assert "b'**********'" in text


def test_a_traceback_with_local_variables_does_not_show_a_key() -> None:
    with pytest.raises(CloudAnswerInvalid) as caught:
        key_material.check(public_line(OTHER), SecretBytes(PRIVATE))
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    # The frame of this test knows the key by a global name only.
    assert "private_key = SecretBytes(b'**********')" in "".join(told.format())
    assert not any(line in "".join(told.format()) for line in BODY.decode().splitlines()[:-1])
