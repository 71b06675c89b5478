"""The order tag: which claim, which order and which holder a key pair was made for.

SECURITY BOUNDARY: key pairs are removed by what this tag says. It carries a code that only this function
can make, over the key pair's name and expiry as well; without it, whoever may set tags in the account
could have any key pair removed by the function's own rights.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from handler.auth.master_secret import MasterSecrets, Purpose

_FORM = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{32})")
_CODE_DIGITS = 32


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
    """Writes order tags and reads its own."""

    master_secrets: MasterSecrets

    def write(self, mark: OwnershipTag, name: str, expires: str | None) -> str:
        """Return the tag's value for the key pair `name` that expires at `expires`."""
        code = self.master_secrets.sign(
            Purpose.OWNERSHIP_TAG, _signed_text(mark, name, expires), _CODE_DIGITS
        )
        return f"{mark.claim}.{mark.order}.{mark.holder}.{code}"

    def read(self, value: str, name: str, expires: str | None) -> OwnershipTag | None:
        """Return the mark in a tag's value; None if this function did not write it for this key pair."""
        matched = _FORM.fullmatch(value)
        if matched is None:
            return None
        claim, order, holder, code = matched.groups()
        mark = OwnershipTag(claim, order, holder)
        text = _signed_text(mark, name, expires)
        own = self.master_secrets.matches(Purpose.OWNERSHIP_TAG, text, code, _CODE_DIGITS)
        return mark if own else None


def _signed_text(mark: OwnershipTag, name: str, expires: str | None) -> str:
    return f"{mark.claim}\n{mark.order}\n{mark.holder}\n{name}\n{expires or ''}"
