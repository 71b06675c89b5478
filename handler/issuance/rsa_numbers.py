"""The numbers of an RSA private key: read from PKCS #1, and written as SSH writes them.

Without `cryptography`, which would take a sixth of a cold start (docs/performance.md).
"""

from __future__ import annotations

from typing import NamedTuple

_SEQUENCE, _INTEGER = b"\x30", b"\x02"


class RsaNumbers(NamedTuple):
    """The numbers of RFC 8017 appendix A.1.2, in their order there."""

    n: int
    e: int
    d: int
    p: int
    q: int
    dp: int
    dq: int
    qi: int

    def __repr__(self) -> str:
        # SECURITY BOUNDARY: that of a NamedTuple would show the private key wherever it is printed.
        return "RsaNumbers(**********)"

    @classmethod
    def read(cls, der: bytes) -> RsaNumbers:
        """Return the numbers in an RSAPrivateKey, in DER. Raises ValueError for any other bytes."""
        content, following = _element(der, _SEQUENCE)
        version, content = _element(content, _INTEGER)
        if following or version != b"\x00":  # two primes, and nothing after the key
            raise ValueError
        found = []
        while content:
            octets, content = _element(content, _INTEGER)
            number = int.from_bytes(octets, "big")
            # X.690 section 8.3: the shortest form, in which a first bit of 1 would mean a negative number.
            if number == 0 or len(octets) != number.bit_length() // 8 + 1:
                raise ValueError
            found.append(number)
        if len(found) != len(cls._fields):
            raise ValueError
        return cls(*found)

    @property
    def belong_together(self) -> bool:
        """Whether every number is the one that the primes require, and the primes are prime.

        RFC 8017 section 3.2. Some programs use all of them, so one that is damaged locks its owner out.
        """
        p, q = self.p, self.q
        if min(p, q) <= 2:  # noqa: PLR2004  # nothing below is defined for 1, and 2 is never a factor
            return False
        return (
            p * q == self.n
            and self.e * self.d % (p - 1) == self.e * self.d % (q - 1) == 1
            and (self.dp, self.dq) == (self.d % (p - 1), self.d % (q - 1))
            and self.qi * q % p == 1
            # Fermat's little theorem. Of composite numbers only pseudoprimes pass, too rare to come up by
            # chance. A cloud that makes one on purpose gains nothing: it knows the private key anyway.
            and pow(2, p - 1, p) == pow(2, q - 1, q) == 1
        )

    @property
    def public_blob(self) -> bytes:
        """The public half as SSH encodes it, RFC 4253 section 6.6."""
        return ssh_string(b"ssh-rsa") + ssh_mpint(self.e) + ssh_mpint(self.n)


def ssh_string(content: bytes) -> bytes:
    """Return a string of RFC 4251 section 5."""
    return len(content).to_bytes(4, "big") + content


def ssh_mpint(number: int) -> bytes:
    """Return a positive number as an mpint of RFC 4251 section 5."""
    return ssh_string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _element(der: bytes, tag: bytes) -> tuple[bytes, bytes]:
    """Return the content of the element that `der` begins with, and what follows it. Raises ValueError."""
    if der[:1] != tag or len(der) < 2:  # noqa: PLR2004  # tag and length
        raise ValueError
    start, length = 2, der[1]
    if length >= 0x80:  # noqa: PLR2004  # X.690 section 8.1.3.5: the length of the length
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
        # X.690 section 10.1: the shortest form.
        if length < 0x80 or der[2] == 0:  # noqa: PLR2004
            raise ValueError
    if len(der) < start + length:
        raise ValueError
    return der[start : start + length], der[start + length :]
