"""HTML responses, with the headers that protect a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.http.messages import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

_NONE = "'none'"

SECURITY_HEADERS: Mapping[str, str] = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",  # RFC 6797 section 8.1: ignored over plain HTTP
}


def content_security_policy(*, connect: str = _NONE, script: str = _NONE, style: str = "'self'") -> str:
    """Return a Content-Security-Policy that allows scripts from `script` and requests to `connect`."""
    directives = [
        "default-src 'none'",
        f"script-src {script}",
        f"connect-src {connect}",
        f"style-src {style}",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        # Scripts cannot turn text into markup or code, not even by mistake.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return "; ".join(directives)


def html_response(
    status: int, html: str, *, security: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a page; `security` is its Content-Security-Policy."""
    own = {"Content-Security-Policy": security, **SECURITY_HEADERS, **(headers or {})}
    return Response(status, html, "text/html; charset=utf-8", own)
