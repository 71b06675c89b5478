"""Searching for a private key: in whatever form it might have been written down, and in what errors carry."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

_SLICE = 16
"""Characters or bytes of what is searched for: any leaked run of twice that holds one of these whole."""


def leaks(private_pem: str, traces: Mapping[str, bytes]) -> list[str]:
    """Return what of the key was found where; empty if nothing was."""
    needles = set(_needles(private_pem))
    found = set()
    for where, trace in traces.items():
        # Hexadecimal digits may be written in capitals; everything else keeps its case.
        lower = trace.lower()
        found |= {
            f"{form} in {where}"
            for form, needle in needles
            if needle in (lower if form == "hexadecimal" else trace)
        }
    return sorted(found)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and whatever led to it."""
    while error is not None:
        yield error
        if error.__cause__ is not None:
            yield from chain(error.__cause__)
        error = error.__context__


def values_in_frames(caught: pytest.ExceptionInfo[BaseException]) -> list[object]:
    """Return what the frames hold that an error came through; the first is the test's own."""
    return [value for entry in caught.traceback[1:] for value in entry.frame.f_locals.values()]


def _needles(private_pem: str) -> Iterator[tuple[str, bytes]]:
    key = load_pem_private_key(private_pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    for line in private_pem.splitlines():
        if len(line) >= _SLICE:
            yield "PEM line", line.encode()
    der = base64.b64decode("".join(private_pem.splitlines()[1:-1]))
    # The exponent d, the primes p and q, and what follows from them (RFC 8017, A.1.2). What comes before is
    # the modulus, which is public.
    secret = der[der.index(_bytes(numbers.d)) :]
    for part in _parts(secret):
        yield "bytes", part
    yield from _rewritten(secret)
    # The PEM text too may have been taken for bytes.
    yield from _rewritten(private_pem.encode())
    for number in numbers.p, numbers.q, numbers.d:
        for part in _parts(str(number).encode()):
            yield "decimal", part


def _rewritten(text: bytes) -> Iterator[tuple[str, bytes]]:
    for part in _parts(text.hex().encode()):
        yield "hexadecimal", part
    # How base64 writes a byte depends on its place among three, in whatever it stands.
    for skipped in range(3):
        whole = text[skipped : len(text) - (len(text) - skipped) % 3]
        for encode in base64.b64encode, base64.urlsafe_b64encode:
            for part in _parts(encode(whole)):
                yield "base64", part


def _parts(text: bytes) -> Iterator[bytes]:
    for start in range(0, len(text) - _SLICE + 1, _SLICE):
        yield text[start : start + _SLICE]


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
