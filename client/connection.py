"""HTTP exchanges with a function: bounded, without redirects, and every outcome a value."""

from __future__ import annotations

import email.utils
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

_CONNECT_SECONDS = 10.0
# The function's own time limit is 15 s unless set otherwise.
_READ_SECONDS = 60.0
_ANSWER_LIMIT = 1 << 20

# 503s that waiting mends; the others (quota-reached, misconfigured) are for the operator.
_TEMPORARY = frozenset({
    "request-in-flight", "rate-limited", "cloud-busy", "cloud-unreachable", "store-unavailable",
    "audit-unavailable", "issuer-unavailable", "out-of-time", "outcome-unknown",
})  # fmt: skip
# Answers of SCF or of a proxy instead of the function's: https://cloud.tencent.com/document/product/583/42611
_PLATFORM_FAULTS = frozenset({429, 433, 434, 439, 446, 449, 450, 500, 502, 503, 504})


@dataclass(frozen=True)
class Answer:
    """An HTTP response: what the function says, and what the transport says beside it."""

    status: int
    content: Mapping[str, Any] | None
    """The JSON object in the body, None where there is none."""
    retry_after: float | None
    date: float | None
    """The function's clock, Unix time in seconds."""
    request_id: str

    @property
    def code(self) -> str:
        """Return the function's code for an error; empty where another server answered."""
        return str((self.content or {}).get("code", "")) if self.status >= HTTPStatus.BAD_REQUEST else ""

    @property
    def temporary(self) -> bool:
        """Whether the same request may get another answer later."""
        if self.code:
            return self.code in _TEMPORARY
        # A success that cannot be read was cut short on its way.
        return self.status in _PLATFORM_FAULTS or (
            self.status < HTTPStatus.MULTIPLE_CHOICES and not self.content
        )


class NoAnswer(Exception):
    """No HTTP response; `str()` says why.

    `sent` tells whether the function may have got the request, `lasting` that trying again does not help.
    """

    def __init__(self, text: str, *, sent: bool, lasting: bool = False) -> None:
        super().__init__(text)
        self.sent = sent
        self.lasting = lasting


def exchange(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    seconds: float = _READ_SECONDS,
) -> Answer:
    """Send one request and return what came back; wait `seconds` at most. Raises NoAnswer."""
    import requests
    from urllib3.exceptions import HTTPError

    from client import user_agent

    parts = urlsplit(url)
    with requests.Session() as session:
        # A proxy that the environment names cannot reach this machine's own loopback.
        session.trust_env = parts.hostname not in {"localhost", "127.0.0.1", "::1"}
        try:
            with session.request(
                method,
                url,
                data=body,
                headers={"User-Agent": user_agent(), **headers},
                # Without it, requests puts what ~/.netrc has over the Authorization that was set here.
                auth=lambda prepared: prepared,
                # SECURITY BOUNDARY: a redirect would carry the proof to whomever it names.
                allow_redirects=False,
                timeout=(min(_CONNECT_SECONDS, seconds), min(_READ_SECONDS, seconds)),
                stream=True,
            ) as response:
                return _answer(response, response.raw.read(_ANSWER_LIMIT, decode_content=True))
        # The body is read through urllib3, whose errors have no base class in common with those of requests.
        except (requests.RequestException, HTTPError) as error:
            raise _no_answer(error, f"{parts.scheme}://{parts.netloc}") from None


def _no_answer(error: Exception, address: str) -> NoAnswer:
    import requests
    from urllib3.exceptions import NewConnectionError

    cause = getattr(error.args[0] if error.args else None, "reason", None)
    if isinstance(error, requests.exceptions.SSLError):
        text = tr(
            "The TLS certificate of {url} is not accepted: {error}.", url=address, error=_innermost(error)
        )
        return NoAnswer(text, sent=False, lasting=True)
    if isinstance(error, requests.exceptions.ProxyError):
        return NoAnswer(tr("The proxy does not let {url} be reached.", url=address), sent=False)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NoAnswer(tr("{url} does not answer.", url=address), sent=False)
    if isinstance(cause, NewConnectionError):
        return NoAnswer(
            tr("{url} cannot be reached: {error}.", url=address, error=_innermost(error)), sent=False
        )
    return NoAnswer(tr("The connection broke before the answer was complete."), sent=True)


def _answer(response: requests.Response, body: bytes) -> Answer:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    headers = response.headers
    date = email.utils.parsedate_tz(headers.get("Date", ""))
    return Answer(
        status=response.status_code,
        content=content if isinstance(content, dict) else None,
        retry_after=_seconds(headers.get("Retry-After")),
        date=None if date is None else float(email.utils.mktime_tz(date)),
        request_id=headers.get("X-Request-Id", ""),
    )


def _seconds(text: str | None) -> float | None:
    """Read Retry-After (RFC 9110 section 10.2.3); of its two forms only the one that the function uses."""
    return float(text) if text and text.isascii() and text.isdigit() else None


def _innermost(error: Exception) -> str:
    """Return the innermost cause of an error of requests, without its wrapping."""
    text = str(error)
    # So getaddrinfo says it on Linux, macOS and Windows.
    if any(
        known in text
        for known in ("Name or service", "nodename nor servname", "getaddrinfo failed", "name resolution")
    ):
        return tr("unknown host name")
    if "refused" in text:
        return tr("connection refused")
    return text.rsplit(": ", 1)[-1].strip("'\")> ")[:200]
