"""Writes private keys as PuTTY's programs read them: PPK version 3, unencrypted.

https://the.earth.li/~sgtatham/putty/latest/htmldoc/AppendixC.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import textwrap
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_LINE = 64


def ppk(key: RSAPrivateKey, comment: str) -> bytes:
    """Return `key` as a PPK file. `comment` is ASCII in one line; PuTTY shows it."""
    numbers = key.private_numbers()
    openssh = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    public = base64.b64decode(openssh.split()[1])
    # C.3: PuTTY's iqmp is the inverse of q modulo p, as in PKCS #1.
    private = b"".join(map(_mpint, (numbers.d, numbers.p, numbers.q, numbers.iqmp)))
    authenticated = (b"ssh-rsa", b"none", comment.encode("ascii"), public, private)
    # C.4: without a passphrase, the key of the MAC is empty. It detects damage, not tampering.
    mac = hmac.new(b"", b"".join(map(_string, authenticated)), hashlib.sha256).hexdigest()
    lines = [
        "PuTTY-User-Key-File-3: ssh-rsa",
        "Encryption: none",
        f"Comment: {comment}",
        *_base64("Public-Lines", public),
        *_base64("Private-Lines", private),
        f"Private-MAC: {mac}",
        "",
    ]
    return "\n".join(lines).encode("ascii")


def _string(content: bytes) -> bytes:
    # RFC 4251 section 5
    return len(content).to_bytes(4, "big") + content


def _mpint(number: int) -> bytes:
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _base64(name: str, content: bytes) -> list[str]:
    lines = textwrap.wrap(base64.b64encode(content).decode(), _LINE)
    return [f"{name}: {len(lines)}", *lines]
