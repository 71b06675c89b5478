"""Tokens whose bytes are not what an issuer made, or not what a token may be."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from tests.support.bearer_function import ED, RSA, Case, bearer, claims, ec_token, ed_token, rsa_token
from tests.support.function_under_test import base64url
from tests.support.token_issuer import token

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = rsa_token()
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")
EC_SIGNED, _, EC_SIGNATURE = ec_token().rpartition(".")
ED_SIGNED, _, ED_SIGNATURE = ed_token().rpartition(".")
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def raw(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "==")


def pair(r: int, s: int) -> str:
    return f"{EC_SIGNED}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def signatures() -> Iterator[Case]:
    flipped = bytearray(raw(SIGNATURE))
    flipped[100] ^= 1
    other = rsa_token(sub="nobody").rpartition(".")[2]
    for title, signature in {
        "one bit": base64url(bytes(flipped)),
        "that of another token": other,
        "cut short": base64url(raw(SIGNATURE)[:-1]),
        "a byte more": base64url(raw(SIGNATURE) + b"\0"),
        "zero": base64url(bytes(256)),
        "one byte": "AA",
    }.items():
        yield bearer(f"signature: {title}", "bearer-signature", f"{HEADER}.{PAYLOAD}.{signature}")
    forged = base64url(json.dumps(claims(sub="ci")).encode())
    yield bearer("other claims", "bearer-signature", f"{HEADER}.{forged}.{SIGNATURE}")
    respelled = base64url(b'{"alg": "RS256", "kid": "rsa"}')
    yield bearer("another header", "bearer-signature", f"{respelled}.{PAYLOAD}.{SIGNATURE}")
    r, s = (int.from_bytes(raw(EC_SIGNATURE)[place : place + 32], "big") for place in (0, 32))
    assert decode_dss_signature(encode_dss_signature(r, s)) == (r, s)
    der = base64url(encode_dss_signature(r, s))
    yield bearer("ES256 in DER", "bearer-signature", f"{EC_SIGNED}.{der}")
    for title, numbers in {
        "0, 0": (0, 0),
        "r, 0": (r, 0),
        "0, s": (0, s),
        "1, 1": (1, 1),
        "n, n": (P256_ORDER, P256_ORDER),
        "s, r": (s, r),
        "r, s+1": (r, s + 1),
    }.items():
        yield bearer(f"ES256 {title}", "bearer-signature", pair(*numbers))
    longer = base64url(raw(EC_SIGNATURE) + b"\0")
    yield bearer("ES256 a byte more", "bearer-signature", f"{EC_SIGNED}.{longer}")
    point, scalar = raw(ED_SIGNATURE)[:32], int.from_bytes(raw(ED_SIGNATURE)[32:], "little")
    again = point + (scalar + ED25519_ORDER).to_bytes(32, "little")
    identity = b"\1" + bytes(31)
    for title, made in {
        "s + L": again,
        "zero": bytes(64),
        "identity, 0": identity + bytes(32),
        "its own key, 0": ED.public_key().public_bytes_raw() + bytes(32),
        "63 bytes": raw(ED_SIGNATURE)[:63],
    }.items():
        yield bearer(f"EdDSA {title}", "bearer-signature", f"{ED_SIGNED}.{base64url(made)}")


def encodings() -> Iterator[Case]:
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 256 bytes leave two bits of the last character unused, and 64 bytes four.
    unused = SIGNATURE[:-1] + last[last.index(SIGNATURE[-1]) + 1]
    assert raw(unused) == raw(SIGNATURE)
    malformed = {
        "unused bits in the signature": f"{HEADER}.{PAYLOAD}.{unused}",
        "no signature": f"{HEADER}.{PAYLOAD}",
        "an empty signature": f"{HEADER}.{PAYLOAD}.",
        "an empty header": f".{PAYLOAD}.{SIGNATURE}",
        "an empty payload": f"{HEADER}..{SIGNATURE}",
        "four parts": f"{GOOD}.{SIGNATURE}",
        "five parts, as encrypted ones have": f"{HEADER}.{SIGNATURE}.{PAYLOAD}.{PAYLOAD}.{SIGNATURE}",
        "padding": f"{GOOD}==",
        "padding in the middle": f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
        "standard base64": GOOD.replace("-", "+").replace("_", "/") + "+",
        "a line break": f"{HEADER}.{PAYLOAD}. {SIGNATURE}",
        "a dot at the end": f"{GOOD}.",
        "a length that base64 has not": f"{HEADER}A.{PAYLOAD}.{SIGNATURE}".replace(
            HEADER, HEADER[:-3] + "AA"
        ),
        "a tab": f"\t{GOOD}",
        "quotes": f'"{GOOD}"',
        "a comma": f"{GOOD},",
        "two tokens": f"{GOOD} {GOOD}",
        "two tokens and a comma": f"{GOOD}, Bearer {GOOD}",
        "a parameter": f"{GOOD} realm=x",
        "other digits": GOOD.replace("e", "\uff45", 1),
        "more than 15 KiB": rsa_token(padding="p" * 11500),
        "nothing": "",
        "no token": "null",
    }
    for title, text in malformed.items():
        yield bearer(title, "bearer-malformed", text)


def documents() -> Iterator[Case]:
    good = json.dumps(claims()).encode()
    payloads = {
        "a member twice": good[:-1] + b', "sub": "backup"}',
        "a member twice, differently": b'{"sub": "nobody", ' + good[1:],
        "NaN": good[:-1] + b', "x": NaN}',
        "one level too deep": good[:-1] + b', "x":' + b"[" * 32 + b"]" * 32 + b"}",
        "nested deep": good[:-1] + b', "x":' + b"[" * 2500 + b"]" * 2500 + b"}",
        "never closed": good[:-1],
        "more behind": good + b"{}",
        "a list": b"[" + good + b"]",
        "a text": json.dumps(good.decode()).encode(),
        "a number": b"1",
        "null": b"null",
        "not UTF-8": good[:-1] + b', "x": "\xff"}',
        "UTF-16": good.decode().encode("utf-16"),
        "a mark at the beginning": b"\xef\xbb\xbf" + good,
    }
    for title, payload in payloads.items():
        made = token(RSA, payload, alg="RS256", kid="rsa")
        yield bearer(f"claims: {title}", "bearer-malformed", made)
    parameters = {
        "alg twice": b'{"alg":"none","alg":"RS256","kid":"rsa"}',
        "kid twice": b'{"alg":"RS256","kid":"x","kid":"rsa"}',
        "a list": b'["RS256"]',
        "a text": b'"RS256"',
        "one level too deep": b'{"alg":"RS256","kid":"rsa","x":' + b"[" * 32 + b"]" * 32 + b"}",
        "nested deep": b'{"alg":"RS256","kid":"rsa","x":' + b"[" * 2500 + b"]" * 2500 + b"}",
        "no JSON": b"RS256",
    }
    for title, header in parameters.items():
        made = token(RSA, claims(), alg="RS256", header=header)
        yield bearer(f"header: {title}", "bearer-malformed", made)


def schemes() -> Iterator[Case]:
    for scheme in ("Basic", "DPoP", "JWT", "Token", "Bearer:", "BearerX", ""):
        yield Case(f"scheme {scheme!r}", "tc3-authorization", f"{scheme} {GOOD}")
    yield Case("no header", "tc3-authorization", None)
    yield Case("the scheme alone", "tc3-authorization", "Bearer")
    yield Case("a tab for the space", "tc3-authorization", f"Bearer\t{GOOD}")
    yield Case("a letter of another alphabet", "tc3-authorization", f"B\u0435arer {GOOD}")
