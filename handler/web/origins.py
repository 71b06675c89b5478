"""Which pages may call: this function's own, and those of the origins that the policy lists.

Nobody is let in by this. It keeps pages of others from making a reader's browser ask for something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.http import Response

if TYPE_CHECKING:
    from collections.abc import Collection

    from handler.http import Request

_ALLOWED = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, x-tc-timestamp",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = "Idempotency-Key-TTL, RateLimit, RateLimit-Policy, Retry-After"


def preflight(request: Request, origins: Collection[str]) -> Response | None:
    """Return the answer to a preflight request (Fetch Standard, CORS protocol); None where it is none.

    It comes before any proof: browsers send none with it. It says nothing to origins that are not listed.
    """
    headers = request.headers
    if request.method != "OPTIONS" or not origins or "access-control-request-method" not in headers:
        return None
    allowed = _ALLOWED if headers.get("origin") in origins else {}
    return Response(204, "", "text/plain", {**cors_headers(request, origins), **allowed})


def cors_headers(request: Request, origins: Collection[str]) -> dict[str, str]:
    """Return what lets a page of a listed origin read an answer; nothing where no origin is listed.

    The exact origin, and no credentials: there are no cookies, and what proves a caller is sent by the page.
    """
    if not origins:
        return {}
    origin = request.headers.get("origin")
    vary = {"Vary": "Origin"}
    if origin is None or origin not in origins:
        return vary
    return {**vary, "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED}


def crosses_origins(request: Request, hosts: Collection[str], trusted: Collection[str]) -> bool:
    """Tell whether a browser sent this from a page of another origin than `hosts` and `trusted`.

    The rule of Go's http.CrossOriginProtection. What no browser sent has neither header, and passes.
    """
    origin = request.headers.get("origin")
    if origin in trusted:
        return False
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    if origin is None:
        return False
    # SECURITY BOUNDARY: our own names as configured, not the Host header, which comes with the request.
    return origin.partition("://")[2] not in hosts
