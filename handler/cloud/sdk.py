"""The official SDK, hardened: one call over one connection, bounded in time and size; no error quotes it."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from handler.scf.invocation import Clock, Credentials

_ANSWER_LIMIT = 1024 * 1024


@dataclass(frozen=True)
class Failure:
    """Why a call gave no answer: the cloud's code, or what happened on the way.

    The SDK's exceptions are not passed on: their text quotes bodies, and a body may hold a private key.
    """

    code: str
    sent: bool = True
    request_id: str = ""

    @property
    def family(self) -> str:
        """The code's part before the dot; `unreadable` for what is no code."""
        family = self.code.partition(".")[0]
        # What an endpoint sends as a code ends up in the audit line as a reason.
        return family if re.fullmatch(r"[A-Za-z]{1,64}", family) else "unreadable"


@dataclass(frozen=True)
class Api:
    """One service's API in one region.

    Every call has a connection of its own: a pooled one that the other side has closed meanwhile (SCF
    freezes instances) would turn a create into a question.
    """

    service: str
    version: str
    endpoint: str
    """With scheme."""
    region: str
    credentials: Credentials
    clock: Clock

    def call(self, action: str, parameters: Mapping[str, object], seconds: float) -> dict[str, Any] | Failure:
        """Return what is in `Response`, or why there is no such thing, within `seconds`."""
        answer = _send(self._client(seconds), action, parameters)
        return answer if isinstance(answer, Failure) else _unwrap(answer)

    def _client(self, seconds: float) -> Any:  # noqa: ANN401  # the SDK has no types
        # Imported here: a request that is refused never pays for it (0.1 s and 20 MB, the larger part of
        # a cold start).
        from tencentcloud.common.common_client import CommonClient
        from tencentcloud.common.credential import Credential
        from tencentcloud.common.profile.client_profile import ClientProfile
        from tencentcloud.common.profile.http_profile import HttpProfile
        from urllib3.util import Timeout

        _silence_loggers()
        # A number would be the time-out of the connect, and that of the answer's first byte once more.
        timeout = Timeout(total=seconds)
        protocol, _, host = self.endpoint.partition("://")
        http = HttpProfile(protocol=protocol, endpoint=host, reqTimeout=timeout)
        # No retryer: StandardRetryer calls again after a success that followed a failure, and raises the
        # stale error; either loses a key. No region breaker: it hides network errors.
        profile = ClientProfile(httpProfile=http, retryer=None, disable_region_breaker=True)
        # Built here from what SCF injected: the SDK's own providers do not know those names, and fall
        # back to a metadata service without a time-out.
        own = self.credentials
        credential = Credential(own.secret_id, own.secret_key, own.token)
        client = CommonClient(self.service, self.version, credential, self.region, profile)
        self._harden(client.request.conn._session, seconds)  # noqa: SLF001  # there is no public way
        return client

    def _harden(self, session: requests.Session, seconds: float) -> None:
        # A redirect would carry the signed request, and bring the answer from, somewhere else.
        session.max_redirects = 0
        # Else a .netrc entry for the host would replace the Authorization header.
        session.trust_env = False
        reader = _BodyReader(self.clock, self.clock.monotonic() + seconds)
        session.hooks["response"].append(reader)


@dataclass(frozen=True)
class _BodyReader:
    """Reads a response within one deadline. The time-out of requests bounds each read, not their sum."""

    clock: Clock
    until: float

    def __call__(self, response: requests.Response, *_: object, **__: object) -> None:
        body = b""
        while True:
            remaining = self.until - self.clock.monotonic()
            if len(body) > _ANSWER_LIMIT or remaining <= 0:
                raise TimeoutError
            connection = response.raw.connection
            if connection is not None and connection.sock is not None:
                connection.sock.settimeout(remaining)
            chunk = response.raw.read1(_ANSWER_LIMIT, decode_content=True)
            if not chunk:
                break
            body += chunk
        response._content = body  # noqa: SLF001  # what `Response.content` returns


def request_id_of(value: object) -> str:
    """Return a request id for the audit line, empty if it does not look like one."""
    return value if isinstance(value, str) and re.fullmatch(r"[0-9A-Za-z-]{1,64}", value) else ""


def _send(client: Any, action: str, parameters: Mapping[str, object]) -> bytes | Failure:  # noqa: ANN401  # as above
    from tencentcloud.common.exception import TencentCloudSDKException

    try:
        body: bytes = client.call(action, dict(parameters))
    except TencentCloudSDKException as error:
        code, request_id = str(error.get_code()), request_id_of(error.get_request_id())
        return Failure(code, sent=not _never_connected(error.__context__), request_id=request_id)
    except Exception:  # noqa: BLE001  # reading the answer raises whatever requests, urllib3 and json raise
        return Failure("ClientReadError")
    return body


def _never_connected(cause: BaseException | None) -> bool:
    """Tell whether the request was certainly not sent: no connection came about."""
    import requests.exceptions
    from urllib3.exceptions import MaxRetryError, NewConnectionError

    if isinstance(cause, requests.exceptions.ConnectTimeout):
        return True
    reason = cause.args[0] if isinstance(cause, requests.exceptions.ConnectionError) and cause.args else None
    return isinstance(reason, MaxRetryError) and isinstance(reason.reason, NewConnectionError)


def _unwrap(body: bytes) -> dict[str, Any] | Failure:
    """Return `Response`, or the error in it.

    The SDK looks for errors only where the Content-Type is exactly the one it expects.
    """
    try:
        response: dict[str, Any] = json.loads(body)["Response"]
        error = response.get("Error")
        if error is None:
            return response
        return Failure(str(error["Code"]), request_id=request_id_of(response.get("RequestId")))
    except Exception:  # noqa: BLE001  # whatever the shape: undecodable, and the exception quotes the answer
        return Failure("ClientDecodeError")


def _silence_loggers() -> None:
    """Keep requests and responses out of the log, whatever the level of the root logger."""
    # SECURITY BOUNDARY. At DEBUG, which is what SCF sets the root logger to, the SDK logs every response
    # completely, private key included, and every request with its token. Without these lines the key is in
    # the function's log.
    for name in ("tencentcloud_sdk_common", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
