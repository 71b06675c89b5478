"""Points and moduli that no recipient may have, derived from the constants of RFCs and NIST.

Nothing here is random: what needs a number of no special form takes it from SHAKE-256 of a label.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from handler.sealing.recipient_problems import RecipientProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_R = RecipientProblem


def number(bits: int, label: str) -> int:
    """Return a number with so many bits, the first two of them set."""
    digest = int.from_bytes(hashlib.shake_256(label.encode()).digest(bits // 8 + 1), "big")
    return digest % (1 << bits - 2) | 3 << bits - 2


# ---------------------------------------------------------------- Curve25519 (RFC 7748, RFC 8032)

P_25519 = 2**255 - 19
"""RFC 7748 section 4.1."""
_D = -121665 * pow(121666, -1, P_25519) % P_25519
"""RFC 8032 section 5.1."""
_ORDER_8 = (
    # RFC 7748 section 6.1 tells to check for a shared secret of zero; these two, with 0, 1 and p - 1, are all
    # coordinates that give it.
    0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
)
_TOP_BIT = 1 << 255


def little_endian(value: int) -> bytes:
    return value.to_bytes(32, "little")


def bad_x25519() -> Iterator[tuple[str, bytes, RecipientProblem]]:
    """Yield points of low order, and spellings of points that no key pair has (RFC 7748 section 5)."""
    low = {0, 1, P_25519 - 1, P_25519, P_25519 + 1, *_ORDER_8}
    for u in sorted(low):
        yield f"low order {u:x}", little_endian(u), _R.LOW_ORDER
        yield f"low order {u:x}, top bit set", little_endian(u | _TOP_BIT), _R.LOW_ORDER
    for excess in range(2, 19):
        yield f"p + {excess}", little_endian(P_25519 + excess), _R.UNUSABLE
        yield f"p + {excess}, top bit set", little_endian(P_25519 + excess | _TOP_BIT), _R.UNUSABLE
    for u in range(2, 34):
        yield f"{u}, top bit set", little_endian(u | _TOP_BIT), _R.UNUSABLE


def bad_ed25519() -> Iterator[tuple[str, bytes, RecipientProblem]]:
    """Yield what RFC 8032 section 5.1.3 cannot decode, and points of low order."""
    # y of the points of order 8, by the map of RFC 7748 section 4.1: y = (u - 1) / (u + 1).
    of_order_8 = {(u - 1) * pow(u + 1, -1, P_25519) % P_25519 for u in _ORDER_8}
    for y in sorted({0, 1, P_25519 - 1, *of_order_8}):
        for sign in (0, _TOP_BIT):
            yield f"low order, y = {y:x}, sign {sign >> 255}", little_endian(y | sign), _R.LOW_ORDER
    for excess in range(19):
        for sign in (0, _TOP_BIT):
            title = f"y = p + {excess}, sign {sign >> 255}"
            yield title, little_endian(P_25519 + excess | sign), _R.ED25519_POINT
    for y in range(2, 200):
        square = (y * y - 1) * pow(_D * y * y + 1, -1, P_25519)
        if pow(square, (P_25519 - 1) // 2, P_25519) != 1:
            for sign in (0, _TOP_BIT):
                yield f"no point, y = {y}, sign {sign >> 255}", little_endian(y | sign), _R.ED25519_POINT


# ---------------------------------------------------------------- NIST's curves (SP 800-186 section 3.2.1)


@dataclass(frozen=True)
class Curve:
    """y² = x³ - 3x + b modulo p."""

    p: int
    b: int
    base: tuple[int, int]
    ssh: str
    oid: str

    @property
    def length(self) -> int:
        return (self.p.bit_length() + 7) // 8

    def encode(self, x: int, y: int, prefix: int = 4) -> bytes:
        """Return the octets of SEC 1 section 2.3.3."""
        return bytes([prefix]) + x.to_bytes(self.length, "big") + y.to_bytes(self.length, "big")

    def root(self, square: int) -> int | None:
        # All three p are 3 modulo 4.
        root = pow(square, (self.p + 1) // 4, self.p)
        return root if root * root % self.p == square % self.p else None

    def right(self, x: int) -> int:
        return (x**3 - 3 * x + self.b) % self.p

    @functools.cached_property
    def first_points(self) -> tuple[tuple[int, int], ...]:
        """The points with the smallest x, one for each."""
        roots = ((x, self.root(self.right(x))) for x in range(48))
        return tuple((x, y) for x, y in roots if y is not None)

    @functools.cached_property
    def without_point(self) -> tuple[int, ...]:
        """The smallest x that no point has."""
        with_point = {x for x, _ in self.first_points}
        return tuple(x for x in range(48) if x not in with_point)


def _hexadecimal(*lines: str) -> int:
    return int("".join(lines).replace(" ", ""), 16)


CURVES: Mapping[str, Curve] = {
    # Section 3.2.1.3
    "P-256": Curve(
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        (
            0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
            0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
        ),
        "nistp256",
        "1.2.840.10045.3.1.7",
    ),
    # Section 3.2.1.4
    "P-384": Curve(
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        _hexadecimal(
            "b3312fa7 e23ee7e4 988e056b e3f82d19 181d9c6e fe814112",
            "0314088f 5013875a c656398d 8a2ed19d 2a85c8ed d3ec2aef",
        ),
        (
            _hexadecimal(
                "aa87ca22 be8b0537 8eb1c71e f320ad74 6e1d3b62 8ba79b98",
                "59f741e0 82542a38 5502f25d bf55296c 3a545e38 72760ab7",
            ),
            _hexadecimal(
                "3617de4a 96262c6f 5d9e98bf 9292dc29 f8f41dbd 289a147c",
                "e9da3113 b5f0b8c0 0a60b1ce 1d7e819d 7a431d7c 90ea0e5f",
            ),
        ),
        "nistp384",
        "1.3.132.0.34",
    ),
    # Section 3.2.1.5
    "P-521": Curve(
        2**521 - 1,
        _hexadecimal(
            "051 953eb961 8e1c9a1f 929a21a0 b68540ee a2da725b 99b315f3 b8b48991 8ef109e1",
            "56193951 ec7e937b 1652c0bd 3bb1bf07 3573df88 3d2c34f1 ef451fd4 6b503f00",
        ),
        (
            _hexadecimal(
                "c6 858e06b7 0404e9cd 9e3ecb66 2395b442 9c648139 053fb521 f828af60 6b4d3dba",
                "a14b5e77 efe75928 fe1dc127 a2ffa8de 3348b3c1 856a429b f97e7e31 c2e5bd66",
            ),
            _hexadecimal(
                "118 39296a78 9a3bc004 5c8a5fb4 2c7d1bd9 98f54449 579b4468 17afbd17 273e662c",
                "97ee7299 5ef42640 c550b901 3fad0761 353c7086 a272c240 88be9476 9fd16650",
            ),
        ),
        "nistp521",
        "1.3.132.0.35",
    ),
}

# Base points of other curves with coordinates as long as those of P-256: SEC 2 section 2.4.1 (secp256k1) and
# RFC 5639 section 3.4 (brainpoolP256r1).
_OTHER_BASES = {
    "secp256k1": (
        0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
        0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
    ),
    "brainpoolP256r1": (
        0x8BD2AEB9CB7E57CB2C4B482FFC81B7AFB9DE27E1E3BD23C23A4453BD9ACE3262,
        0x547EF835C3DAC4FD97F8461A14611DC9C27745132DED8E545C1D54C72F046997,
    ),
}


@functools.cache
def bad_points(curve: Curve) -> tuple[tuple[str, int, int], ...]:
    """Return coordinates that are not a point of the curve, or spell a point in another way."""
    return tuple(_bad_points(curve))


def _bad_points(curve: Curve) -> Iterator[tuple[str, int, int]]:
    x, y = curve.base
    for bit in range(0, curve.p.bit_length() - 1, 16):
        yield f"the base point, bit {bit} of y flipped", x, y ^ 1 << bit
        yield f"the base point, bit {bit} of x flipped", x ^ 1 << bit, y
    yield "zero", 0, 0
    yield "(0, 1)", 0, 1
    yield "exchanged coordinates", y, x
    for title, (other_x, other_y) in _OTHER_BASES.items():
        yield f"the base point of {title}", other_x, other_y
    yield from _of_small_order(curve)
    # x that no point has: the points are on the twist.
    for x in curve.without_point[:16]:
        yield f"on the twist, x = {x}", x, number(curve.p.bit_length() - 1, f"twist {x}")
    yield from _of_p_or_more(curve)


def _of_small_order(curve: Curve) -> Iterator[tuple[str, int, int]]:
    """Yield points of order 2 and 3 on curves with another b, which the formulas of addition never use.

    An exchange with one reveals the other's key modulo its order (SP 800-56A appendix D, 5.6.2.3.3).
    """
    for x in range(2, 18):
        yield f"order 2 on another curve, x = {x}", x, 0
    for x in range(2, 34):
        # The third division polynomial, 3x⁴ + 6ax² + 12bx - a² with a = -3, is zero for this b.
        b = (9 - 3 * x**4 + 18 * x**2) * pow(12 * x, -1, curve.p) % curve.p
        y = curve.root(x**3 - 3 * x + b)
        if y is not None:
            yield f"order 3 on another curve, x = {x}", x, y


def _of_p_or_more(curve: Curve) -> Iterator[tuple[str, int, int]]:
    """Yield true points with p added to a coordinate, as far as there is room."""
    room = 1 << 8 * curve.length
    for x, y in curve.first_points[:20]:
        yield f"x = p + {x}", curve.p + x, y
        if curve.p + y < room:
            yield f"y of p more, x = {x}", x, curve.p + y


# ---------------------------------------------------------------- RSA (RFC 8017, FIPS 186-5)

_SMALL = [n for n in range(2, 752) if all(n % divisor for divisor in range(2, n))]
"""SP 800-56B section 6.4.2.2: a modulus has no factor below 752."""


@functools.cache
def _below_10000() -> int:
    return math.prod(
        n for n in range(2, 10_000) if all(n % divisor for divisor in range(2, math.isqrt(n) + 1))
    )


def without_small_factors(start: int) -> int:
    """Return the first number from `start` on that has no factor below 10,000."""
    return next(n for n in range(start | 1, start + 4000, 2) if math.gcd(n, _below_10000()) == 1)


@functools.cache
def good_modulus(bits: int) -> int:
    """Return a modulus about which nothing looks wrong."""
    return without_small_factors(number(bits, f"modulus of {bits}"))


_BadRsa: TypeAlias = "tuple[str, int, int, RecipientProblem]"


@functools.cache
def bad_rsa(largest: int) -> tuple[_BadRsa, ...]:
    """Return moduli and exponents; the longest permitted modulus has `largest` bits."""
    return (*_sizes(largest), *_bad_exponents(), *_divisible(), *_close(), *_roca())


def _sizes(largest: int) -> Iterator[_BadRsa]:
    # FIPS 186-5 section 5.1: at least 2048 bits. The shortest ones are of RFC 8017's examples and of history.
    for bits in (
        1,
        8,
        129,
        256,
        330,
        426,
        512,
        576,
        640,
        704,
        768,
        829,
        896,
        1024,
        1280,
        1536,
        1792,
        2040,
        2047,
    ):
        yield f"{bits} bits", number(max(bits, 2), f"short {bits}") | 1, 65537, _R.RSA_SIZE
    for bits in (largest + 1, largest + 8, largest + 1024, 10_000):
        yield f"{bits} bits", number(bits, f"long {bits}") | 1, 65537, _R.RSA_SIZE


@functools.cache
def _bad_exponents() -> tuple[_BadRsa, ...]:
    """Return exponents below 2^16 or even (FIPS 186-5 section 5.1), and some that few programs can read."""
    good = good_modulus(2048)
    short = (1, 2, 3, 4, 5, 7, 11, 13, 17, 35, 37, 41, 257, 32767, 65535, 65536, 65540)
    long = (2**31, *(2**bits + 1 for bits in (31, 32, 33, 63, 64, 65, 127, 255, 256, 257, 1024, 2040)))
    return tuple((f"exponent {e:x}", good, e, _R.RSA_EXPONENT) for e in (*short, *long))


@functools.cache
def _divisible() -> tuple[_BadRsa, ...]:
    return tuple((f"divisible by {title}", n, 65537, _R.RSA_MODULUS) for title, n in _with_small_factors())


def _with_small_factors() -> Iterator[tuple[str, int]]:
    for zeros in (1, 2, 3, 8, 16, 64, 1024):
        yield f"2^{zeros}", good_modulus(2049) << zeros
    for prime in (*_SMALL[1:], 7919, 9931, 9941, 9949, 9967, 9973):
        yield f"{prime}", good_modulus(2048) * prime


@functools.cache
def _close() -> tuple[_BadRsa, ...]:
    """Return products of two factors that Fermat's method finds at once (FIPS 186-5 A.1.3 step 5.4)."""
    rows = []
    for size in (1024, 1536, 2048):
        # Where the difference is zero, the modulus is a square.
        for bits in (None, *range(2, size // 2 + 4, 32)):
            smaller = without_small_factors(number(size, f"close {size} {bits}"))
            larger = smaller if bits is None else without_small_factors(smaller + (1 << bits))
            title = f"factors of {size} bits that differ by {larger - smaller:x}"
            rows.append((title, smaller * larger, 65537, _R.RSA_MODULUS))
    return tuple(rows)


@functools.cache
def _roca() -> tuple[_BadRsa, ...]:
    """Return products of factors k·M + (65537^a mod M), with M the product of the first 126 primes.

    CVE-2017-15361: M. Nemec and others, 'The Return of Coppersmith's Attack', section 2, for 2048 bits.
    """
    product = math.prod(_SMALL[:126])

    def factor(label: str) -> int:
        residue = pow(65537, number(64, label), product)
        start = number(1024, f"{label} again") // product
        candidates = (k * product + residue for k in range(start, start + 4000))
        return next(found for found in candidates if math.gcd(found, _below_10000()) == 1)

    return tuple(
        (f"ROCA {index}", factor(f"p {index}") * factor(f"q {index}"), 65537, _R.RSA_MODULUS)
        for index in range(16)
    )
