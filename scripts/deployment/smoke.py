"""Signs of life of a deployed function, as anybody on the internet can ask for them."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scripts.deployment.errors import DeploymentStopped

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMEOUT = 30
"""Seconds: the first request meets a cold start."""
_TRIES = 10
_PAUSE = 3.0
_OK, _UNAUTHENTICATED = 200, 401


@dataclass(frozen=True)
class HttpReply:
    """What came back: 0 as the status if nothing did."""

    status: int
    body: bytes

    def json(self) -> object:
        """Return the body; None if it is not JSON."""
        try:
            parsed: object = json.loads(self.body)
        except ValueError:
            return None
        return parsed


def ask(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> HttpReply:
    """Send one request; redirects are not followed."""
    address = urlsplit(url)
    host = str(address.hostname)
    connection: http.client.HTTPConnection
    if address.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, address.port, timeout=_TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(host, address.port, timeout=_TIMEOUT)
    try:
        connection.request(method, address.path or "/", body or None, headers or {})
        answer = connection.getresponse()
        return HttpReply(answer.status, answer.read())
    except (OSError, http.client.HTTPException):
        return HttpReply(0, b"")
    finally:
        connection.close()


def check(url: str, sleep: Callable[[float], None]) -> None:
    """Raise DeploymentStopped unless the function answers, and refuses a request without a signature.

    A new URL, and an alias that was moved, take a while: what fails is tried again for half a minute.
    """
    for remaining in reversed(range(_TRIES)):
        health = ask("GET", f"{url}/healthz")
        if health.status == _OK and health.json() == {"status": "ok"}:
            break
        if not remaining:
            said = f"{health.status} {health.body[:300]!r}" if health.status else "nothing"
            raise DeploymentStopped(
                f"GET {url}/healthz should answer 200, but the answer is {said}. Look into the log "
                "(scripts/deploy logs); scripts/deploy rollback goes back to the version before."
            )
        sleep(_PAUSE)
    body = b"{}"
    refused = ask("POST", f"{url}/v1/key-pairs", body, {"Content-Type": "application/json"})
    if refused.status != _UNAUTHENTICATED:
        # SECURITY BOUNDARY: a function that takes a request without proof must not stay reachable.
        raise DeploymentStopped(
            f"A request without a signature should be refused with 401, but the answer is {refused.status}. "
            "Remove the Function URL first (scripts/deploy destroy --url-only), then look for the reason."
        )
