"""HTTP requests and responses, as the rest of the function sees them."""

from __future__ import annotations

import json
import re
from dataclasses import field
from typing import TYPE_CHECKING

from handler.errors import UnsupportedMediaType
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.http.strict_json import Json

_COMPACT = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
# ASCII: otherwise U+017F is an 's' to IGNORECASE.
_JSON_MEDIA_TYPE = re.compile(r'application/json(?:\s*;\s*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """One HTTP request, before authentication.

    `headers` has lower-case names. `remote_address` is for logs: clients can forge it.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    unverified_body: bytes
    remote_address: str


@dataclass(frozen=True)
class Response:
    """One HTTP response. It is sent with `Cache-Control: no-store` (ASVS 14.3.2) unless it says otherwise."""

    status: int
    body: str
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_event(self) -> dict[str, Json]:
        """Return the dict that SCF turns into an HTTP response (583/96099)."""
        headers: dict[str, Json] = {
            "Content-Type": self.content_type,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **self.headers,
        }
        return {
            "isBase64Encoded": False,
            "statusCode": self.status,
            "headers": headers,
            "body": self.body,
        }


def json_response(
    status: int,
    payload: Mapping[str, object],
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return `payload` as ASCII JSON; the same payload gives the same bytes."""
    return Response(status, _COMPACT.encode(payload), content_type, headers or {})


def require_json(request: Request) -> None:
    """Raise UnsupportedMediaType unless the Content-Type is JSON (in UTF-8)."""
    if not _JSON_MEDIA_TYPE.fullmatch(request.headers.get("content-type", "").strip()):
        raise UnsupportedMediaType
