"""HTTP exchanges: bounded in time and size, without redirects."""

from __future__ import annotations

import email.utils
import json
import re
import threading
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

_CODE = re.compile(r"[a-z][a-z0-9-]*")
# Codes of the function that waiting mends; quota-reached and misconfigured are for its operator.
_TEMPORARY = frozenset({
    "request-in-flight", "rate-limited", "cloud-busy", "cloud-unreachable", "store-unavailable",
    "audit-unavailable", "issuer-unavailable", "out-of-time", "outcome-unknown",
})  # fmt: skip
# Beside every 5xx, answers of SCF or of a proxy that waiting mends:
# https://cloud.tencent.com/document/product/583/42611
_PLATFORM_FAULTS = frozenset({408, 425, 429, 433, 434, 439, 446, 449, 450})


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
        """Return the function's code for an error; empty where another server answered.

        Gateways have codes too, but only the function's problem details (RFC 9457) have this type.
        """
        code = (self.content or {}).get("code")
        is_problem = (self.content or {}).get("type") == f"urn:keypair-function:{code}"
        usable = isinstance(code, str) and _CODE.fullmatch(code)
        return str(code) if usable and is_problem and self.status >= HTTPStatus.BAD_REQUEST else ""

    @property
    def temporary(self) -> bool:
        """Whether the same request may get another answer later."""
        if self.code:
            return self.code in _TEMPORARY
        # A success that cannot be read was cut short on its way.
        cut_short = self.status < HTTPStatus.MULTIPLE_CHOICES and not self.content
        return (
            self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            or self.status in _PLATFORM_FAULTS
            or (cut_short and self.status != HTTPStatus.NO_CONTENT)
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
    outcome: list[Answer | BaseException] = []

    def run() -> None:
        try:
            outcome.append(_exchange(method, url, headers, body, seconds))
        except BaseException as error:  # noqa: BLE001  # raised below, in the thread that waits
            outcome.append(error)

    # The time-outs of sockets are for each read, so a peer that sends a byte at a time would hold this up for
    # ever. A thread that is left behind ends with the process.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise _too_late(url, seconds)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _exchange(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None, seconds: float
) -> Answer:
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
            if isinstance(error, requests.exceptions.ReadTimeout):
                raise _too_late(url, min(_READ_SECONDS, seconds)) from None
            raise _no_answer(error, f"{parts.scheme}://{parts.netloc}") from None


def _too_late(url: str, seconds: float) -> NoAnswer:
    parts = urlsplit(url)
    text = tr(
        "{url} has not answered within {seconds:.0f} s.",
        url=f"{parts.scheme}://{parts.netloc}",
        seconds=seconds,
    )
    return NoAnswer(text, sent=True)


def _no_answer(error: Exception, address: str) -> NoAnswer:
    import ssl

    import requests
    from urllib3.exceptions import NewConnectionError

    causes = _causes(error)
    connected = not any(isinstance(cause, NewConnectionError) for cause in causes)
    # `sent` is False only where nothing can have left: a request that is given up loses its key.
    if isinstance(error, requests.exceptions.SSLError):
        # Only the handshake checks certificates; every other TLS error may come after the request.
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            text = tr(
                "The TLS certificate of {url} is not accepted: {error}.", url=address, error=_innermost(error)
            )
            return NoAnswer(text, sent=False, lasting=True)
        return NoAnswer(
            tr("The TLS connection to {url} failed: {error}.", url=address, error=_innermost(error)),
            sent=True,
        )
    if isinstance(error, requests.exceptions.ProxyError):
        # urllib3 1.26 says so also of connections that broke later; a refused CONNECT came before.
        refused = any("Tunnel connection failed" in str(cause) for cause in causes)
        return NoAnswer(tr("The proxy blocks access to {url}.", url=address), sent=connected and not refused)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NoAnswer(tr("{url} does not answer.", url=address), sent=False)
    if not connected:
        return NoAnswer(
            tr("{url} cannot be reached: {error}.", url=address, error=_innermost(error)), sent=False
        )
    return NoAnswer(tr("The connection broke before the answer was complete."), sent=True)


def _causes(error: Exception) -> list[Exception]:
    """Return an error of requests, and those that it wraps."""
    causes = [error]
    while True:
        wrapped = [getattr(causes[-1], "reason", None), *causes[-1].args]
        inner = next((one for one in wrapped if isinstance(one, Exception)), None)
        if inner is None or inner in causes:
            return causes
        causes.append(inner)


def _answer(response: requests.Response, body: bytes) -> Answer:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):  # the latter for brackets in brackets without end
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
