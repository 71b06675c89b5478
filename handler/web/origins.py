"""Cross-origin rules: requests from this function's own pages and from the origins that the policy lists.

They authenticate nobody. They stop pages of other sites from making a visitor's browser send requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.http.messages import Response
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection

    from handler.http.messages import Request

_ALLOWED = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, x-tc-timestamp",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = "Idempotency-Key-TTL, RateLimit, RateLimit-Policy, Retry-After"


@dataclass(frozen=True)
class CrossOriginRules:
    """CORS (Fetch Standard) for some paths: pages of which other origins may read the responses."""

    origins: Collection[str]
    paths: Collection[str]
    """What is below one of these belongs to it."""

    def preflight(self, request: Request) -> Response | None:
        """Return the response to a preflight request; None for any other request.

        Browsers send no credentials with a preflight request, so it is answered before authentication.
        Origins that are not listed learn nothing.
        """
        if request.method != "OPTIONS" or "access-control-request-method" not in request.headers:
            return None
        if not self._applies(request):
            return None
        allowed = _ALLOWED if request.headers.get("origin") in self.origins else {}
        return Response(204, "", "text/plain", {**self.headers(request), **allowed})

    def headers(self, request: Request) -> dict[str, str]:
        """Return the headers that let a page of a listed origin read the response.

        They name the exact origin and do not allow credentials: the function uses no cookies, and the page
        sends its token or signature itself.
        """
        if not self._applies(request):
            return {}
        origin = request.headers.get("origin")
        vary = {"Vary": "Origin"}
        if origin is None or origin not in self.origins:
            return vary
        return {**vary, "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED}

    def _applies(self, request: Request) -> bool:
        return bool(self.origins) and any(f"{request.path}/".startswith(f"{path}/") for path in self.paths)


def crosses_origins(request: Request, hosts: Collection[str], trusted: Collection[str]) -> bool:
    """Return whether a browser sent `request` from a page of an origin outside `hosts` and `trusted`.

    The rule of Go's http.CrossOriginProtection. Clients other than browsers send neither header and pass.
    """
    origin = request.headers.get("origin")
    if origin in trusted:
        return False
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    if origin is None:
        return False
    # SECURITY BOUNDARY: compared with the configured names, not with the Host header, which a client chooses.
    return origin.partition("://")[2] not in hosts
