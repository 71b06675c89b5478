"""Parses the events that SCF sends.

https://cloud.tencent.com/document/product/583/96099 describes those of a Function URL. The fields of the
older API Gateway (583/31927) are accepted too.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from handler.errors import BodyTooLarge, MalformedRequest
from handler.http.messages import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

BODY_LIMIT = 64 * 1024
"""Bytes. Enough for 20 recipients of 3 KB each."""
INTERNAL = "INTERNAL"
"""Method of requests that did not arrive over HTTP. Their path is the type of the event, without a slash."""
TIMER = "Timer"
"""`Type` of the timer trigger's events (583/9708). They are not authenticated."""
DEFERRED = "Deferred"
"""`Type` of events that pass a job to a later invocation. They are authenticated by a code inside."""

_HEADERS_LIMIT = 100
_HEADER_LIMIT = 16 * 1024
_PATH_LIMIT = 2048

_METHOD = re.compile(r"[A-Z]{1,16}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110 section 5.6.2: token
_GUARDED = {
    "authorization",
    "content-type",
    "host",
    "idempotency-key",
    "origin",
    "timestamp",  # DingTalk's
    "sign",
}
_GUARDED_PREFIXES = ("access-control-", "sec-", "x-lark-", "x-scf-", "x-slack-", "x-tc-")
_NOT_IN_A_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")  # controls, lone surrogates


def parse_event(event: object) -> Request:
    """Return the request in `event`, which may hold anything.

    Raises MalformedRequest or BodyTooLarge.
    """
    internal = _internal_type(event)
    if internal is not None:
        return Request(INTERNAL, internal, {}, {}, b"", "")
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


def _internal_type(event: object) -> str | None:
    """Return the type of an event that did not come over HTTP; None if it did.

    SECURITY BOUNDARY: such an event cannot arrive over HTTP. SCF wraps every HTTP request, whatever its
    body, in an event that has `httpMethod`, `path` and `headers`.
    """
    if not isinstance(event, dict) or event.get("Type") not in (TIMER, DEFERRED):
        return None
    if {"httpMethod", "path", "headers", "body", "requestContext"} & event.keys():
        return None
    return str(event["Type"])


def _headers(headers: object) -> Mapping[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, dict) or len(headers) > _HEADERS_LIMIT:
        raise MalformedRequest("event-headers")
    found: dict[str, str] = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise MalformedRequest("header-name")
        lower = name.lower()
        if not isinstance(value, str):
            # Null, a number or a list, from a proxy or a test page of the console.
            if not _is_guarded(lower):
                continue
            raise MalformedRequest("header-value")
        if len(value) > _HEADER_LIMIT or _NOT_IN_A_HEADER.search(value):
            raise MalformedRequest("header-value")
        # Given two spellings of one name, a proxy and this function could each use a different value.
        if lower in found:
            raise MalformedRequest("header-twice")
        found[lower] = value
    return found


def _is_guarded(name: str) -> bool:
    """Tell whether a check depends on the header, or its absence would weaken one.

    SECURITY BOUNDARY: of these a malformed value is refused. A check that sees no header at all may be weaker
    than one that sees a bad value, for example of Origin.
    """
    return name in _GUARDED or name.startswith(_GUARDED_PREFIXES)


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
    # Base64 takes 4 characters for 3 bytes. Checked before decoding, to bound the work.
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
