"""Writes private keys as PuTTY's programs read them: PPK version 3, unencrypted.

https://the.earth.li/~sgtatham/putty/latest/htmldoc/AppendixC.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import textwrap
from typing import TYPE_CHECKING

from handler.issuance.rsa_numbers import ssh_mpint, ssh_string

if TYPE_CHECKING:
    from handler.issuance.rsa_numbers import RsaNumbers

_LINE = 64


def ppk(key: RsaNumbers, comment: str) -> bytes:
    """Return `key` as a PPK file. `comment` is ASCII in one line; PuTTY shows it."""
    # C.3: PuTTY's iqmp is the inverse of q modulo p, as in PKCS #1.
    private = b"".join(map(ssh_mpint, (key.d, key.p, key.q, key.qi)))
    authenticated = (b"ssh-rsa", b"none", comment.encode("ascii"), key.public_blob, private)
    # C.4: without a passphrase, the key of the MAC is empty. It detects damage, not tampering.
    mac = hmac.new(b"", b"".join(map(ssh_string, authenticated)), hashlib.sha256).hexdigest()
    lines = [
        "PuTTY-User-Key-File-3: ssh-rsa",
        "Encryption: none",
        f"Comment: {comment}",
        *_base64("Public-Lines", key.public_blob),
        *_base64("Private-Lines", private),
        f"Private-MAC: {mac}",
        "",
    ]
    return "\n".join(lines).encode("ascii")


def _base64(name: str, content: bytes) -> list[str]:
    lines = textwrap.wrap(base64.b64encode(content).decode(), _LINE)
    return [f"{name}: {len(lines)}", *lines]
