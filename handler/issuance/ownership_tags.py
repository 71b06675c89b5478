"""The order tag: which claim, which order and which holder a key pair was made for.

SECURITY BOUNDARY: key pairs are removed by what this tag says. It carries a code that only this function
can make, over the key pair's name and expiry as well; without it, whoever may set tags in the account
could have any key pair removed by the function's own rights.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORM = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{32})")


@dataclass(frozen=True)
class OwnershipTag:
    """32 hexadecimal digits each: digests of the claim and of the order, and the holder."""

    claim: str
    order: str
    holder: str

    def same_order(self, other: OwnershipTag) -> bool:
        """Tell whether both stand for the same order of the same request, whoever worked on it."""
        return (self.claim, self.order) == (other.claim, other.order)


@dataclass(frozen=True)
class TagSigner:
    """Writes order tags and reads its own; `master_secrets` as in `handler.settings`."""

    master_secrets: Sequence[bytes] = field(repr=False)

    def write(self, mark: OwnershipTag, name: str, expires: str | None) -> str:
        """Return the tag's value for the key pair `name` that expires at `expires`."""
        return f"{mark.claim}.{mark.order}.{mark.holder}.{_code(self.master_secrets[0], mark, name, expires)}"

    def read(self, text: str, name: str, expires: str | None) -> OwnershipTag | None:
        """Return the mark in a tag's value; None if this function did not write it for this key pair."""
        matched = _FORM.fullmatch(text)
        if matched is None:
            return None
        claim, order, holder, code = matched.groups()
        mark = OwnershipTag(claim, order, holder)
        codes = [_code(master, mark, name, expires) for master in self.master_secrets]
        return mark if any([hmac.compare_digest(code, own) for own in codes]) else None  # noqa: C419  # all compared


def _code(master_secret: bytes, mark: OwnershipTag, name: str, expires: str | None) -> str:
    # The first line keeps this use of the master secret apart from callers' secrets (`tc3:`).
    text = f"mark:\n{mark.claim}\n{mark.order}\n{mark.holder}\n{name}\n{expires or ''}"
    return hmac.new(master_secret, text.encode(), hashlib.sha256).hexdigest()[:32]
