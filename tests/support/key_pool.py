"""RSA keys for emulators, made quickly; they open nothing."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

KEYS = 3000
"""More than the tests of one process ask of one emulator."""


def key_pool() -> Path:
    """Return a pool file as the emulator takes it. It is kept for the next run of the tests."""
    file = Path(tempfile.gettempdir()) / f"keypair-function-test-keys-{KEYS}-{os.getuid()}.pem"
    if not file.exists():
        # Two runs may do this at once: each moves a whole file into its place.
        descriptor, name = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(descriptor, "wb") as made:
            made.writelines(_pems(KEYS))
        Path(name).replace(file)
    return file


def _pems(keys: int) -> list[bytes]:
    """Make different keys of few primes, each two of which make one.

    Making each key anew takes longer than all else that the emulator does.
    """
    primes: list[int] = []
    while len(primes) * (len(primes) - 1) // 2 < keys:
        numbers = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
        primes += [numbers.p, numbers.q]
    pems = []
    for p, q in itertools.islice(itertools.combinations(primes, 2), keys):
        d = pow(65537, -1, (p - 1) * (q - 1))
        private = rsa.RSAPrivateNumbers(
            p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(65537, p * q)
        ).private_key(unsafe_skip_rsa_key_validation=True)
        pems.append(private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return pems
