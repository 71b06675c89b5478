"""The caller of an authenticated request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AuthenticatedCaller:
    """A caller of the policy who has proved to be the sender of this request.

    `request_key` is unique among the requests of this caller. `signed_headers` names the headers (in lower
    case) that the signature covers in addition to path and body.
    """

    caller_id: str
    request_key: str
    signed_headers: frozenset[str]

    def idempotency_key(self, stated: str | None = None) -> str:
        """Return the `stated` idempotency key in lower case; without one, a key for this request alone."""
        # TC3 signs header values in lower case, so 'a' and 'A' must be the same key.
        return f"request:{self.request_key}" if stated is None else f"key:{stated.lower()}"
