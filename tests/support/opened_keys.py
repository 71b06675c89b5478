"""The key inside an answer, opened as its owner does."""

from __future__ import annotations

import pyrage
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from tests.support.function_under_test import RECIPIENT, Answer


def opened(answer: Answer) -> str:
    """Return the public key, `ssh-rsa BASE64`, of the sealed private key."""
    ciphertext = answer.json["sealedPrivateKey"]["ciphertext"]
    pem = pyrage.decrypt(ciphertext.encode(), [RECIPIENT])
    key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def opened_text(ciphertext: str, identity: pyrage.x25519.Identity) -> str:
    """Open an age envelope; return the public half of the key inside."""
    # Unchecked numbers: the check takes 36 ms, and the public half is what is compared.
    opened_pem = pyrage.decrypt(ciphertext.encode(), [identity])
    key = load_pem_private_key(opened_pem, None, unsafe_skip_rsa_key_validation=True)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
