"""Which pages may call: this function's own, and those of the origins that the policy lists.

Nobody is let in by this. It keeps pages of others from making a reader's browser ask for something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handler.http.messages import Response

if TYPE_CHECKING:
    from collections.abc import Collection

    from handler.http.messages import Request

_ALLOWED = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, x-tc-timestamp",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = "Idempotency-Key-TTL, RateLimit, RateLimit-Policy, Retry-After"


@dataclass(frozen=True)
class CrossOriginRules:
    """CORS (Fetch Standard) for some paths: which pages of other origins may read answers."""

    origins: Collection[str]
    paths: Collection[str]

    def preflight(self, request: Request) -> Response | None:
        """Return the answer to a preflight request; None if it is none.

        It comes before authentication, as browsers send no credentials with it. Origins that are not
        listed learn nothing.
        """
        if request.method != "OPTIONS" or "access-control-request-method" not in request.headers:
            return None
        if not self.origins or request.path not in self.paths:
            return None
        allowed = _ALLOWED if request.headers.get("origin") in self.origins else {}
        return Response(204, "", "text/plain", {**self.headers(request), **allowed})

    def headers(self, request: Request) -> dict[str, str]:
        """Return the headers that let a page of a listed origin read the answer.

        They name the exact origin and allow no credentials: there are no cookies, and the page itself
        sends what proves a caller.
        """
        if not self.origins or request.path not in self.paths:
            return {}
        origin = request.headers.get("origin")
        vary = {"Vary": "Origin"}
        if origin is None or origin not in self.origins:
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
