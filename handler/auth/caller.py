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
    signs_each_request: bool = True
    """Whether `request_key` names one signed message, which nobody but the caller can make again."""

    @property
    def message(self) -> str | None:
        """The name of this one message; None if somebody may send an equal one later."""
        return self.request_key if self.signs_each_request else None
