"""Searching for a private key in whatever form it might have been written down."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SLICE = 16
"""Characters or bytes of what is searched for: any leaked run of twice that holds one of these whole."""


def leaks(private_pem: str, traces: Mapping[str, bytes]) -> list[str]:
    """Return what of the key was found where; empty if nothing was."""
    needles = list(_needles(private_pem))
    found = set()
    for where, trace in traces.items():
        # The key's hexadecimal digits may be written in capitals; everything else keeps its case.
        lower = trace.lower()
        for form, needle in needles:
            if needle in (lower if form.startswith("hexadecimal") else trace):
                found.add(f"{form} in {where}")
    return sorted(found)


def _needles(private_pem: str) -> Iterator[tuple[str, bytes]]:
    key = load_pem_private_key(private_pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    numbers = key.private_numbers()  # type: ignore[union-attr]  # CVM's keys are RSA
    for line in private_pem.splitlines():
        if len(line) >= _SLICE:
            yield "PEM line", line.encode()
    der = base64.b64decode("".join(private_pem.splitlines()[1:-1]))
    # What comes before the private exponent is the modulus, which is public.
    secret = der[der.index(_bytes(numbers.d)) :]
    yield from _written("key", secret)
    for name, number in (("p", numbers.p), ("q", numbers.q), ("d", numbers.d)):
        yield from _written(name, _bytes(number))
        for part in _parts(str(number).encode()):
            yield f"decimal {name}", part


def _written(name: str, secret: bytes) -> Iterator[tuple[str, bytes]]:
    for part in _parts(secret):
        yield f"raw {name}", part
    for part in _parts(secret.hex().encode()):
        yield f"hexadecimal {name}", part
    # A byte's neighbours decide how base64 writes it: there are three ways, the ends left out.
    for skipped in range(3):
        whole = secret[skipped : len(secret) - (len(secret) - skipped) % 3]
        for encode in base64.b64encode, base64.urlsafe_b64encode:
            for part in _parts(encode(whole)):
                yield f"base64 {name}", part


def _parts(text: bytes) -> Iterator[bytes]:
    for start in range(0, len(text) - _SLICE + 1, _SLICE):
        yield text[start : start + _SLICE]


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
