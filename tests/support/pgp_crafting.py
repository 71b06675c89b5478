"""PGP certificates of any content, version 4 with an Ed25519 primary key, put together packet by packet.

RFC 9580: packets 4.2, signatures 5.2.3 and 5.2.4, subpackets 5.2.3.7, keys 5.5.2.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_ED25519 = bytes.fromhex("092b06010401da470f01")
_CURVE25519 = bytes.fromhex("0a2b060104019755010501")
TO_ENCRYPT = b"\x02\x1b\x0c"
"""The subpacket that says what the key is for."""


def four(number: int) -> bytes:
    return number.to_bytes(4, "big")


def subpacket(kind: int, content: bytes) -> bytes:
    return bytes([len(content) + 1, kind]) + content


def packet(tag: int, body: bytes) -> bytes:
    """Frame a packet (RFC 9580 section 4.2.1), with five octets of length."""
    return bytes([0xC0 | tag, 0xFF]) + four(len(body)) + body


def _number(raw: bytes) -> bytes:
    value = int.from_bytes(raw, "big")
    return value.bit_length().to_bytes(2, "big") + value.to_bytes((value.bit_length() + 7) // 8, "big")


def _hashed(key: bytes) -> bytes:
    return b"\x99" + len(key).to_bytes(2, "big") + key


def subkey(created: int, point: bytes | None = None, *, native: bool = False) -> bytes:
    """Return a key for X25519: as ECDH, or as RFC 9580 has it."""
    raw = X25519PrivateKey.generate().public_key().public_bytes_raw() if point is None else point
    if native:
        return b"\x04" + four(created) + b"\x19" + raw
    return b"\x04" + four(created) + b"\x12" + _CURVE25519 + _number(b"\x40" + raw) + b"\x03\x01\x08\x09"


@dataclass(frozen=True)
class Primary:
    """A primary key."""

    created: int
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def body(self) -> bytes:
        raw = self.key.public_key().public_bytes_raw()
        return b"\x04" + four(self.created) + b"\x16" + _ED25519 + _number(b"\x40" + raw)

    def signature(self, kind: int, over: bytes, created: int, subpackets: bytes) -> bytes:
        fingerprint = hashlib.sha1(_hashed(self.body), usedforsecurity=False).digest()
        hashed = subpacket(2, four(created)) + subpacket(33, b"\x04" + fingerprint) + subpackets
        head = bytes([4, kind, 0x16, 8]) + len(hashed).to_bytes(2, "big") + hashed
        digest = hashlib.sha256(over + head + b"\x04\xff" + four(len(head))).digest()
        made = self.key.sign(digest)
        return packet(2, head + b"\x00\x00" + digest[:2] + _number(made[:32]) + _number(made[32:]))

    def named(self, created: int, subpackets: bytes = b"") -> bytes:
        """Return the key with a user id, certified."""
        name = b"somebody"
        over = _hashed(self.body) + b"\xb4" + four(len(name)) + name
        certified = self.signature(0x13, over, created, subpacket(27, b"\x01") + subpackets)
        return packet(6, self.body) + packet(13, name) + certified

    def binding(self, key: bytes, created: int, subpackets: bytes = TO_ENCRYPT, kind: int = 0x18) -> bytes:
        return self.signature(kind, _hashed(self.body) + _hashed(key), created, subpackets)


def block(packets: bytes) -> str:
    text = base64.b64encode(packets).decode()
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{lines}\n-----END PGP PUBLIC KEY BLOCK-----\n"
