"""The page for browsers: its files as `scripts/web` built them, and what it has to know.

It is there only if the policy has a table [web].
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from handler.errors import PolicyInvalid
from handler.http.html import SECURITY_HEADERS, content_security_policy, html_response
from handler.http.messages import Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.policy.model import Policy, Web

STATIC = Path(__file__).parent / "static"

_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# The names of these files change with what is in them, so a copy is never out of date.
_CACHED = {"Cache-Control": "public, max-age=31536000, immutable"}

# A header's value ends at none of these characters, and a directive of the policy neither.
_ORIGIN = re.compile(r"(https://[a-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]{1,5})?(?=/|$)")


def pages(policy: Policy, default_region: str) -> dict[str, Callable[[], Response]]:
    """Return what anybody may GET for the page, path -> answer; nothing where the policy has no [web].

    Raises PolicyInvalid where people cannot sign in at the issuer that it names.
    """
    if policy.web is None:
        return {}
    origin = _origin_of_issuer(policy, policy.web)
    files = [path for path in STATIC.iterdir() if path.suffix in _CONTENT_TYPES]
    return {
        "/": lambda: _page(origin),
        "/web.json": lambda: _configuration(policy, default_region),
        **{f"/static/{path.name}": _file(path) for path in files},
    }


def stylesheet() -> str:
    """Return the path of the page's style."""
    return f"/static/{next(STATIC.glob('*.css')).name}"


def _origin_of_issuer(policy: Policy, web: Web) -> str | None:
    if web.issuer is None:
        return None
    issuer = policy.issuers[web.issuer]
    origin = _ORIGIN.match(issuer.issuer)
    if origin is None:
        raise PolicyInvalid(f"web.issuer: issuers.{web.issuer}.issuer is no https:// address to sign in at")
    if issuer.once:
        # The page asks what its reader may have before it asks for a key pair.
        raise PolicyInvalid(f"web.issuer: issuers.{web.issuer}.once is true; the page needs two requests")
    return origin[0]


def _page(issuer: str | None) -> Response:
    connect = "'self'" if issuer is None else f"'self' {issuer}"
    security = content_security_policy(connect=connect, script="'self'")
    return html_response(200, (STATIC / "index.html").read_text(encoding="utf-8"), security=security)


def _configuration(policy: Policy, default_region: str) -> Response:
    """Say how to sign in and where; `web/src/config.ts` reads it."""
    web = policy.web
    sign_in = None
    if web is not None and web.issuer is not None:
        issuer = policy.issuers[web.issuer]
        sign_in = {"issuer": issuer.issuer, "clientId": web.client_id, "audience": issuer.audience}
    return json_response(
        200, {"api": "", "region": default_region, "signIn": sign_in}, headers=SECURITY_HEADERS
    )


def _file(path: Path) -> Callable[[], Response]:
    headers = {**SECURITY_HEADERS, **_CACHED}
    content_type = _CONTENT_TYPES[path.suffix]
    return lambda: Response(200, path.read_text(encoding="utf-8"), content_type, headers)
