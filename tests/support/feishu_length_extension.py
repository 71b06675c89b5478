"""SHA-256 from its state on (FIPS 180-4), as somebody needs it who has a digest and not the secret in it."""

from __future__ import annotations

import math
import struct

_WORD = 0xFFFFFFFF


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root(number: int) -> int:
    """Return the integer part."""
    root = round(math.exp(math.log(number) / 3))
    while root**3 > number:
        root -= 1
    while (root + 1) ** 3 <= number:
        root += 1
    return root


# Section 4.2.2: the first 32 bits of the fractions of the cube roots of the first 64 primes.
_CONSTANTS = [_cube_root(prime << 96) & _WORD for prime in _primes(64)]
# Section 5.3.3: the same of the square roots of the first eight.
INITIAL = tuple(math.isqrt(prime << 64) & _WORD for prime in _primes(8))


def _rotated(word: int, by: int) -> int:
    return (word >> by | word << (32 - by)) & _WORD


def _compressed(state: tuple[int, ...], block: bytes) -> tuple[int, ...]:
    words = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        s0 = _rotated(words[i - 15], 7) ^ _rotated(words[i - 15], 18) ^ words[i - 15] >> 3
        s1 = _rotated(words[i - 2], 17) ^ _rotated(words[i - 2], 19) ^ words[i - 2] >> 10
        words.append((words[i - 16] + s0 + words[i - 7] + s1) & _WORD)
    a, b, c, d, e, f, g, h = state
    for constant, word in zip(_CONSTANTS, words, strict=True):
        s1 = _rotated(e, 6) ^ _rotated(e, 11) ^ _rotated(e, 25)
        first = h + s1 + (e & f ^ ~e & g) + constant + word
        s0 = _rotated(a, 2) ^ _rotated(a, 13) ^ _rotated(a, 22)
        second = s0 + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (first + second) & _WORD, a, b, c, (d + first) & _WORD, e, f, g
    return tuple((old + new) & _WORD for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True))


def padding(length: int) -> bytes:
    """Return what SHA-256 puts after `length` bytes."""
    return b"\x80" + bytes((55 - length) % 64) + struct.pack(">Q", length * 8)


def extended(digest: str, length: int, suffix: bytes) -> tuple[bytes, str]:
    """Return what to append to `length` unknown bytes of this digest, and the digest of it all."""
    state = struct.unpack(">8I", bytes.fromhex(digest))
    glue = padding(length)
    rest = suffix + padding(length + len(glue) + len(suffix))
    for i in range(0, len(rest), 64):
        state = _compressed(state, rest[i : i + 64])
    return glue + suffix, struct.pack(">8I", *state).hex()
