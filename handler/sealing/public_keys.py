"""Checks of public keys that apply to every format, made before anything is sealed to them."""

from __future__ import annotations

import base64
import functools
import math
from typing import TYPE_CHECKING

from handler.errors import RecipientRefused
from handler.sealing.recipient_problems import RecipientProblem

if TYPE_CHECKING:
    from collections.abc import Container

P = 2**255 - 19
"""The field of Curve25519, in X25519 and Ed25519 alike."""
X25519_LENGTH = 32
"""Bytes of a key."""
RSA_BITS = range(2048, 8192 + 1)

# age cannot read an RSA key with an exponent of 2^31 or more (Go, crypto/rsa), nor can others.
_RSA_EXPONENTS = range(65537, 2**31)


def pem_content(text: str) -> bytes:
    """Decode `text`, the base64 of a PEM block without white space.

    Raises RecipientRefused, also for base64 that is not canonical: Python's decoder accepts variations of
    padding and unused bits, and stops at the first padding.
    """
    try:
        content = base64.b64decode(text)
    except ValueError:
        raise RecipientRefused(RecipientProblem.PEM_MALFORMED) from None
    if base64.b64encode(content).decode() != text:
        raise RecipientRefused(RecipientProblem.PEM_MALFORMED)
    return content


def vet_x25519(point: bytes) -> None:
    """Raise RecipientRefused for an unusable public key of X25519."""
    require_full_order(point)
    # RFC 7748 section 5 accepts other encodings of a point: the top bit set, or a number of p or more. age
    # hashes the encoding, so the owner, whose key yields the canonical one, could not open the envelope.
    if int.from_bytes(point, "little") >= P:
        raise RecipientRefused(RecipientProblem.UNUSABLE)


def require_full_order(u: bytes) -> None:
    """Refuse X25519 points that give an all-zero shared secret with any key (RFC 7748 section 6.1)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(u))
    except ValueError:
        raise RecipientRefused(RecipientProblem.LOW_ORDER) from None


def vet_rsa(modulus: int, exponent: int, bits: Container[int] = RSA_BITS) -> None:
    """Raise RecipientRefused for an RSA key of the wrong size or with an obvious weakness."""
    if modulus.bit_length() not in bits:
        raise RecipientRefused(RecipientProblem.RSA_SIZE)
    if exponent not in _RSA_EXPONENTS or exponent % 2 == 0:
        raise RecipientRefused(RecipientProblem.RSA_EXPONENT)
    # Most formats have no checksum. A damaged modulus usually has small factors, so anybody could open the
    # envelope. A weak key made on purpose is its sender's own problem.
    if math.gcd(modulus, _small_primes()) != 1 or math.isqrt(modulus) ** 2 == modulus:
        raise RecipientRefused(RecipientProblem.RSA_MODULUS)


@functools.cache
def _small_primes() -> int:
    """Return the product of all primes below 10,000."""
    composite = {multiple for n in range(2, 100) for multiple in range(n * n, 10_000, n)}
    return math.prod(n for n in range(2, 10_000) if n not in composite)
