"""Public keys and certificates in PEM that are refused, each with the reason; built byte by byte."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handler.sealing.recipient_problems import RECIPIENT_LIMIT, RecipientProblem
from tests.support.recipient_attacks import BadRecipient


def tlv(tag: int, *contents: bytes) -> bytes:
    """Encode in DER."""
    content = b"".join(contents)
    length = len(content).to_bytes(2, "big").lstrip(b"\x00")
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    return bytes([tag, 0x80 + len(length)]) + length + content


def sequence(*contents: bytes) -> bytes:
    return tlv(0x30, *contents)


def integer(number: int) -> bytes:
    return tlv(0x02, number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, "big", signed=True))


def oid(dotted: str) -> bytes:
    first, second, *others = map(int, dotted.split("."))
    encoded = b""
    for arc in (40 * first + second, *others):
        septets = [arc >> shift & 0x7F for shift in range(28, -7, -7)]
        while len(septets) > 1 and not septets[0]:
            del septets[0]
        encoded += bytes([*(septet | 0x80 for septet in septets[:-1]), septets[-1]])
    return tlv(0x06, encoded)


def pem(label: str, der: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n"


def der_of(text: str) -> bytes:
    return base64.b64decode("".join(text.splitlines()[1:-1]))


NULL = tlv(0x05)
RSA = sequence(oid("1.2.840.113549.1.1.1"), NULL)
P_256 = oid("1.2.840.10045.3.1.7")
MODULUS = (1 << 2047) + 12345


def spki(algorithm: bytes, key: bytes, unused_bits: int = 0) -> bytes:
    return sequence(algorithm, tlv(0x03, bytes([unused_bits]), key))


def rsa_spki(modulus: int = MODULUS, exponent: int = 65537) -> bytes:
    return spki(RSA, sequence(integer(modulus), integer(exponent)))


def ec_spki(point: bytes, *parameters: bytes) -> bytes:
    return spki(sequence(oid("1.2.840.10045.2.1"), *parameters), point)


def other_spki(dotted: str, key: bytes) -> bytes:
    return spki(sequence(oid(dotted)), key)


def name(value: bytes = tlv(0x0C, b"me"), kind: str = "2.5.4.3") -> bytes:
    return sequence(tlv(0x31, sequence(oid(kind), value)))


def extension(dotted: str, value: bytes, *, critical: bool = False) -> bytes:
    return sequence(oid(dotted), tlv(0x01, b"\xff") if critical else b"", tlv(0x04, value))


def usage(*bits: int) -> bytes:
    """Return a key usage extension with these bits of RFC 5280 section 4.2.1.3."""
    number = sum(0x8000 >> bit for bit in bits)
    unused = (number & -number).bit_length() - 1 if bits else 0
    octets = number.to_bytes(2, "big").rstrip(b"\x00")
    return extension("2.5.29.15", tlv(0x03, bytes([unused % 8]), octets), critical=True)


def certificate(
    key: bytes,
    *extensions: bytes,
    version: int | None = 2,
    issuer: bytes = name(),
    not_before: bytes = tlv(0x17, b"200101000000Z"),
    not_after: bytes = tlv(0x18, b"99991231235959Z"),
) -> str:
    """Return a certificate with a signature that nobody made: none is checked."""
    signed_with = sequence(oid("1.2.840.10045.4.3.2"))
    to_be_signed = sequence(
        b"" if version is None else tlv(0xA0, integer(version)),
        integer(1),
        signed_with,
        issuer,
        sequence(not_before, not_after),
        name(),
        key,
        tlv(0xA3, sequence(*extensions)) if extensions else b"",
    )
    return pem("CERTIFICATE", sequence(to_be_signed, signed_with, tlv(0x03, b"\x00no signature")))


def public(der: bytes) -> str:
    return pem("PUBLIC KEY", der)


def point_of(curve: ec.EllipticCurve, form: PublicFormat = PublicFormat.UncompressedPoint) -> bytes:
    return ec.derive_private_key(7, curve).public_key().public_bytes(Encoding.X962, form)


POINT = point_of(ec.SECP256R1())
GOOD = ec_spki(POINT, P_256)
GOOD_RSA = rsa_spki()

_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
_EXPLICIT = sequence(
    integer(1),
    sequence(oid("1.2.840.10045.1.1"), integer(_PRIME)),
    sequence(tlv(0x04, (_PRIME - 3).to_bytes(32, "big")), tlv(0x04, b"\x5a" * 32)),
    tlv(0x04, POINT),
    integer(2**256 - 2**224),
)
_BASE64 = base64.b64encode(GOOD).decode()
_LAST = _BASE64[-3]
"""Has four bits that mean nothing, and are 0."""
_KEY_LABELS = ("PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "DSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
_OTHER_LABELS = (
    "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", "X509 CERTIFICATE", "X509 CRL",
    "TRUSTED CERTIFICATE", "ATTRIBUTE CERTIFICATE", "PKCS7", "CMS", "EC PARAMETERS", "DH PARAMETERS",
    "SSH2 PUBLIC KEY", "CERTIFICATE X",
)  # fmt: skip
_OTHER_KEYS = {
    "Ed25519": other_spki("1.3.101.112", b"\x11" * 32),
    "Ed448": other_spki("1.3.101.113", b"\x11" * 57),
    "X448": other_spki("1.3.101.111", b"\x11" * 56),
    "ML-KEM-768": other_spki("2.16.840.1.101.3.4.4.2", b"\x11" * 1184),
    "DSA": spki(sequence(oid("1.2.840.10040.4.1"), sequence(*[integer(7)] * 3)), integer(5)),
    "DH": spki(sequence(oid("1.2.840.113549.1.3.1"), sequence(integer(7), integer(2))), integer(5)),
    "RSA-PSS": spki(sequence(oid("1.2.840.113549.1.1.10")), sequence(integer(MODULUS), integer(65537))),
    "RSAES-OAEP": spki(sequence(oid("1.2.840.113549.1.1.7")), sequence(integer(MODULUS), integer(65537))),
    "id-ecDH": spki(sequence(oid("1.3.132.1.12"), P_256), POINT),
}
_OTHER_CURVES = {
    "secp256k1": ec_spki(point_of(ec.SECP256K1()), oid("1.3.132.0.10")),
    "brainpoolP256r1": ec_spki(point_of(ec.BrainpoolP256R1()), oid("1.3.36.3.3.2.8.1.1.7")),
    "P-224": ec_spki(point_of(ec.SECP224R1()), oid("1.3.132.0.33")),
    "sect283k1": ec_spki(b"\x04" + b"\x11" * 72, oid("1.3.132.0.16")),
    "SM2": ec_spki(b"\x04" + b"\x11" * 64, oid("1.2.156.10197.1.301")),
    "P-256 with parameters spelt out": ec_spki(POINT, _EXPLICIT),
    "the issuer's curve": ec_spki(POINT, NULL),
    "no curve": ec_spki(POINT),
}
_NO_POINTS = {
    "off the curve": POINT[:-1] + bytes([POINT[-1] ^ 1]),
    "infinity": b"\x00",
    "zero": b"\x04" + bytes(64),
    "x of p and more": b"\x04" + (_PRIME + 5).to_bytes(32, "big") + POINT[33:],
    "cut": POINT[:-1],
    "too long": POINT + b"\x00",
    "of P-384": point_of(ec.SECP384R1()),
    "empty": b"",
    "compressed, x that no point has": b"\x02" + (1).to_bytes(32, "big"),
    "compressed, cut": point_of(ec.SECP256R1(), PublicFormat.CompressedPoint)[:-1],
    "hybrid": bytes([6 + POINT[-1] % 2]) + POINT[1:],
}
_R = RecipientProblem
_BAD_RSA = {
    "1024 bits": (rsa_spki((1 << 1023) + 12345), _R.RSA_SIZE),
    "2047 bits": (rsa_spki((1 << 2046) + 12345), _R.RSA_SIZE),
    "8193 bits": (rsa_spki((1 << 8192) + 12345), _R.RSA_SIZE),
    "16384 bits": (rsa_spki((1 << 16383) + 12345), _R.RSA_SIZE),
    "exponent 1": (rsa_spki(exponent=1), _R.RSA_EXPONENT),
    "exponent 3": (rsa_spki(exponent=3), _R.RSA_EXPONENT),
    "exponent 65535": (rsa_spki(exponent=65535), _R.RSA_EXPONENT),
    "an even exponent": (rsa_spki(exponent=65538), _R.RSA_EXPONENT),
    "a negative exponent": (rsa_spki(exponent=-65537), _R.RSA_EXPONENT),
    "a long exponent": (rsa_spki(exponent=2**31 + 1), _R.RSA_EXPONENT),
    "an even modulus": (rsa_spki(MODULUS + 1), _R.RSA_MODULUS),
    "a modulus with a small factor": (rsa_spki(3 * (1 << 2046 | 1)), _R.RSA_MODULUS),
    "a square": (rsa_spki(((1 << 1024) - 105) ** 2), _R.RSA_MODULUS),
    "a negative modulus": (rsa_spki(-MODULUS), _R.RSA_MODULUS),
    "modulus 0": (rsa_spki(0), _R.RSA_MODULUS),
}
_NO_BLOCKS = {
    "no END": public(GOOD).partition("-----END")[0],
    "END alone behind": public(GOOD) + "-----END PUBLIC KEY-----",
    "another END": public(GOOD).replace("END PUBLIC KEY", "END CERTIFICATE"),
    "a header": public(GOOD).replace("KEY-----\n", "KEY-----\nProc-Type: 4,CLEAR\n\n", 1),
    "nothing in it": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
    "no base64": public(GOOD).replace("A", "!", 1),
    "base64url": public(spki(RSA, b"\xff\xff\xff" * 9)).replace("/", "_"),
    "base64 that is cut": public(GOOD).replace("\n-----END", "A\n-----END"),
    "padding in the middle": public(GOOD).replace("A", "=", 1),
    "padding and more": f"-----BEGIN PUBLIC KEY-----\n{_BASE64.rstrip('=')}====\n-----END PUBLIC KEY-----",
    "unused bits": public(GOOD).replace(f"{_LAST}==", f"{chr(ord(_LAST) + 1)}=="),
    "padding, and more behind": public(GOOD).replace("\n-----END", "AAAA\n-----END"),
}
_NO_KEYS = {
    "garbage": b"\x11" * 90,
    "PKCS#1": sequence(integer(MODULUS), integer(65537)),
    "a certificate": der_of(certificate(GOOD)),
    "cut DER": GOOD[:-1],
    "bytes behind the DER": GOOD + b"\x00",
    "a length that is too long": b"\x30\x81" + GOOD[1:],
    "BER of indefinite length": b"\x30\x80" + GOOD[2:] + b"\x00\x00",
    "unused bits in the key": spki(sequence(oid("1.2.840.10045.2.1"), P_256), POINT[:-1] + b"\x80", 7),
    "no algorithm": spki(sequence(), POINT),
    "an algorithm that is a number": spki(sequence(integer(1)), POINT),
    "an algorithm with more": spki(sequence(oid("1.2.840.10045.2.1"), P_256, NULL), POINT),
    "an RSA key that is none": spki(RSA, POINT),
    "bytes behind the RSA key": spki(RSA, sequence(integer(MODULUS), integer(65537)) + b"\x00"),
    "a needless zero in the modulus": spki(
        RSA, sequence(tlv(2, b"\x00\x00", MODULUS.to_bytes(256, "big")), integer(65537))
    ),
}
_NO_CERTIFICATES = {
    "garbage": pem("CERTIFICATE", b"\x11" * 300),
    "a public key": pem("CERTIFICATE", GOOD),
    "bytes behind": pem("CERTIFICATE", der_of(certificate(GOOD)) + b"0"),
    "an extension twice": certificate(GOOD, usage(4), usage(4)),
    "version 1 with extensions": certificate(GOOD, usage(4), version=None),
    "version 4": certificate(GOOD, version=3),
    "a version below 1": certificate(GOOD, version=-1),
    "a key usage of another type": certificate(GOOD, extension("2.5.29.15", tlv(0x04, b"\x03\x08"))),
    "bytes behind the key usage": certificate(GOOD, extension("2.5.29.15", b"\x03\x02\x03\x08\x00")),
    "a date without seconds": certificate(GOOD, not_before=tlv(0x17, b"2001010000Z")),
    "a date that is none": certificate(GOOD, not_after=tlv(0x17, b"271301000000Z")),
    "a zone": certificate(GOOD, not_after=tlv(0x17, b"270101000000+0800")),
    "a name that is no UTF-8": certificate(GOOD, issuer=name(tlv(0x0C, b"\xff"))),
    "a name without attributes": certificate(GOOD, issuer=sequence(tlv(0x31))),
    "an algorithm that is a number": certificate(spki(sequence(integer(1)), POINT)),
    "unused bits in the key": certificate(spki(RSA, sequence(integer(MODULUS), b"\x02\x02\x02\x00"), 7)),
    "an RSA key that is none": certificate(spki(RSA, POINT)),
}
_UNSUITABLE_ISSUERS = {
    "a name of an odd BMPString": certificate(GOOD, issuer=name(tlv(0x1E, b"\x00m\x00"))),
    "a number for a name": certificate(GOOD, issuer=name(integer(5))),
}
_NOT_FOR_ENCRYPTION = {
    "sign-only RSA": certificate(GOOD_RSA, usage(0, 1)),
    "RSA for key agreement": certificate(GOOD_RSA, usage(4)),
    "RSA for data": certificate(GOOD_RSA, usage(3)),
    "no use at all": certificate(GOOD_RSA, usage()),
    "sign-only EC": certificate(GOOD, usage(0)),
    "EC for encipherment": certificate(GOOD, usage(2, 3)),
    "EC to encrypt from": certificate(GOOD, usage(4, 8)),
    "EC to encrypt from, without agreement": certificate(GOOD, usage(8)),
}
_AUTHORITIES = {
    "RSA": certificate(GOOD_RSA, usage(5, 6)),
    "EC": certificate(GOOD, usage(0, 5, 6)),
    "expired": certificate(GOOD, usage(5, 6), not_after=tlv(0x17, b"250101000000Z")),
}


def _rows(kind: str, texts: dict[str, str], problem: RecipientProblem) -> tuple[BadRecipient, ...]:
    return tuple(BadRecipient(f"{kind}: {title}", text, problem) for title, text in texts.items())


def _keys(kind: str, keys: dict[str, bytes], problem: RecipientProblem) -> tuple[BadRecipient, ...]:
    """Return a row for each key as it is, and one for a certificate of it."""
    return (
        *_rows(kind, {title: public(key) for title, key in keys.items()}, problem),
        *_rows(f"{kind}, certified", {title: certificate(key) for title, key in keys.items()}, problem),
    )


BAD_PEMS = (
    *_rows("private", {label: pem(label, GOOD) for label in _KEY_LABELS}, _R.PRIVATE),
    *_rows("private", {"behind a certificate": certificate(GOOD) + pem("PRIVATE KEY", GOOD)}, _R.PRIVATE),
    *_rows("label", {label: pem(label, GOOD) for label in _OTHER_LABELS}, _R.PEM_TYPE),
    *_rows("label", {"lower case": pem("public key", GOOD)}, _R.PEM_MALFORMED),
    *_rows("several", {"keys": public(GOOD) * 2}, _R.SEVERAL),
    *_rows("several", {"a chain": certificate(GOOD) * 2}, _R.CERTIFICATE_CHAIN),
    *_rows("length", {"spaces": public(GOOD) + " " * RECIPIENT_LIMIT}, _R.TOO_LONG),
    *_rows("PEM", _NO_BLOCKS, _R.PEM_MALFORMED),
    *_rows("PUBLIC KEY", {title: public(der) for title, der in _NO_KEYS.items()}, _R.PEM_MALFORMED),
    *_rows("CERTIFICATE", _NO_CERTIFICATES, _R.CERTIFICATE_MALFORMED),
    *_rows("CERTIFICATE", _UNSUITABLE_ISSUERS, _R.CERTIFICATE_UNSUITABLE),
    *_keys("key", _OTHER_KEYS, _R.KEY_TYPE),
    *_rows("certified", {"X25519": certificate(other_spki("1.3.101.110", b"\x09" * 32))}, _R.KEY_TYPE),
    *_keys("curve", _OTHER_CURVES, _R.CURVE),
    *_keys("point", {title: ec_spki(point, P_256) for title, point in _NO_POINTS.items()}, _R.EC_POINT),
    *(row for title, (der, problem) in _BAD_RSA.items() for row in _keys("RSA", {title: der}, problem)),
    BadRecipient("expired", certificate(GOOD, not_after=tlv(0x17, b"250101000000Z")), _R.CERTIFICATE_EXPIRED),
    BadRecipient("ahead", certificate(GOOD, not_before=tlv(0x17, b"490101000000Z")), _R.CERTIFICATE_NOT_YET),
    *_rows("key usage", _NOT_FOR_ENCRYPTION, _R.CERTIFICATE_USE),
    *_rows("authority", _AUTHORITIES, _R.CERTIFICATE_AUTHORITY),
    *_rows(
        "critical and unknown",
        {
            "private": certificate(GOOD, extension("1.3.6.1.4.1.99999.1", NULL, critical=True)),
            "a precertificate": certificate(GOOD, extension("1.3.6.1.4.1.11129.2.4.3", NULL, critical=True)),
        },
        _R.CERTIFICATE_UNSUITABLE,
    ),
)  # fmt: skip
