"""Hostile recipients of every kind, made of the numbers of `hostile_numbers`; each with the stated refusal.

`pem_attacks`, `jwk_attacks`, `pgp_attacks` and `recipient_attacks` have the single cases; here are the whole
families.
"""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from handler.sealing.recipient_problems import RecipientProblem
from tests.support import pem_attacks
from tests.support.function_under_test import NOON, base64url
from tests.support.hostile_numbers import (
    CURVES,
    P_25519,
    bad_ed25519,
    bad_points,
    bad_rsa,
    bad_x25519,
    good_modulus,
    little_endian,
)
from tests.support.pem_attacks import NULL, ec_spki, integer, oid, other_spki, pem, sequence, spki, tlv
from tests.support.pgp_crafting import Primary, block, four, packet, subkey
from tests.support.recipient_attacks import bech32, ssh_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.hostile_numbers import Curve

_R = RecipientProblem
_Row: TypeAlias = "tuple[str, str, RecipientProblem]"


@dataclass(frozen=True)
class HostileKey:
    kind: str
    title: str
    text: str
    problem: RecipientProblem


MADE = NOON - 3600
"""When the PGP keys were made."""
_POINT_9 = little_endian(9)
_LENGTHS = [*range(32), *range(33, 65)]
"""Of a point that has 32 octets."""


def hostile_keys() -> Iterator[HostileKey]:
    kinds = {
        "age": _age(),
        "ssh-ed25519": _ssh_ed25519(),
        "ssh-rsa": _ssh_rsa(),
        "ecdsa-sha2": _ssh_ecdsa(),
        "JWK OKP": _jwk_okp(),
        "JWK EC": _jwk_ec(),
        "JWK RSA": _jwk_rsa(),
        "PEM X25519": _pem_x25519(),
        "PEM EC": _pem_ec(),
        "PEM RSA": _pem_rsa(),
        "X.509": _x509(),
        "PGP": _pgp(),
    }
    for kind, rows in kinds.items():
        for title, text, problem in rows:
            yield HostileKey(kind, title, text, problem)


# ---------------------------------------------------------------- age


def _age() -> Iterator[_Row]:
    for title, point, problem in bad_x25519():
        yield title, bech32("age", point), problem
    for length in _LENGTHS:
        yield f"{length} octets", bech32("age", (_POINT_9 * 2)[:length]), _R.PLUGIN
    good = bech32("age", _POINT_9)
    for place in range(4, len(good)):
        other = "q" if good[place] != "q" else "p"
        yield f"mistyped at {place}", good[:place] + other + good[place + 1 :], _R.BECH32
        yield f"cut at {place}", good[:place], _R.BECH32
    for human in ("age1pq", "age1tag", "age1tpm", "age1se", "age1yubikey", "age1fido2-hmac", "age1sss"):
        yield f"for the plugin {human}", bech32(human, _POINT_9), _R.PLUGIN


# ---------------------------------------------------------------- SSH


def _ssh_ed25519() -> Iterator[_Row]:
    name = b"ssh-ed25519"
    for title, point, problem in bad_ed25519():
        yield title, ssh_line(name, point), problem
    for length in _LENGTHS:
        yield f"{length} octets", ssh_line(name, (_POINT_9 * 2)[:length]), _R.SSH_MALFORMED
    yield "two points", ssh_line(name, _POINT_9, _POINT_9), _R.SSH_MALFORMED
    for other in (b"", b"ssh-rsa", b"ssh-ed448", b"ssh-ed25519\x00", b"SSH-ED25519"):
        yield f"{other!r} inside", ssh_line(other, _POINT_9, word="ssh-ed25519"), _R.SSH_MALFORMED
    yield from _cut_blobs(ssh_line(name, _POINT_9))


def _cut_blobs(line: str) -> Iterator[_Row]:
    """Yield a key whose blob ends too early, and one with octets behind (RFC 4253 section 6.6)."""
    word, _, encoded = line.partition(" ")
    blob = base64.b64decode(encoded)
    for end in range(4, len(blob), max(1, len(blob) // 40)):
        yield f"cut at {end}", f"{word} {base64.b64encode(blob[:end]).decode()}", _R.SSH_MALFORMED
    for more in range(1, 9):
        text = base64.b64encode(blob + bytes(more)).decode()
        yield f"{more} octets behind", f"{word} {text}", _R.SSH_MALFORMED


def _mpint(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def _ssh_rsa() -> Iterator[_Row]:
    name = b"ssh-rsa"
    for title, modulus, exponent, problem in bad_rsa(4096):
        yield title, ssh_line(name, _mpint(exponent), _mpint(modulus)), problem
    # RFC 4251 section 5: no needless octets, and the first bit is the sign.
    e, n = _mpint(65537), _mpint(good_modulus(2048))
    for title, parts in {
        "e of no octets": (b"", n),
        "n of no octets": (e, b""),
        "e zero": (b"\x00", n),
        "n zero": (e, b"\x00"),
        "e negative": (b"\xff", n),
        "n negative": (e, n[1:]),
        "n minus one": (e, b"\xff"),
        "no n": (e,),
        "a private exponent": (e, n, n),
    }.items():
        yield title, ssh_line(name, *parts), _R.SSH_MALFORMED
    for zeros in range(1, 9):
        yield f"{zeros} zeros before e", ssh_line(name, bytes(zeros) + e, n), _R.SSH_MALFORMED
        yield f"{zeros} zeros before n", ssh_line(name, e, bytes(zeros) + n), _R.SSH_MALFORMED
    yield "n and e exchanged", ssh_line(name, n, e), _R.RSA_SIZE
    yield from _cut_blobs(ssh_line(name, e, n))


def _ssh_ecdsa() -> Iterator[_Row]:
    for curve in CURVES.values():
        name, inside = b"ecdsa-sha2-" + curve.ssh.encode(), curve.ssh.encode()
        for title, x, y in bad_points(curve):
            yield f"{curve.ssh}, {title}", ssh_line(name, inside, curve.encode(x, y)), _R.EC_POINT
        good = curve.encode(*curve.base)
        # RFC 5656 section 3.1; OpenSSH reads no compressed points.
        for prefix in (0, 1, 2, 3, 5, 6, 7, 8, 0x40, 0x84, 0xFF):
            point = bytes([prefix]) + good[1:]
            yield f"{curve.ssh}, begins with {prefix}", ssh_line(name, inside, point), _R.SSH_MALFORMED
        for prefix in (2, 3):
            point = bytes([prefix]) + good[1 : 1 + curve.length]
            yield f"{curve.ssh}, compressed {prefix}", ssh_line(name, inside, point), _R.SSH_MALFORMED
        yield f"{curve.ssh}, infinity", ssh_line(name, inside, b"\x00"), _R.SSH_MALFORMED
        for length in (2, curve.length, curve.length + 1, 2 * curve.length, 2 * curve.length + 2):
            point = (good + bytes(9))[:length]
            yield f"{curve.ssh}, {length} octets", ssh_line(name, inside, point), _R.EC_POINT
        for other in ("nistp192", "nistp224", "nistt571", "1.3.132.0.10", "", "NISTP256"):
            line = ssh_line(name, other.encode(), good)
            yield f"{curve.ssh}, names {other or 'nothing'}", line, _R.SSH_MALFORMED
        yield from _cut_blobs(ssh_line(name, inside, good))
    for one, another in itertools.permutations(CURVES.values(), 2):
        name, inside = b"ecdsa-sha2-" + one.ssh.encode(), one.ssh.encode()
        point = another.encode(*another.base)
        yield f"{one.ssh}, point of {another.ssh}", ssh_line(name, inside, point), _R.EC_POINT


# ---------------------------------------------------------------- JWK (RFC 7517, RFC 7518, RFC 8037)


def _jwk(**members: object) -> str:
    return json.dumps(members)


def _base64url_uint(value: int) -> str:
    return base64url(value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


# The registry of RFC 7518 section 7.1 and its later entries: signatures, and key management without OAEP-256.
_OTHER_ALGORITHMS = (
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384",
    "PS512", "none", "RSA1_5", "RSA-OAEP", "A128KW", "A192KW", "A256KW", "dir", "ECDH-ES+A128KW",
    "ECDH-ES+A192KW", "A128GCMKW", "A192GCMKW", "A256GCMKW", "PBES2-HS256+A128KW", "PBES2-HS384+A192KW",
    "PBES2-HS512+A256KW", "A128CBC-HS256", "A256GCM", "EdDSA", "Ed25519", "RS1", "RSA-OAEP-384",
    "RSA-OAEP-512", "ES256K",
)  # fmt: skip
_OTHER_OPERATIONS = ("sign", "verify", "decrypt", "unwrapKey")


def _for_another_use(key: dict[str, object]) -> Iterator[_Row]:
    for algorithm in _OTHER_ALGORITHMS:
        yield f"for {algorithm}", _jwk(**key, alg=algorithm), _R.JWK_USE
    for operation in _OTHER_OPERATIONS:
        yield f"to {operation}", _jwk(**key, key_ops=[operation]), _R.JWK_USE
    for use in ("sig", "", "ENC", "tls"):
        yield f"use {use or 'empty'}", _jwk(**key, use=use), _R.JWK_USE


def _jwk_okp() -> Iterator[_Row]:
    key: dict[str, object] = {"kty": "OKP", "crv": "X25519", "x": base64url(_POINT_9)}
    for title, point, problem in bad_x25519():
        yield title, _jwk(**key | {"x": base64url(point)}), problem
    for length in _LENGTHS:
        yield f"{length} octets", _jwk(**key | {"x": base64url((_POINT_9 * 2)[:length])}), _R.JWK_MALFORMED
    for curve in ("Ed25519", "Ed448", "X448", "x25519", "Curve25519", "P-256", "secp256k1", ""):
        yield f"curve {curve or 'empty'}", _jwk(**key | {"crv": curve}), _R.CURVE
    yield from _for_another_use(key)


def _jwk_ec() -> Iterator[_Row]:
    for name, curve in CURVES.items():

        def spelled(x: bytes, y: bytes, name: str = name) -> str:
            return _jwk(kty="EC", crv=name, x=base64url(x), y=base64url(y))

        length = curve.length
        for title, x, y in bad_points(curve):
            text = spelled(x.to_bytes(length, "big"), y.to_bytes(length, "big"))
            yield f"{name}, {title}", text, _R.EC_POINT
        x_octets, y_octets = (value.to_bytes(length, "big") for value in curve.base)
        # RFC 7518 section 6.2.1.2: the length is that of the curve.
        for octets in (
            b"",
            x_octets[:-1],
            x_octets[1:],
            b"\x00" + x_octets,
            x_octets + b"\x00",
            x_octets * 2,
        ):
            title = f"{name}, {len(octets)} octets from {octets[:1].hex()}"
            yield f"{title} for x", spelled(octets, y_octets), _R.JWK_MALFORMED
            yield f"{title} for y", spelled(x_octets, octets), _R.JWK_MALFORMED
        for other in ("P-192", "P-224", "secp256k1", "BP-256", "p-256", "X25519", "SM2"):
            text = json.dumps(json.loads(spelled(x_octets, y_octets)) | {"crv": other})
            yield f"{name} as {other}", text, _R.CURVE
        for other in CURVES.keys() - {name}:
            text = json.dumps(json.loads(spelled(x_octets, y_octets)) | {"crv": other})
            yield f"{name} as {other}", text, _R.JWK_MALFORMED
        yield from _for_another_use(json.loads(spelled(x_octets, y_octets)))


def _jwk_rsa() -> Iterator[_Row]:
    for title, modulus, exponent, problem in bad_rsa(8192):
        yield title, _jwk(kty="RSA", n=_base64url_uint(modulus), e=_base64url_uint(exponent)), problem
    n = good_modulus(2048).to_bytes(256, "big")
    # RFC 7518 section 2: Base64urlUInt has the minimum number of octets.
    for zeros in range(1, 9):
        for name in ("n", "e"):
            octets = {"n": n, "e": b"\x01\x00\x01"}
            octets[name] = bytes(zeros) + octets[name]
            members = {member: base64url(value) for member, value in octets.items()}
            yield f"{zeros} zeros before {name}", _jwk(kty="RSA", **members), _R.JWK_MALFORMED
    good = {"kty": "RSA", "n": base64url(n), "e": "AQAB"}
    not_base64url = (None, 65537, ["AQAB"], "", "AQAB=", "AQ\nAB", "AQ AB", "+/+/", "A", "AQAB\u00e9")
    for name, value in itertools.product(("n", "e"), not_base64url):
        yield f"{name} is {value!r}", _jwk(**good | {name: value}), _R.JWK_MALFORMED
    yield from _for_another_use({**good})


# ---------------------------------------------------------------- PEM (RFC 5480, RFC 8017, RFC 8410)


def _public(der: bytes) -> str:
    return pem("PUBLIC KEY", der)


def _cut_der(der: bytes, step: int) -> Iterator[_Row]:
    for end in range(step, len(der), step):
        yield f"cut at {end}", _public(der[:end]), _R.PEM_MALFORMED
    for more in range(1, 9):
        yield f"{more} octets behind", _public(der + bytes(more)), _R.PEM_MALFORMED


def _pem_x25519() -> Iterator[_Row]:
    for title, point, problem in bad_x25519():
        yield title, _public(other_spki("1.3.101.110", point)), problem
    for length in _LENGTHS:
        yield f"{length} octets", _public(other_spki("1.3.101.110", (_POINT_9 * 2)[:length])), _R.KEY_TYPE
    # RFC 8410 section 3: the parameters are absent.
    with_null = spki(sequence(oid("1.3.101.110"), NULL), _POINT_9)
    yield "with parameters", _public(with_null), _R.KEY_TYPE
    for more in range(1, 9):
        der = other_spki("1.3.101.110", _POINT_9) + bytes(more)
        yield f"{more} octets behind", _public(der), _R.PEM_MALFORMED


# Public key algorithms of RFC 3279, 4055, 5480, 8410 and the NIST's CSOR that cannot be sealed to here.
_OTHER_KEY_TYPES = (
    "1.2.840.113549.1.1.2", "1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.113549.1.1.7",
    "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.11", "1.2.840.113549.1.3.1", "1.2.840.10040.4.1",
    "1.2.840.10046.2.1", "1.2.840.10045.2.2", "1.2.840.10045.4.3.2", "1.3.132.1.12", "1.3.132.1.13",
    "1.3.101.110", "1.3.101.111", "1.3.101.112", "1.3.101.113", "1.3.14.7.2.1.1", "2.16.840.1.101.2.1.1.22",
    "1.2.643.7.1.1.1.1", "1.2.156.10197.1.301.1", "2.5.8.1.1",
    *(f"2.16.840.1.101.3.4.4.{n}" for n in (1, 2, 3)),
    *(f"2.16.840.1.101.3.4.3.{n}" for n in (17, 18, 19, 20, 31)),
)  # fmt: skip
# Curves of SEC 2, ANSI X9.62, RFC 5639, RFC 7836, GB/T 32918 and SP 800-186 section 3.2.1 besides the three.
_OTHER_CURVES = (
    *(f"1.3.132.0.{arc}" for arc in range(1, 40) if arc not in (34, 35)),
    *(f"1.2.840.10045.3.1.{arc}" for arc in range(7)),
    *(f"1.2.840.10045.3.0.{arc}" for arc in range(1, 21)),
    *(f"1.3.36.3.3.2.8.1.1.{arc}" for arc in range(1, 15)),
    *(f"1.2.643.7.1.2.1.1.{arc}" for arc in range(5)),
    "1.2.156.10197.1.301", "1.3.101.110", "1.3.101.112", "1.2.840.10045.2.1", "1.2.840.113549.1.1.1",
)  # fmt: skip
_EC = "1.2.840.10045.2.1"


def _bad_ec_keys(name: str, curve: Curve) -> Iterator[tuple[str, bytes, RecipientProblem]]:
    named = oid(curve.oid)
    for title, x, y in bad_points(curve):
        yield f"{name}, {title}", ec_spki(curve.encode(x, y), named), _R.EC_POINT
    good = curve.encode(*curve.base)
    # RFC 5480 section 2.2: a point begins with 4, or 2 or 3 if compressed.
    for prefix in range(256) if name == "P-256" else (0, 1, 2, 3, 5, 6, 7, 0x40, 0x84, 0xFF):
        if prefix != good[0]:
            yield f"{name}, begins with {prefix}", ec_spki(bytes([prefix]) + good[1:], named), _R.EC_POINT
    for x in curve.without_point[:16]:
        for prefix in (2, 3):
            point = bytes([prefix]) + x.to_bytes(curve.length, "big")
            yield f"{name}, compressed {prefix}, no point at {x}", ec_spki(point, named), _R.EC_POINT
    for x, _ in curve.first_points[:8]:
        point = b"\x02" + (curve.p + x).to_bytes(curve.length, "big")
        yield f"{name}, compressed p + {x}", ec_spki(point, named), _R.EC_POINT
    for length in (0, 1, 2, curve.length, 2 * curve.length, 2 * curve.length + 2, 4 * curve.length):
        yield f"{name}, {length} octets", ec_spki((good * 2)[:length], named), _R.EC_POINT


def _pem_ec() -> Iterator[_Row]:
    for name, curve in CURVES.items():
        for title, der, problem in _bad_ec_keys(name, curve):
            yield title, _public(der), problem
    good = CURVES["P-256"]
    point = good.encode(*good.base)
    for dotted in _OTHER_CURVES:
        yield f"curve {dotted}", _public(ec_spki(point, oid(dotted))), _R.CURVE
    for dotted in _OTHER_KEY_TYPES:
        yield f"type {dotted}", _public(spki(sequence(oid(dotted), oid(good.oid)), point)), _R.KEY_TYPE
    for title, parameters in {
        "NULL": NULL,
        "a sequence": sequence(oid(good.oid)),
        "a number": integer(7),
        "a text": tlv(0x0C, good.oid.encode()),
        "an empty identifier": tlv(0x06),
        "an identifier with a needless octet": tlv(0x06, b"\x80" + oid(good.oid)[2:]),
    }.items():
        yield f"curve is {title}", _public(ec_spki(point, parameters)), _R.CURVE
    yield from _cut_der(ec_spki(point, oid(good.oid)), 1)
    for unused in range(1, 8):
        der = spki(
            sequence(oid(_EC), oid(good.oid)), point[:-1] + bytes([point[-1] >> unused << unused]), unused
        )
        yield f"{unused} unused bits", _public(der), _R.PEM_MALFORMED


def _pem_rsa() -> Iterator[_Row]:
    for title, modulus, exponent, problem in bad_rsa(8192):
        yield title, _public(pem_attacks.rsa_spki(modulus, exponent)), problem
        yield (
            f"PKCS#1, {title}",
            pem("RSA PUBLIC KEY", sequence(integer(modulus), integer(exponent))),
            problem,
        )
    n, e = good_modulus(2048), 65537
    octets = n.to_bytes(256, "big")
    for title, key, problem in (
        ("n negative", sequence(integer(-n), integer(e)), _R.RSA_MODULUS),
        ("n with the sign bit", sequence(tlv(2, octets), integer(e)), _R.RSA_MODULUS),
        ("n zero", sequence(integer(0), integer(e)), _R.RSA_MODULUS),
        ("e negative", sequence(integer(n), integer(-e)), _R.RSA_EXPONENT),
        ("e zero", sequence(integer(n), integer(0)), _R.RSA_EXPONENT),
        ("n and e exchanged", sequence(integer(e), integer(n)), _R.RSA_SIZE),
        ("n of no octets", sequence(tlv(2), integer(e)), _R.PEM_MALFORMED),
        ("e of no octets", sequence(integer(n), tlv(2)), _R.PEM_MALFORMED),
        ("two zeros before n", sequence(tlv(2, bytes(2), octets), integer(e)), _R.PEM_MALFORMED),
        ("zeros before e", sequence(integer(n), tlv(2, b"\x00\x01\x00\x01")), _R.PEM_MALFORMED),
        ("no e", sequence(integer(n)), _R.PEM_MALFORMED),
        ("three numbers", sequence(integer(n), integer(e), integer(1)), _R.PEM_MALFORMED),
        ("a set", tlv(0x31, integer(n), integer(e)), _R.PEM_MALFORMED),
        ("octet strings", sequence(tlv(4, octets), tlv(4, b"\x01\x00\x01")), _R.PEM_MALFORMED),
    ):
        yield title, _public(spki(pem_attacks.RSA, key)), problem
        yield f"PKCS#1, {title}", pem("RSA PUBLIC KEY", key), problem
    key = sequence(integer(n), integer(e))
    # RFC 8017 appendix A.1: the parameters are NULL.
    for title, parameters in {
        "an identifier": oid("1.2.840.10045.3.1.7"),
        "a number": integer(1),
        "a sequence": sequence(),
        "NULL with content": tlv(5, b"\x00"),
    }.items():
        der = spki(sequence(oid("1.2.840.113549.1.1.1"), parameters), key)
        yield f"parameters are {title}", _public(der), _R.PEM_MALFORMED
    for dotted in _OTHER_KEY_TYPES:
        yield f"type {dotted}", _public(spki(sequence(oid(dotted), NULL), key)), _R.KEY_TYPE
    yield from _cut_der(pem_attacks.rsa_spki(n, e), 7)


# ---------------------------------------------------------------- X.509 (RFC 5280)


_KEY_CERT_SIGN = 5
"""Section 4.2.1.3."""


def _x509() -> Iterator[_Row]:
    for name, curve in CURVES.items():
        for title, x, y in bad_points(curve):
            der = ec_spki(curve.encode(x, y), oid(curve.oid))
            yield f"{name}, {title}", pem_attacks.certificate(der), _R.EC_POINT
    for title, modulus, exponent, problem in bad_rsa(8192):
        yield title, pem_attacks.certificate(pem_attacks.rsa_spki(modulus, exponent)), problem
    for dotted in _OTHER_CURVES:
        yield f"curve {dotted}", pem_attacks.certificate(ec_spki(pem_attacks.POINT, oid(dotted))), _R.CURVE
    # Section 4.2: an unknown critical extension. 2.5.29 has the standard ones.
    for arc in (*range(1, 15), 16, *range(20, 30), 31, 34, 35, *range(38, 54), *range(55, 80)):
        extension = pem_attacks.extension(f"2.5.29.{arc}", NULL, critical=True)
        certificate = pem_attacks.certificate(pem_attacks.GOOD, extension)
        yield f"critical 2.5.29.{arc}", certificate, _R.CERTIFICATE_UNSUITABLE
    # Section 4.2.1.3: one bit of the key usage alone.
    for bit in range(9):
        for kind, key, needed in (("RSA", pem_attacks.GOOD_RSA, 2), ("EC", pem_attacks.GOOD, 4)):
            if bit != needed:
                certificate = pem_attacks.certificate(key, pem_attacks.usage(bit))
                problem = _R.CERTIFICATE_AUTHORITY if bit == _KEY_CERT_SIGN else _R.CERTIFICATE_USE
                yield f"{kind} with key usage {bit}", certificate, problem


# ---------------------------------------------------------------- PGP (RFC 9580)

# Section 9.2: the length of a curve's identifier, and the identifier.
_CURVE25519 = bytes.fromhex("0a2b060104019755010501")
_KDF = b"\x03\x01\x08\x09"


def _bits(value: int) -> bytes:
    return value.bit_length().to_bytes(2, "big") + value.to_bytes((value.bit_length() + 7) // 8, "big")


def _bound(key: bytes) -> str:
    """Return a certificate of a good Ed25519 key with `key` bound to it for encryption."""
    primary = Primary(MADE)
    return block(primary.named(MADE) + packet(14, key) + primary.binding(key, MADE))


def _key(algorithm: int, material: bytes, version: int = 4) -> bytes:
    return bytes([version]) + four(MADE) + bytes([algorithm]) + material


def _pgp() -> Iterator[_Row]:
    for title, point, problem in bad_x25519():
        yield f"ECDH, {title}", _bound(subkey(MADE, point)), problem
        yield f"X25519, {title}", _bound(subkey(MADE, point, native=True)), problem
    for title, modulus, exponent, problem in bad_rsa(8192):
        yield title, _bound(_key(1, _bits(modulus) + _bits(exponent))), problem
    for name, curve in CURVES.items():
        identifier = oid(curve.oid)[1:]
        for title, x, y in bad_points(curve):
            point = _bits(int.from_bytes(curve.encode(x, y), "big"))
            # The library refuses them, and does not say why.
            yield f"{name}, {title}", _bound(_key(18, identifier + point + _KDF)), _R.PGP_NO_SUBKEY
    # Section 9.1: algorithms of signatures, of none, and of the past.
    for algorithm in (0, *range(3, 18), *range(19, 25), *range(28, 128)):
        material = little_endian(9) if algorithm != 18 else b""
        yield f"algorithm {algorithm}", _bound(_key(algorithm, material)), _R.PGP_NO_SUBKEY


# ---------------------------------------------------------------- their good siblings


def good_keys() -> Iterator[tuple[str, str]]:
    """Yield keys like those above, without the fault."""
    point, n, e = little_endian(9), good_modulus(2048), 65537
    yield "age", bech32("age", point)
    yield "ssh-ed25519", ssh_line(b"ssh-ed25519", little_endian(4 * pow(5, -1, P_25519) % P_25519))
    yield "JWK OKP", _jwk(kty="OKP", crv="X25519", x=base64url(point))
    yield "PEM X25519", _public(other_spki("1.3.101.110", point))
    yield "PGP, ECDH", _bound(subkey(MADE, point))
    yield "PGP, X25519", _bound(subkey(MADE, point, native=True))
    yield "ssh-rsa", ssh_line(b"ssh-rsa", _mpint(e), _mpint(n))
    yield "JWK RSA", _jwk(kty="RSA", n=_base64url_uint(n), e=_base64url_uint(e))
    yield "PEM RSA", _public(pem_attacks.rsa_spki(n, e))
    without = spki(sequence(oid("1.2.840.113549.1.1.1")), sequence(integer(n), integer(e)))
    yield "PEM RSA without parameters", _public(without)
    yield "PKCS#1", pem("RSA PUBLIC KEY", sequence(integer(n), integer(e)))
    yield "PGP, RSA", _bound(_key(1, _bits(n) + _bits(e)))
    for name, curve in CURVES.items():
        x, y = curve.base
        octets, identifier = curve.encode(x, y), oid(curve.oid)
        inside = curve.ssh.encode()
        yield f"ecdsa-sha2 {name}", ssh_line(b"ecdsa-sha2-" + inside, inside, octets)
        coordinates = {
            "x": base64url(x.to_bytes(curve.length, "big")),
            "y": base64url(y.to_bytes(curve.length, "big")),
        }
        yield f"JWK {name}", _jwk(kty="EC", crv=name, **coordinates)
        yield f"PEM {name}", _public(ec_spki(octets, identifier))
        yield f"X.509 {name}", pem_attacks.certificate(ec_spki(octets, identifier))
        yield f"PGP {name}", _bound(_key(18, identifier[1:] + _bits(int.from_bytes(octets, "big")) + _KDF))
