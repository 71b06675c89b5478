"""Everything that is computed from the master secret, by purpose.

SECURITY BOUNDARY: each purpose has its own prefix, so a value computed for one purpose proves nothing for
another. Key pairs, callers and links that exist depend on these bytes: never change a prefix.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING

from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HEX_DIGITS = 64


class Purpose(Enum):
    """What a value is computed for. The value of a member is its prefix."""

    TC3_SECRET = "tc3:"  # noqa: S105  # a prefix
    """The secret with which a caller signs requests of API v3."""
    V2_SECRET = "v2:"  # noqa: S105  # a prefix
    """The secret with which a caller signs requests of API v2: HmacSHA1 reveals nothing about the other."""
    OWNERSHIP = "own:\n"
    """The code of a key pair's ownership tags."""
    ORPHAN_NOTICE = "orphan:\n"
    """The code of the notice that the sweeper puts on an orphan before it removes it."""
    FORMER_OWNERSHIP_TAG = "mark:\n"
    """The code of the ownership tag that version 0.1 wrote."""
    JOB = "deferred:\n"
    PICKUP_LINK = "pickup:\n"
    STORE_RECORD = "record:\n"
    """The code of a record in the store."""


@dataclass(frozen=True)
class MasterSecrets:
    """The current master secret first, then the previous one while it is being rotated."""

    secrets: Sequence[bytes] = field(repr=False)

    def sign(self, purpose: Purpose, text: str, digits: int = _HEX_DIGITS) -> str:
        """Return a code for `text` under the current secret: the first `digits` hexadecimal digits."""
        return _digest(self.secrets[0], purpose, text).hex()[:digits]

    def matches(self, purpose: Purpose, text: str, code: str, digits: int = _HEX_DIGITS) -> bool:
        """Tell whether `sign` made `code` for `text`, under any of the secrets."""
        return is_one_of(code, (_digest(secret, purpose, text).hex()[:digits] for secret in self.secrets))

    def code(self, purpose: Purpose, text: str, alphabet: str, digits: int) -> str:
        """Return a code for `text` under the current secret, with `digits` characters of `alphabet`.

        The alphabet has 32 characters, so each digit carries five bits.
        """
        return _in_alphabet(_digest(self.secrets[0], purpose, text), alphabet, digits)

    def has_code(self, purpose: Purpose, text: str, alphabet: str, given: str) -> bool:
        """Tell whether `given` is what `code` makes for `text`, under any of the secrets."""
        digests = (_digest(secret, purpose, text) for secret in self.secrets)
        return is_one_of(given, (_in_alphabet(digest, alphabet, len(given)) for digest in digests))

    def caller_secrets(self, purpose: Purpose, caller_id: str, generation: int = 1) -> list[str]:
        """Return a caller's secret under each master secret, the current one first.

        The first generation has no number, and a caller id contains no colon.
        """
        return self.derive(purpose, caller_id if generation == 1 else f"{caller_id}:{generation}")

    def derive(self, purpose: Purpose, text: str) -> list[str]:
        """Return a secret for `text` under each master secret, the current one first.

        Each is 43 characters of unpadded base64url.
        """
        digests = [_digest(secret, purpose, text) for secret in self.secrets]
        return [base64.urlsafe_b64encode(digest).rstrip(b"=").decode() for digest in digests]


def is_one_of(given: str, own: Iterable[str]) -> bool:
    """Tell whether `given` is among the texts that this function made."""
    encoded, found = _encode(given), False
    for text in own:
        # No early exit: the time taken must not reveal which one it is.
        found |= hmac.compare_digest(encoded, text.encode())
    return found


def _in_alphabet(digest: bytes, alphabet: str, digits: int) -> str:
    number = int.from_bytes(digest, "big")
    return "".join(alphabet[number >> (5 * position) & 31] for position in range(digits))


def _digest(secret: bytes, purpose: Purpose, text: str) -> bytes:
    return hmac.digest(secret, _encode(purpose.value + text), hashlib.sha256)


def _encode(text: str) -> bytes:
    # Text from JSON may contain lone surrogates, which have no UTF-8.
    return text.encode("utf-8", "surrogatepass")
