"""The page for browsers: the files that `scripts/web` builds, and their configuration.

It is served only if the policy has a table [web].
"""

from __future__ import annotations

import importlib.util
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
# The name of a file contains a hash of its content, so a cached copy is never out of date.
_CACHED = {"Cache-Control": "public, max-age=31536000, immutable"}

# None of these characters can end a header or a directive of the Content-Security-Policy.
_ORIGIN = re.compile(r"(https://[a-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]{1,5})?(?=/|$)")


def pages(policy: Policy, default_region: str) -> dict[str, Callable[[], Response]]:
    """Return the public files, path -> response; none if the policy has no [web].

    Raises PolicyInvalid if people cannot sign in at the issuer that it names.
    """
    if policy.web is None:
        return {}
    origin = _origin_of_issuer(policy, policy.web)
    files = [path for path in STATIC.iterdir() if path.suffix in _CONTENT_TYPES]
    return {
        "/": lambda: _page(origin, with_form=bool(policy.issuers)),
        "/web.json": lambda: _configuration(policy, default_region),
        **{f"/static/{path.name}": _file(path) for path in files},
    }


def stylesheet() -> str:
    """Return the path of the stylesheet."""
    return f"/static/{next(STATIC.glob('*.css')).name}"


def _origin_of_issuer(policy: Policy, web: Web) -> str | None:
    if web.issuer is None:
        return None
    issuer = policy.issuers[web.issuer]
    origin = _ORIGIN.match(issuer.issuer)
    if origin is None:
        raise PolicyInvalid(f"web.issuer: issuers.{web.issuer}.issuer is not an https:// address")
    if issuer.once:
        # The page fetches the user's grants before it requests a key pair.
        raise PolicyInvalid(f"web.issuer: issuers.{web.issuer}.once is true; the page needs two requests")
    return origin[0]


def _page(issuer: str | None, *, with_form: bool) -> Response:
    connect = "'self'" if issuer is None else f"'self' {issuer}"
    security = content_security_policy(connect=connect, script="'self'")
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    # The form takes a token, and without issuers nobody has one.
    page = _without(page, "without-form" if with_form else "form")
    if not _takes_pgp_keys():
        page = _without(page, "openpgp")
    return html_response(200, page, security=security)


def _without(page: str, part: str) -> str:
    """Return the page without what is between `<!--PART-->` and `<!--/PART-->`."""
    return re.sub(f"<!--{part}-->.*?<!--/{part}-->", "", page, flags=re.DOTALL)


def _takes_pgp_keys() -> bool:
    """Return whether `scripts/build --with openpgp` packed the library; without importing it."""
    return importlib.util.find_spec("pysequoia") is not None


def _configuration(policy: Policy, default_region: str) -> Response:
    """Return how and where to sign in; `web/src/config.ts` reads it."""
    web = policy.web
    sign_in = None
    if web is not None and web.issuer is not None:
        issuer = policy.issuers[web.issuer]
        sign_in = {"issuer": issuer.issuer, "clientId": web.client_id, "audience": issuer.audience}
    configuration = {"api": "", "region": default_region, "signIn": sign_in, "openpgp": _takes_pgp_keys()}
    return json_response(200, configuration, headers=SECURITY_HEADERS)


def _file(path: Path) -> Callable[[], Response]:
    headers = {**SECURITY_HEADERS, **_CACHED}
    content_type = _CONTENT_TYPES[path.suffix]
    return lambda: Response(200, path.read_text(encoding="utf-8"), content_type, headers)
