"""HTTP as SCF shows it: an event in, a response out.

Event: https://cloud.tencent.com/document/product/583/96099 (Function URL), with the older API Gateway
fields tolerated (583/31927). A value that the platform returns without `statusCode` becomes HTTP 200, so
every answer is a `Response` and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from handler.errors import BodyTooLarge, MalformedRequest, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

BODY_LIMIT = 64 * 1024
"""Bytes; a request with 20 recipients of 3 KB each fits."""
DEFERRED = "Deferred"
"""`Type` of an event in which this function hands work to a later invocation of itself."""

_HEADERS_LIMIT = 100
_HEADER_LIMIT = 16 * 1024
_PATH_LIMIT = 2048

_METHOD = re.compile(r"[A-Z]{1,16}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110 section 5.6.2: token
_NOT_IN_A_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # controls, lone surrogates
# ASCII: otherwise U+017F is an 's' to IGNORECASE.
_JSON_MEDIA_TYPE = re.compile(r'application/json(?:\s*;\s*charset="?utf-8"?)?', re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """One HTTP request, before anybody has proved anything.

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
    """What goes out. No `Response` is built without `Cache-Control: no-store` (ASVS 14.3.2)."""

    status: int
    body: str
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_event(self) -> dict[str, Json]:
        """Return the dict that SCF takes for an HTTP response (583/96099)."""
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
    body = json.dumps(payload, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Response(status, body, content_type, headers or {})


def parse_event(event: object) -> Request:
    """Return the request in `event`, which may hold anything.

    Raises MalformedRequest or BodyTooLarge.
    """
    if not isinstance(event, dict):
        raise MalformedRequest("event-shape")
    method = event.get("httpMethod")
    path = event.get("path")
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise MalformedRequest("event-method")
    if not isinstance(path, str) or not path.startswith("/") or len(path) > _PATH_LIMIT:
        raise MalformedRequest("event-path")
    headers = _headers(event.get("headers"))
    return Request(
        method=method,
        path=path,
        query=_query(event),
        headers=headers,
        unverified_body=_body(event),
        remote_address=headers.get("x-scf-remote-addr", "")[:64],
    )


def is_timer(event: object) -> bool:
    """Tell whether `event` is that of SCF's timer trigger (583/9708). It asks for no proof."""
    return _is_of(event, "Timer")


def is_deferred(event: object) -> bool:
    """Tell whether `event` is one that this function sent to itself. Who sent it is still to be proved."""
    return _is_of(event, DEFERRED)


def _is_of(event: object, kind: str) -> bool:
    """Tell whether `event` is of this kind and came by the platform's own ways.

    SECURITY BOUNDARY: over HTTP such an event cannot arrive. The platform wraps every HTTP request, whatever
    its body, in an event that has `httpMethod`, `path` and `headers`.
    """
    if not isinstance(event, dict) or event.get("Type") != kind:
        return False
    return not {"httpMethod", "path", "headers", "body", "requestContext"} & event.keys()


def _headers(headers: object) -> Mapping[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, dict) or len(headers) > _HEADERS_LIMIT:
        raise MalformedRequest("event-headers")
    found: dict[str, str] = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise MalformedRequest("header-name")
        if not isinstance(value, str) or len(value) > _HEADER_LIMIT or _NOT_IN_A_HEADER.search(value):
            raise MalformedRequest("header-value")
        # Two spellings of one name: a proxy and this function could each believe another one.
        if name.lower() in found:
            raise MalformedRequest("header-twice")
        found[name.lower()] = value
    return found


def _query(event: Mapping[str, object]) -> Mapping[str, str]:
    query = event.get("queryString") or event.get("queryStringParameters") or {}
    if not isinstance(query, dict):
        raise MalformedRequest("event-query")
    for name, value in query.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise MalformedRequest("event-query")
    return query


def _body(event: Mapping[str, object]) -> bytes:
    body = event.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedRequest("event-body")
    # Base64 takes 4 characters for 3 bytes; the check before decoding keeps the work small.
    if len(body) > BODY_LIMIT * 4 // 3 + 4:
        raise BodyTooLarge
    encoded = event.get("isBase64Encoded", False)
    # The CLB trigger sends the text "false" (583/52635).
    if encoded not in (True, False, None, "true", "false"):
        raise MalformedRequest("event-encoding")
    try:
        raw = base64.b64decode(body, validate=True) if encoded in (True, "true") else body.encode("utf-8")
    except (binascii.Error, ValueError):  # ValueError: not ASCII, or a lone surrogate
        raise MalformedRequest("event-encoding") from None
    if len(raw) > BODY_LIMIT:
        raise BodyTooLarge
    return raw


def require_json(request: Request) -> None:
    """Raise UnsupportedMediaType unless the body is declared as JSON (in UTF-8)."""
    if not _JSON_MEDIA_TYPE.fullmatch(request.headers.get("content-type", "").strip()):
        raise UnsupportedMediaType


def parse_json_object(body: bytes) -> dict[str, Json]:
    """Return the JSON object in `body`, read strictly.

    A member that stands twice, NaN and Infinity are refused: two readers of one signed text must not see
    two requests. Raises MalformedRequest.
    """
    try:
        parsed = json.loads(body.decode("utf-8"), object_pairs_hook=_once_each, parse_constant=_refuse)
    except (ValueError, RecursionError):  # RecursionError: nested deeper than the interpreter reads
        raise MalformedRequest("json") from None
    if not isinstance(parsed, dict):
        raise MalformedRequest("json-object")
    return parsed


def _once_each(pairs: Iterable[tuple[str, Json]]) -> dict[str, Json]:
    members: dict[str, Json] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError
        members[name] = value
    return members


def _refuse(_constant: str) -> NoReturn:
    raise ValueError
