"""The ownership tag: the idempotency record, the order and the holder that a key pair was made for.

SECURITY BOUNDARY: this tag decides which key pairs are deleted. It carries a code that only this function
can compute, which also covers the name and the expiry of the key pair. Without the code, anyone who may
set tags in the account could make the function delete any key pair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from handler.auth.master_secret import MasterSecrets, Purpose

_FORM = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{32})")
_CODE_DIGITS = 32


@dataclass(frozen=True)
class OwnershipTag:
    """The idempotency record, the digest of the order and the holder: 32 hexadecimal digits each."""

    record_id: str
    order: str
    holder: str

    def same_order(self, other: OwnershipTag) -> bool:
        """Tell whether both are for the same order of the same request, by any holder."""
        return (self.record_id, self.order) == (other.record_id, other.order)


@dataclass(frozen=True)
class TagSigner:
    """Writes ownership tags and verifies them."""

    master_secrets: MasterSecrets

    def write(self, tag: OwnershipTag, name: str, expires: str | None) -> str:
        """Return the value of the tag for the key pair `name` that expires at `expires`."""
        code = self.master_secrets.sign(Purpose.OWNERSHIP_TAG, _signed_text(tag, name, expires), _CODE_DIGITS)
        return f"{tag.record_id}.{tag.order}.{tag.holder}.{code}"

    def read(self, value: str, name: str, expires: str | None) -> OwnershipTag | None:
        """Return the tag in `value`; None if this function did not write it for this key pair."""
        matched = _FORM.fullmatch(value)
        if matched is None:
            return None
        record_id, order, holder, code = matched.groups()
        tag = OwnershipTag(record_id, order, holder)
        text = _signed_text(tag, name, expires)
        own = self.master_secrets.matches(Purpose.OWNERSHIP_TAG, text, code, _CODE_DIGITS)
        return tag if own else None


def _signed_text(tag: OwnershipTag, name: str, expires: str | None) -> str:
    return f"{tag.record_id}\n{tag.order}\n{tag.holder}\n{name}\n{expires or ''}"
