"""HTTP from the function to chat platforms and to where people publish their keys, done carefully.

SECURITY BOUNDARY: the origins that anything is sent to are constants of the platforms' modules, or stand in
the policy. An address that came in a request is used only if it begins with one of them; otherwise a forged
one would take an answer, or a request from inside the cloud's network, wherever its maker likes.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from handler.errors import KeyPairFunctionError, PlatformUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

    from handler.scf.invocation import Deadline

TIMEOUT = 5.0
"""Seconds for one request: name resolution, connection, and all of the answer."""
TRIES = 4
"""How often a request is sent while the platform does not take it."""
ANSWER_LIMIT = 64 * 1024
"""Bytes of an answer that are read."""

_FIRST_PAUSE = 1.0
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


def silence_loggers() -> None:
    """Keep what goes over the wire out of the log, whatever the level of the root logger."""
    # SECURITY BOUNDARY. At DEBUG, which is what SCF sets the root logger to, the SDK logs every answer
    # whole, private key included, and every request with its token. Without these lines the key is in
    # the function's log.
    for name in ("tencentcloud_sdk_common", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False


@dataclass(frozen=True)
class HttpResponse:
    """What came back: status and body."""

    status: int
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class HttpClient:
    """Requests to chat platforms. `instead` (origin -> other origin) is for stand-ins in tests."""

    instead: Mapping[str, str] = field(default_factory=dict)

    def post_json(
        self,
        origin: str,
        path: str,
        payload: Mapping[str, Any],
        deadline: Deadline,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """Post `payload`; again, with pauses, while there is no answer, or 429 or 5xx, and time is left.

        `path` begins with a slash. Any other status is returned, a redirect too. Raises PlatformUnavailable.
        """
        return _until_answered("POST", self._place(origin) + path, payload, headers, deadline)

    def get(self, origin: str, path: str, deadline: Deadline) -> HttpResponse:
        """Get what is there, as `post_json` posts."""
        return _until_answered("GET", self._place(origin) + path, None, None, deadline)

    def _place(self, origin: str) -> str:
        return self.instead.get(origin, origin)


def _until_answered(
    method: str,
    url: str,
    payload: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None,
    deadline: Deadline,
) -> HttpResponse:
    pause = _FIRST_PAUSE
    for _ in range(TRIES):
        answer = _once(method, url, payload, headers, min(TIMEOUT, deadline.remaining()))
        if answer and answer.status != _TOO_MANY_REQUESTS and answer.status < _SERVER_ERROR:
            return answer
        if deadline.remaining() < pause * 2:
            break
        deadline.clock.sleep(pause)
        pause *= 2
    raise PlatformUnavailable("chat-no-answer" if answer is None else "chat-busy")


def _once(
    method: str,
    url: str,
    payload: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None,
    seconds: float,
) -> HttpResponse | None:
    def ask() -> HttpResponse:
        with session() as connection:
            return read(
                connection.request(
                    method,
                    url,
                    json=payload,
                    headers=headers,
                    allow_redirects=False,
                    stream=True,
                    timeout=seconds,
                )
            )

    return within(seconds, ask)


def session() -> requests.Session:
    """Return a session that goes by what it is told and by nothing in the environment."""
    import requests

    # At DEBUG, urllib3 writes down paths: whoever knows one of those can answer in the bot's name.
    silence_loggers()
    connection = requests.Session()
    # Else a .netrc entry for the host would add credentials, and a variable could name a proxy.
    connection.trust_env = False
    return connection


def read(response: requests.Response, limit: int = ANSWER_LIMIT) -> HttpResponse:
    """Return status and body, cut one byte after `limit`."""
    return HttpResponse(response.status_code, response.raw.read(limit + 1, decode_content=True))


_Result = TypeVar("_Result")


def within(seconds: float, ask: Callable[[], _Result]) -> _Result | None:
    """Return what `ask` returns; None if it fails, or is not done within `seconds`.

    An error of this function's own tree passes.
    """
    results: list[_Result] = []
    refusals: list[KeyPairFunctionError] = []

    def run() -> None:
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        try:
            results.append(ask())
        except KeyPairFunctionError as error:
            refusals.append(error)
        except (RequestException, HTTPError, OSError, ValueError):
            pass

    # A socket's time-out is for each read, and for the resolution of a name there is none.
    asking = threading.Thread(target=run, daemon=True)
    asking.start()
    asking.join(max(seconds, 0))
    if refusals:
        raise refusals[0]
    return results[0] if results else None
