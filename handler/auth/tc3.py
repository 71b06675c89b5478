"""Verifies TC3-HMAC-SHA256, the signature of Tencent Cloud's API v3.

https://cloud.tencent.com/document/api/213/30654 describes how a request is signed. Callers sign with the
official SDKs, using an id and a secret that belong to this function, never their cloud credentials.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from handler.auth.master_secret import Purpose
from handler.auth.request_signatures import SignatureVerifier
from handler.errors import Unauthenticated
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from handler.http.messages import Request

SCHEME = "TC3-HMAC-SHA256"
_METHODS = ("GET", "POST", "DELETE")

# The service only derives the signing key. It is what the SDK for Node takes for the first label of the host
# name: at `localhost:8080` that includes the port.
_AUTHORIZATION = re.compile(
    SCHEME + r" Credential=(?P<id>[^/,\s]{1,64})/(?P<date>[0-9-]{10})"
    r"/(?P<service>[a-z0-9_-]{1,64}(?::[0-9]{1,5})?)/tc3_request"
    r", ?SignedHeaders=(?P<signed>[a-z0-9-]{1,64}(?:;[a-z0-9-]{1,64}){0,31})"
    r", ?Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Tc3Signature:
    """A verified signature. Nobody can make it without the secret, so it identifies this request."""

    caller_id: str
    signature: str
    signed_headers: frozenset[str]


def signing_key(secret: str, date: str, service: str) -> bytes:
    """Return the key with which the owner of `secret` signs requests to a service on one day (UTC)."""
    key = f"TC3{secret}".encode()
    for part in (date, service, "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(key: bytes, canonical_request: str, *, timestamp: int, date: str, service: str) -> str:
    """Return the signature of a request, 64 hexadecimal digits."""
    hashed = hashlib.sha256(canonical_request.encode()).hexdigest()
    text = f"{SCHEME}\n{timestamp}\n{date}/{service}/tc3_request\n{hashed}"
    return hmac.digest(key, text.encode(), "sha256").hex()


class Tc3Verifier(SignatureVerifier):
    """Verifies TC3-HMAC-SHA256."""

    scheme = "tc3"
    purpose = Purpose.TC3_SECRET

    def verify(self, request: Request) -> Tc3Signature:
        """Return who signed `request`; raise Unauthenticated."""
        headers = request.headers
        parsed = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        if parsed is None:
            raise Unauthenticated("tc3-authorization")
        # With UNSIGNED-PAYLOAD, whoever relays the request could replace the body, and so the recipient.
        if "x-tc-content-sha256" in headers:
            raise Unauthenticated("tc3-unsigned-payload")
        # SECURITY BOUNDARY: a POST means its body and no query, everything else its query and no body.
        unused = request.query if request.method == "POST" else request.unverified_body
        if request.method not in _METHODS or unused:
            raise Unauthenticated("tc3-method")
        timestamp = self._timestamp(headers.get("x-tc-timestamp", ""))
        date, service, names = parsed["date"], parsed["service"], parsed["signed"].split(";")
        if date != datetime.fromtimestamp(timestamp, timezone.utc).date().isoformat():
            raise Unauthenticated("tc3-date")
        signed = frozenset(names)
        # A request without a body has no Content-Type.
        required = {"content-type", "host"} if request.method == "POST" else {"host"}
        if names != sorted(signed) or not required <= signed:
            raise Unauthenticated("tc3-signed-headers")
        if not signed <= headers.keys() | {"host"}:
            raise Unauthenticated("tc3-signed-header-missing")
        # The parameters in the order of their names, encoded as RFC 3986 says.
        query = urlencode(sorted(request.query.items()), quote_via=quote, safe="", errors="surrogatepass")
        digest = hashlib.sha256(request.unverified_body).hexdigest()
        canonical_requests = [
            f"{request.method}\n{request.path}\n{query}\n"
            f"{_canonical_headers(names, {**headers, 'host': host})}\n{parsed['signed']}\n{digest}"
            for host in self.signed_hosts
        ]
        keys = [signing_key(secret, date, service) for secret in self._secrets(parsed["id"])]
        expected = [
            sign(key, text, timestamp=timestamp, date=date, service=service)
            for key in keys
            for text in canonical_requests
        ]
        self._require_match(parsed["signature"], expected)
        return Tc3Signature(parsed["id"], parsed["signature"], signed)


def _canonical_headers(names: Iterable[str], headers: Mapping[str, str]) -> str:
    return "".join(f"{name}:{headers[name].strip().lower()}\n" for name in names)
