"""Checks the key pair that the cloud returned, and converts the private key to the requested format."""

from __future__ import annotations

import base64
import hashlib
import re

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pydantic import SecretBytes

from handler.errors import CloudAnswerInvalid
from handler.issuance.ppk import ppk
from handler.order import PrivateKeyFormat
from handler.startup.records import dataclass

_BITS_MINIMUM = 2048
_EXPONENT = 65537
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
    problem, parts = _problem(public_key, private_key.get_secret_value())
    # SECURITY BOUNDARY: raised here, so that no exception keeps the plain key in its frames or context.
    if problem is not None:
        raise CloudAnswerInvalid(problem)
    key_type, blob = parts
    digest = hashlib.sha256(base64.b64decode(blob)).digest()
    fingerprint = "SHA256:" + base64.b64encode(digest).rstrip(b"=").decode()
    return CheckedKeyPair(f"{key_type} {blob}", fingerprint, private_key)


def _problem(public_key: str, private_pem: bytes) -> tuple[str | None, list[str]]:
    if not _PEM.fullmatch(private_pem):
        return "answer-private-key-pem", []
    try:
        public = serialization.load_ssh_public_key(public_key.encode("ascii"))
        private = _load(private_pem)
    except Exception:  # noqa: BLE001  # any error of a parser may quote the key
        return "answer-key-unreadable", []
    if not isinstance(public, rsa.RSAPublicKey):
        return "answer-key-type", []
    if public.key_size < _BITS_MINIMUM:
        return "answer-key-weak", []
    if public.public_numbers().e != _EXPONENT:
        return "answer-key-exponent", []
    if private.public_key().public_numbers() != public.public_numbers() or not _belongs(private, public):
        return "answer-key-mismatch", []
    # Serialized again, which drops the comment and the spacing of the cloud.
    openssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return None, public.public_bytes(*openssh).decode().split()


def _load(private_pem: bytes) -> rsa.RSAPrivateKey:
    # The full check tests the primes and takes 36 ms, as long as generating a key. `_belongs` proves what
    # matters.
    key = serialization.load_pem_private_key(private_pem, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("not RSA")
    return key


def _belongs(private: rsa.RSAPrivateKey, public: rsa.RSAPublicKey) -> bool:
    """Tell whether all private numbers fit the modulus and the public key verifies a signature.

    The signature alone proves too little. If some numbers are damaged, OpenSSL signs with the others, but
    programs that use the damaged ones would fail.
    """
    numbers = private.private_numbers()
    p, q, d = numbers.p, numbers.q, numbers.d
    try:
        # RFC 8017 section 3.2. That d is the inverse of e follows from the signature.
        fits = (
            p * q == numbers.public_numbers.n
            and (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
            and numbers.iqmp * q % p == 1
        )
        signature = private.sign(b"", padding.PKCS1v15(), hashes.SHA256())
        public.verify(signature, b"", padding.PKCS1v15(), hashes.SHA256())
    except Exception:  # noqa: BLE001  # a prime of 1, InvalidSignature or another error of OpenSSL
        return False
    return fits


def convert(private_key: SecretBytes, wanted: PrivateKeyFormat, comment: str = "") -> SecretBytes:
    """Return a checked private key in the requested format; unchanged if it already has it.

    Only a PPK file has a `comment`, which is ASCII in one line.
    """
    pem = private_key.get_secret_value()
    if wanted is PrivateKeyFormat.PPK:
        return SecretBytes(ppk(_load(pem), comment))
    label, form = {
        PrivateKeyFormat.PKCS1: (b"RSA PRIVATE KEY", serialization.PrivateFormat.TraditionalOpenSSL),
        PrivateKeyFormat.PKCS8: (b"PRIVATE KEY", serialization.PrivateFormat.PKCS8),
        PrivateKeyFormat.OPENSSH: (b"OPENSSH PRIVATE KEY", serialization.PrivateFormat.OpenSSH),
    }[wanted]
    if pem.startswith(b"-----BEGIN " + label + b"-----"):
        return private_key
    key = _load(pem)
    return SecretBytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
