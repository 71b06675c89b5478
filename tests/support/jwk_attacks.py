"""JWKs, JWK sets and X25519 keys in PEM that are refused, each with the reason."""

from __future__ import annotations

import base64
import json

from cryptography.hazmat.primitives.asymmetric import ec

from handler.sealing.recipient_problems import RECIPIENT_LIMIT, RecipientProblem
from tests.support.function_under_test import base64url
from tests.support.recipient_attacks import LOW_ORDER_X25519, BadRecipient, bech32, pem

CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_P = 2**255 - 19
_FIELDS = {
    "P-256": 2**256 - 2**224 + 2**192 + 2**96 - 1,
    "P-384": 2**384 - 2**128 - 2**96 + 2**32 - 1,
    "P-521": 2**521 - 1,
}
# SEC 2 version 2.0, sections 2.4.2, 2.5.1 and 2.6.1: b of y² = x³ - 3x + b. At x = 0, y is its root.
_B = {
    "P-256": 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    "P-384": int(
        "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef", 16
    ),
    "P-521": int(
        "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf0735"
        "73df883d2c34f1ef451fd46b503f00",
        16,
    ),
}

# A prime of 2203 bits: nothing about it looks wrong.
_MODULUS = 2**2203 - 1

# Other spellings of points: little-endian.
_OTHER_SPELLINGS = {
    "top bit set": b"\x09" + bytes(30) + b"\x80",
    "9 as p + 9": (_P + 9).to_bytes(32, "little"),
}


def number(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def rsa(modulus: int = _MODULUS, exponent: int = 65537, **members: object) -> str:
    return json.dumps({"kty": "RSA", "n": number(modulus), "e": number(exponent), **members})


def ec_jwk(curve: str, x: int, y: int) -> str:
    length = (CURVES[curve].key_size + 7) // 8
    spelled = {name: base64url(value.to_bytes(length, "big")) for name, value in (("x", x), ("y", y))}
    return json.dumps({"kty": "EC", "crv": curve, **spelled})


def p256(**members: object) -> str:
    """Return a good JWK but for what `members` say otherwise."""
    point = ec.derive_private_key(2, CURVES["P-256"]).public_key().public_numbers()
    return json.dumps(json.loads(ec_jwk("P-256", point.x, point.y)) | members)


def x25519(point: bytes = b"\x09" + bytes(31), **members: object) -> str:
    return json.dumps({"kty": "OKP", "crv": "X25519", "x": base64url(point), **members})


def key_set(*keys: str, **members: object) -> str:
    return json.dumps({"keys": [json.loads(key) for key in keys], **members})


def spki(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


_GOOD = p256()
_X = json.loads(_GOOD)["x"]
_DER = bytes.fromhex("302a300506032b656e032100") + b"\x09" + bytes(31)
_PEM = pem("PUBLIC KEY", spki(_DER)).strip()
_SIGNING = (p256(use="sig"), json.dumps({"kty": "OKP", "crv": "Ed25519", "x": base64url(bytes(32))}))


def _with(name: str, value: str) -> str:
    """Return the good JWK with a member more, written as it stands."""
    return f'{_GOOD[:-1]}, "{name}": {value}}}'


def _off_by_one(curve: str) -> str:
    point = ec.derive_private_key(2, CURVES[curve]).public_key().public_numbers()
    return ec_jwk(curve, point.x, point.y ^ 1)


def _beyond_the_field(curve: str) -> str:
    """Return the point at x = 0 with p for 0, which OpenSSL takes."""
    prime = _FIELDS[curve]
    return ec_jwk(curve, prime, pow(_B[curve], (prime + 1) // 4, prime))


_R = RecipientProblem
_PRIVATE = {
    **{f"with {name}": _with(name, '"AQAB"') for name in ("d", "p", "q", "dp", "dq", "qi", "k", "oth")},
    "with d, escaped": _with("\\u0064", '"AQAB"'),
    "with dp, both letters escaped": _with("\\u0064\\u0070", '"AQAB"'),
    "with k, escaped in upper case": _with("\\u006B", '"AQAB"'),
    "with d in something else": _with("more", '{"deep": [{"d": "AQAB"}]}'),
    "with d in something else, escaped": _with("more", '[[{"\\u0064": 1}]]'),
    "with d twice": _with("d", '"AQAB", "d": "AQAB"'),
    "with an escaped d, and cut": _with("\\u0064", '"AQAB"')[:-1],
    "a set with a private key": f'{{"keys": [{_GOOD}, {_with("d", "0")}]}}',
    "a set with an escaped private key": f'{{"keys": [{_GOOD}, {_with(chr(92) + "u0064", "0")}]}}',
    "symmetric": '{"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}',
}
_MALFORMED = {
    "cut": _GOOD[:-1],
    "an empty object": "{}",
    "no JSON": "{kty: EC}",
    "two": f"{_GOOD} {_GOOD}",
    "two lines": f"{_GOOD}\n{_GOOD}",
    "a comma too many": f"{_GOOD[:-1]},}}",
    "a comment": f"{_GOOD[:-1]} /* */}}",
    "NaN": _with("more", "NaN"),
    "-Infinity": _with("more", "[-Infinity]"),
    "a number of 5,000 digits": _with("more", "9" * 5000),
    "one level too deep": _with("more", "[" * 32 + "]" * 32),
    "as deep as there is room": _with("more", "[" * 8000 + "]" * 8000),
    "no kty": json.dumps({"crv": "P-256", "x": _X, "y": _X}),
    "kty null": p256(kty=None),
    "kty a list": p256(kty=["EC"]),
    "no crv": json.dumps({"kty": "EC", "x": _X, "y": _X}),
    "no y": json.dumps({"kty": "EC", "crv": "P-256", "x": _X}),
    "x a number": p256(x=1),
    "a member twice": _with("x", f'"{_X}"'),
    "a member twice, once escaped": _with("\\u0078", f'"{_X}"'),
    "a member of another member twice": _with("more", '[{"a": 1, "a": 1}]'),
    "kid a number": p256(kid=1),
    "kid too long": p256(kid="k" * 257),
    "kid of two lines": p256(kid="a\nb"),
    "kid not ASCII": p256(kid="é"),
    "kid a lone surrogate": p256(kid="\ud800"),
    "alg a list": p256(alg=["ECDH-ES"]),
    "key_ops a text": p256(key_ops="wrapKey"),
    "key_ops of numbers": p256(key_ops=[1]),
    "key_ops twice": p256(key_ops=["wrapKey", "wrapKey"]),
    "padded": p256(x=_X + "="),
    "standard base64": p256(x=base64.b64encode(b"\xfb" * 32).decode().rstrip("=")),
    "unused bits": p256(x=_X[:-1] + chr(ord(_X[-1]) + 1)),
    "a space in base64": p256(x=_X[:9] + " " + _X[9:]),
    "a length that base64 cannot have": p256(x=_X + "AA"),
    "base64 not ASCII": p256(x="é" + _X[1:]),
    "x empty": p256(x=""),
    "x too short": p256(x=base64url(bytes(31))),
    "x too long": p256(x=base64url(bytes(33))),
    "coordinates of another curve": p256(crv="P-384"),
    "X25519 of 31 bytes": x25519(bytes(31)),
    "X25519 of 33 bytes": x25519(b"\x09" + bytes(32)),
    "RSA without e": json.dumps({"kty": "RSA", "n": number(_MODULUS)}),
    "RSA with n empty": rsa(n=""),
    "RSA with a zero before n": rsa(n=base64url(b"\x00" + _MODULUS.to_bytes(276, "big"))),
    "RSA with a zero before e": rsa(e="AAEAAQ"),
    "RSA with e zero": rsa(e="AA"),
    "keys an object": '{"keys": {}}',
    "keys of texts": '{"keys": ["kty"]}',
    "a set that is a key too": key_set(_GOOD, kty="EC"),
    "a set whose only key is malformed": key_set(p256(x="")),
}
_USE = {
    "for signatures": p256(use="sig"),
    "for a use of its own": p256(use="wrap"),
    "to verify": p256(key_ops=["verify"]),
    "to decrypt": p256(key_ops=["decrypt", "unwrapKey"]),
    "for signatures by key_ops": p256(use="enc", key_ops=["sign"]),
    "ES256": p256(alg="ES256"),
    "ECDH-ES+A128KW": p256(alg="ECDH-ES+A128KW"),
    "RSA-OAEP-256 on a curve": p256(alg="RSA-OAEP-256"),
    "X25519 for signatures": x25519(use="sig"),
    "RS256": rsa(alg="RS256"),
    "RSA1_5": rsa(alg="RSA1_5"),
    "RSA-OAEP with SHA-1": rsa(alg="RSA-OAEP"),
    "ECDH-ES with RSA": rsa(alg="ECDH-ES"),
    "RSA for signatures": rsa(use="sig", alg="PS256"),
    "an empty set": key_set(),
    "a set of signing keys": key_set(*_SIGNING, rsa(alg="RS256")),
    "a set with a key without kty": '{"keys": [{}]}',
    "a set of types to come": key_set('{"kty": "AKP"}'),
}
_PEM_MALFORMED = {
    "ended as something else": _PEM.replace("END PUBLIC", "END"),
    "with a byte behind the key": pem("PUBLIC KEY", spki(_DER + b"\x00")),
    "with a byte less": pem("PUBLIC KEY", spki(_DER[:-1])),
    "with unused bits": _PEM.replace("A=\n", "B=\n"),
}

BAD_JWKS = (
    *(BadRecipient(f"JWK: {title}", text, _R.PRIVATE) for title, text in _PRIVATE.items()),
    *(BadRecipient(f"JWK: {title}", text, _R.JWK_MALFORMED) for title, text in _MALFORMED.items()),
    *(BadRecipient(f"JWK: {title}", text, _R.JWK_USE) for title, text in _USE.items()),
    *(BadRecipient(f"X25519 PEM {title}", text, _R.PEM_MALFORMED) for title, text in _PEM_MALFORMED.items()),
    BadRecipient("X25519 PEM, two", f"{_PEM}\n{_PEM}", _R.SEVERAL),
    BadRecipient("X25519 PEM behind an age key", f"{bech32('age', bytes(range(9, 41)))}\n{_PEM}", _R.SEVERAL),
    BadRecipient("JWK: a list", f"[{_GOOD}]", _R.UNKNOWN),
    BadRecipient("JWK: a text", json.dumps(_GOOD), _R.JWK_MALFORMED),
    BadRecipient("JWK: huge", _with("more", f'"{"A" * RECIPIENT_LIMIT}"'), _R.TOO_LONG),
    BadRecipient("JWK: a zero byte", _GOOD + "\x00", _R.CONTROL_CHARACTERS),
    BadRecipient("JWK: a kid with an accent", _with("kid", '"é"'), _R.JWK_MALFORMED),
    BadRecipient("JWK: symmetric, without its key", '{"kty": "oct"}', _R.JWK_TYPE),
    BadRecipient("JWK: a type to come", '{"kty": "AKP", "pub": "AA"}', _R.JWK_TYPE),
    BadRecipient("JWK: a type in lower case", p256(kty="ec"), _R.JWK_TYPE),
    BadRecipient("JWK: two keys in a set", key_set(_GOOD, x25519()), _R.JWK_SET_SEVERAL),
    BadRecipient("JWK: of a hardware security module", rsa(kty="RSA-HSM"), _R.JWK_HSM),
    *(
        BadRecipient(f"JWK: {curve}", p256(kty=kty, crv=curve), _R.CURVE)
        for kty, curve in (
            ("EC", "secp256k1"),
            ("EC", "P-224"),
            ("EC", "p-256"),
            ("EC", "X25519"),
            ("OKP", "Ed25519"),
            ("OKP", "Ed448"),
            ("OKP", "X448"),
            ("OKP", "P-256"),
        )
    ),
    BadRecipient(
        "JWK: Ed25519 that says it is for encryption", p256(kty="OKP", crv="Ed25519", use="enc"), _R.CURVE
    ),
    *(BadRecipient(f"JWK: off {curve}", _off_by_one(curve), _R.EC_POINT) for curve in CURVES),
    *(BadRecipient(f"JWK: x of p, {curve}", _beyond_the_field(curve), _R.EC_POINT) for curve in CURVES),
    BadRecipient("JWK: (0, 0)", ec_jwk("P-256", 0, 0), _R.EC_POINT),
    *(
        BadRecipient(f"JWK: X25519 low order: {title}", x25519(bytes.fromhex(point)), _R.LOW_ORDER)
        for title, point in LOW_ORDER_X25519.items()
    ),
    *(
        BadRecipient(
            f"X25519 PEM low order: {title}", pem("PUBLIC KEY", spki(_DER[:12] + point)), _R.LOW_ORDER
        )
        for title, point in ((title, bytes.fromhex(point)) for title, point in LOW_ORDER_X25519.items())
    ),
    *(
        BadRecipient(f"JWK: X25519: {title}", x25519(point), _R.UNUSABLE)
        for title, point in _OTHER_SPELLINGS.items()
    ),
    *(
        BadRecipient(f"X25519 PEM: {title}", pem("PUBLIC KEY", spki(_DER[:12] + point)), _R.UNUSABLE)
        for title, point in _OTHER_SPELLINGS.items()
    ),
    *(
        BadRecipient(f"JWK: RSA of {bits} bits", rsa(1 << bits - 1 | 1), _R.RSA_SIZE)
        for bits in (512, 1024, 2047, 8193, 16384)
    ),
    *(
        BadRecipient(f"JWK: RSA with exponent {exponent}", rsa(exponent=exponent), _R.RSA_EXPONENT)
        for exponent in (1, 2, 3, 65535, 65538, 2**31 + 1)
    ),
    BadRecipient("JWK: RSA with an even modulus", rsa(_MODULUS - 1), _R.RSA_MODULUS),
    BadRecipient("JWK: RSA with a small factor", rsa(_MODULUS * 9973), _R.RSA_MODULUS),
    BadRecipient("JWK: RSA with a square", rsa((2**1279 - 1) ** 2), _R.RSA_MODULUS),
)
