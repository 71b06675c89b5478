"""The caller of an authenticated request."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.http.messages import Request


def meaning_of(request: Request) -> str:
    """Return a digest of everything that a request without a signature means.

    A token authenticates the sender and not the request, so two requests are the same only if all of this is.
    A signature covers the request, so a signed request is identified by its signature.
    """
    body = hashlib.sha256(request.unverified_body).hexdigest()
    key = request.headers.get("idempotency-key")
    parts = [request.method, request.path, sorted(request.query.items()), key, body]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


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
