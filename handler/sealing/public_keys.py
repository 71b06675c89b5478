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
# https://cr.yp.to/ecdh.html#validate, apart from the encodings that are P or more.
_LOW_ORDER = frozenset(
    {
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        P - 1,
    }
)
RSA_BITS = range(2048, 8192 + 1)

# age cannot read an RSA key with an exponent of 2^31 or more (Go, crypto/rsa), nor can others.
_RSA_EXPONENTS = range(65537, 2**31)

# Of Fermat's method. The keys of CVE-2022-26320 take one.
_FERMAT_STEPS = 100
# The primes up to 167 for which the powers of 65537 do not cover every residue.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


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
    # RFC 7748 section 5: the top bit does not count, and numbers are taken modulo p.
    if int.from_bytes(u, "little") % 2**255 % P in _LOW_ORDER:
        raise RecipientRefused(RecipientProblem.LOW_ORDER)


def vet_rsa(modulus: int, exponent: int, bits: Container[int] = RSA_BITS) -> None:
    """Raise RecipientRefused for an RSA key of the wrong size or with an obvious weakness."""
    if modulus.bit_length() not in bits:
        raise RecipientRefused(RecipientProblem.RSA_SIZE)
    if exponent not in _RSA_EXPONENTS or exponent % 2 == 0:
        raise RecipientRefused(RecipientProblem.RSA_EXPONENT)
    # Most formats have no checksum. A damaged modulus usually has small factors, so anybody could open the
    # envelope. Devices that make weak keys exist as well, and their owners do not know. A weak key made on
    # purpose is its sender's own problem.
    if math.gcd(modulus, _small_primes()) != 1 or _has_close_factors(modulus) or _is_of_roca(modulus):
        raise RecipientRefused(RecipientProblem.RSA_MODULUS)


def _has_close_factors(modulus: int) -> bool:
    """Return whether Fermat's method factors a modulus at once (FIPS 186-5 appendix A.1.3 step 5.4)."""
    middle = math.isqrt(modulus - 1) + 1
    for half in range(middle, middle + _FERMAT_STEPS):
        square = half * half - modulus
        if math.isqrt(square) ** 2 == square:
            return True
    return False


def _is_of_roca(modulus: int) -> bool:
    """Return whether a modulus is one of CVE-2017-15361 (ROCA), made by a chip whose keys can be factored.

    Modulo each small prime it is a power of 65537. Of other keys, one in 10^8 is.
    """
    return all(modulus % prime in _powers_of_65537(prime) for prime in _ROCA_PRIMES)


@functools.cache
def _powers_of_65537(prime: int) -> frozenset[int]:
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime))


@functools.cache
def _small_primes() -> int:
    """Return the product of all primes below 10,000."""
    composite = {multiple for n in range(2, 100) for multiple in range(n * n, 10_000, n)}
    return math.prod(n for n in range(2, 10_000) if n not in composite)
