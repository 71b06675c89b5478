"""Ownership tags as version 0.1 wrote them, in one value. The function still reads them."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class FormerTag:
    """32 hexadecimal digits each: digests of the record and of the order, and the holder."""

    claim: str
    order: str
    holder: str


@dataclass(frozen=True)
class FormerSigner:
    """Writes them, apart from the code under test."""

    master_secrets: Sequence[bytes]

    def write(self, tag: FormerTag, name: str, expires: str | None) -> str:
        text = f"mark:\n{tag.claim}\n{tag.order}\n{tag.holder}\n{name}\n{expires or ''}"
        code = hmac.new(self.master_secrets[0], text.encode(), hashlib.sha256).hexdigest()[:32]
        return f"{tag.claim}.{tag.order}.{tag.holder}.{code}"


def former_tags(order: str, expires: str | None = None) -> dict[str, str]:
    """Return all tags that version 0.1 set."""
    tags = {"keypair-function:order": order, "keypair-function:caller": "demo"}
    return tags if expires is None else {**tags, "keypair-function:expires": expires}
