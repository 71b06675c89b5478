"""Requests to chat platforms, repeated until the platform accepts them.

SECURITY BOUNDARY: the function sends only to origins that are constants of the platforms' modules or part of
the policy. An address that arrived in a request is used only if it begins with one of them. Otherwise a
forged request could direct a reply, or a request from inside the cloud's network, anywhere.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING

from handler.errors import PlatformUnavailable
from handler.http.fetch import HttpRequest, HttpResponse, fetch
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.scf.invocation import Deadline

TIMEOUT = 5.0
"""Seconds for one request: name resolution, connection, and the whole response."""
TRIES = 4
"""How often a request is sent while the platform does not accept it."""
ANSWER_LIMIT = 64 * 1024
"""Bytes of a response that are read."""

_FIRST_PAUSE = 1.0
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


@dataclass(frozen=True)
class HttpClient:
    """Requests to chat platforms. `instead` (origin -> other origin) is for stand-ins in tests."""

    instead: Mapping[str, str] = field(default_factory=dict)

    def post_json(
        self,
        origin: str,
        path: str,
        payload: Mapping[str, object],
        deadline: Deadline,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Post `payload`. Repeat after a pause while there is no response, or 429 or 5xx, and time is left.

        `path` begins with a slash. Any other status is returned, redirects included. Raises
        PlatformUnavailable.
        """
        sent = {"Content-Type": "application/json", **(headers or {})}
        body = json.dumps(payload, allow_nan=False).encode()
        return _until_accepted(HttpRequest(self._url(origin, path), "POST", sent, body), deadline)

    def get(self, origin: str, path: str, deadline: Deadline) -> HttpResponse:
        """Get a resource, with the repetitions of `post_json`."""
        return _until_accepted(HttpRequest(self._url(origin, path)), deadline)

    def _url(self, origin: str, path: str) -> str:
        return self.instead.get(origin, origin) + path


def _until_accepted(request: HttpRequest, deadline: Deadline) -> HttpResponse:
    pause = _FIRST_PAUSE
    for _ in range(TRIES):
        response = fetch(request, seconds=min(TIMEOUT, deadline.remaining()), limit=ANSWER_LIMIT)
        if response and response.status != _TOO_MANY_REQUESTS and response.status < _SERVER_ERROR:
            return response
        if deadline.remaining() < pause * 2:
            break
        deadline.clock.sleep(pause)
        pause *= 2
    raise PlatformUnavailable("chat-no-answer" if response is None else "chat-busy")
