"""Checks the key pair that the cloud returned, and converts the private key to the requested format."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from pydantic import SecretBytes

from handler.errors import CloudAnswerInvalid
from handler.issuance.ppk import ppk
from handler.issuance.rsa_numbers import RsaNumbers
from handler.order import PrivateKeyFormat
from handler.sealing import ssh_keys
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_BITS_MINIMUM = 2048
_EXPONENT = 65537
_BEGIN = {
    PrivateKeyFormat.PKCS1: b"-----BEGIN RSA PRIVATE KEY-----",
    PrivateKeyFormat.PKCS8: b"-----BEGIN PRIVATE KEY-----",
}
"""How the formats that the cloud may return begin."""
# Exactly one block with nothing around it. Only some responses end with a newline.
_PEM = re.compile(
    rb"-----BEGIN (?P<label>(?:RSA )?PRIVATE KEY)-----\n[A-Za-z0-9+/=\n]+\n-----END (?P=label)-----\n?"
)


@dataclass(frozen=True)
class CheckedKeyPair:
    """A public and a private key that belong together.

    `public_key` is `ssh-rsa BLOB`, without the comment that the cloud adds. `private_key` is unchanged.
    """

    public_key: str
    fingerprint: str
    private_key: SecretBytes


def check(public_key: str, private_key: SecretBytes) -> CheckedKeyPair:
    """Return the pair if it is sound; raise CloudAnswerInvalid, which holds no key."""
    problem = _problem(public_key, private_key.get_secret_value())
    # SECURITY BOUNDARY: raised here, so that no exception keeps the plain key in its frames or context.
    if problem is not None:
        raise CloudAnswerInvalid(problem)
    # A comment, which the cloud adds, may follow.
    key_type, blob = public_key.split()[:2]
    return CheckedKeyPair(f"{key_type} {blob}", ssh_keys.fingerprint(blob), private_key)


def _problem(public_key: str, private_pem: bytes) -> str | None:
    if not _PEM.fullmatch(private_pem):
        return "answer-private-key-pem"
    try:
        key_type, blob = public_key.split()[:2]
        encoded_type = ssh_keys.fields(blob)[0]
        private = _numbers(private_pem)
    except Exception:  # noqa: BLE001  # any error of a parser may quote the key
        return "answer-key-unreadable"
    if encoded_type != key_type.encode():
        return "answer-key-unreadable"
    if key_type != "ssh-rsa":
        return "answer-key-type"
    if base64.b64encode(private.public_blob).decode() != blob:
        return "answer-key-mismatch"
    if private.n.bit_length() < _BITS_MINIMUM:
        return "answer-key-weak"
    if private.e != _EXPONENT:
        return "answer-key-exponent"
    return None if private.belong_together else "answer-key-mismatch"


def _numbers(private_pem: bytes) -> RsaNumbers:
    """Return the numbers of a private key in PEM. Raises an exception of any kind."""
    if private_pem.startswith(_BEGIN[PrivateKeyFormat.PKCS1]):
        return RsaNumbers.read(base64.b64decode(b"".join(private_pem.splitlines()[1:-1])))
    from cryptography.hazmat.primitives import serialization

    form = serialization.PrivateFormat.TraditionalOpenSSL
    return RsaNumbers.read(
        _load(private_pem).private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
    )


def _load(private_pem: bytes) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    # The full check tests the primes and takes 36 ms, as long as generating a key. `RsaNumbers` proves what
    # matters.
    key = load_pem_private_key(private_pem, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError
    return key


def convert(private_key: SecretBytes, wanted: PrivateKeyFormat, comment: str = "") -> SecretBytes:
    """Return a checked private key in the requested format; unchanged if it already has it.

    Only a PPK file has a `comment`, which is ASCII in one line.
    """
    pem = private_key.get_secret_value()
    if wanted is PrivateKeyFormat.PPK:
        return SecretBytes(ppk(_numbers(pem), comment))
    if wanted in _BEGIN and pem.startswith(_BEGIN[wanted]):
        return private_key
    from cryptography.hazmat.primitives import serialization

    form = {
        PrivateKeyFormat.PKCS1: serialization.PrivateFormat.TraditionalOpenSSL,
        PrivateKeyFormat.PKCS8: serialization.PrivateFormat.PKCS8,
        PrivateKeyFormat.OPENSSH: serialization.PrivateFormat.OpenSSH,
    }[wanted]
    return SecretBytes(
        _load(pem).private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
