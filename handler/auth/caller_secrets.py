"""The secrets that callers sign with."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Literal, TypeAlias

Scheme: TypeAlias = Literal["tc3", "v2"]


def derive_secret(master_secret: bytes, scheme: Scheme, caller_id: str) -> str:
    """Return the secret with which a caller signs by `scheme`, 43 characters of base64url.

    Derived, so that the function holds one secret however many callers there are. The scheme keeps each use
    of the master secret apart from any other: what HmacSHA1 may give away of one is nothing of the other.
    """
    digest = hmac.new(master_secret, f"{scheme}:{caller_id}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
