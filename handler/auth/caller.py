"""Who calls, once it is proven."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AuthenticatedCaller:
    """A caller of the policy who has proven to have sent this request.

    `request_key` is a text that no other request of this caller has. `signed_headers` names the headers
    (lower case) that the proof covers besides path and body.
    """

    caller_id: str
    request_key: str
    signed_headers: frozenset[str]

    def idempotency_key(self, stated: str | None = None) -> str:
        """Return the caller's `stated` idempotency key, in lower case, or else one for this request alone."""
        # TC3 signs header values in lower case. So 'a' and 'A' must be one key.
        return f"request:{self.request_key}" if stated is None else f"key:{stated.lower()}"
