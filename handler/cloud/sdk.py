"""The official SDK, hardened: limits on time and size, no stale connections, and no quoted bodies."""

from __future__ import annotations

import json
import logging
import re
import warnings
from dataclasses import field
from typing import TYPE_CHECKING, Any

from handler.scf.invocation import LONG_AGO
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from handler.scf.invocation import Clock, Credentials, Moment

_MESSAGE_LIMIT = 200
_NOT_IN_A_LINE = re.compile(r"[^\x20-\x7e\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]+")


@dataclass(frozen=True)
class Failure:
    """A failed call: the cloud's error code, or a code for what happened on the way.

    SECURITY BOUNDARY: the SDK's exceptions are never passed on. Their text quotes bodies, and a body may
    hold a private key.
    """

    code: str
    sent: bool = True
    request_id: str = ""
    message: str = ""
    """What the API says, cleaned for the audit line; empty for what is not an answer of the API."""

    @property
    def family(self) -> str:
        """The part of the code before the dot; `unreadable` if it is not a valid code."""
        family = self.code.partition(".")[0]
        # The code comes from outside and becomes a reason in the audit log.
        return family if re.fullmatch(r"[A-Za-z]{1,64}", family) else "unreadable"

    @property
    def public_code(self) -> str:
        """The code for the audit log; `unreadable` if it is not a valid code."""
        return self.code if re.fullmatch(r"[A-Za-z][A-Za-z.]{0,127}", self.code) else "unreadable"


REPEATABLE = frozenset({"DescribeKeyPairs", "ModifyKeyPairAttribute"})
"""Actions that may go over a connection that an earlier call has opened: doing them twice does no harm."""
IDLE_SECONDS = 5.0
"""How long a connection is kept for the next call. The cloud and the gateways on the way keep it longer."""


@dataclass(frozen=True)
class Api:
    """The API of one service in one region.

    The calls of one invocation share a connection, which saves two TLS handshakes for each key pair. SCF
    freezes instances, so a connection that was opened earlier may be dead. Therefore it is used only by calls
    that can be repeated, and only for a moment: after any other call on a dead connection, nobody could tell
    whether it was executed.
    """

    service: str
    version: str
    endpoint: str
    """A URL with its scheme."""
    region: str
    credentials: Credentials
    clock: Clock
    idle: list[tuple[Moment, Any]] = field(default_factory=list, repr=False, compare=False)
    """The client that waits for the next call, and since when. Empty while a call uses it."""

    def call(self, action: str, parameters: Mapping[str, object], seconds: float) -> dict[str, Any] | Failure:
        """Return the value of `Response`, or the failure, within `seconds`."""
        client = self._client(seconds, fresh=action not in REPEATABLE)
        sent = _send(client, action, parameters)
        answer = sent if isinstance(sent, Failure) else _unwrap(sent)
        if isinstance(answer, Failure) and not answer.request_id:
            # Not an answer of the API. Whatever went wrong, nothing more is sent over this connection.
            client.request.conn._session.close()  # noqa: SLF001  # there is no public access
        else:
            self.idle.append((self.clock.moment(), client))
        return answer

    def _client(self, seconds: float, *, fresh: bool) -> Any:  # noqa: ANN401  # the SDK has no types
        """Return a client with its time limits set; with `fresh`, one that will open a new connection."""
        # A number would apply twice: to connecting, and again to the first byte of the response.
        from urllib3.util import Timeout

        since, client = self.idle.pop() if self.idle else (LONG_AGO, self._new_client())
        connection = client.request.conn
        if fresh or self.clock.since(since) > IDLE_SECONDS:
            connection._session.close()  # noqa: SLF001  # there is no public access
        connection.timeout = Timeout(total=seconds)
        for adapter in connection._session.adapters.values():  # noqa: SLF001  # there is no public access
            adapter.limit.until = self.clock.monotonic() + seconds
        return client

    def _new_client(self) -> Any:  # noqa: ANN401  # the SDK has no types
        # Imported here, so that a refused request does not pay for it (0.1 s and 20 MB, most of a cold
        # start). requests warns if no package that guesses encodings is installed. Responses are JSON in
        # UTF-8, so the deployment package has none.
        warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")
        from tencentcloud.common.common_client import CommonClient
        from tencentcloud.common.credential import Credential
        from tencentcloud.common.profile.client_profile import ClientProfile
        from tencentcloud.common.profile.http_profile import HttpProfile

        from handler.cloud.bounded_http import BoundedAdapter, read_body

        _silence_loggers()
        protocol, _, host = self.endpoint.partition("://")
        http = HttpProfile(protocol=protocol, endpoint=host)
        # No retryer: StandardRetryer repeats a call that succeeded after a failure, and raises the stale
        # error. Either loses a key. No region breaker: it hides network errors.
        profile = ClientProfile(httpProfile=http, retryer=None, disable_region_breaker=True)
        # Built from the variables that SCF sets. The SDK's own providers do not know their names and fall
        # back to a metadata service without a time-out.
        own = self.credentials
        credential = Credential(own.secret_id, own.secret_key, own.token)
        client = CommonClient(self.service, self.version, credential, self.region, profile)
        session: requests.Session = client.request.conn._session  # noqa: SLF001  # there is no public access
        # SECURITY BOUNDARY: a redirect would send the signed request, and fetch the response, elsewhere.
        session.max_redirects = 0
        # Otherwise a .netrc entry for the host would replace the Authorization header.
        session.trust_env = False
        adapter = BoundedAdapter(self.clock)
        for scheme in ("https://", "http://"):
            session.mount(scheme, adapter)
        session.hooks["response"].append(read_body)
        return client


def request_id_of(value: object) -> str:
    """Return a request id for the audit log; empty if it does not look like one."""
    return value if isinstance(value, str) and re.fullmatch(r"[0-9A-Za-z-]{1,64}", value) else ""


def _send(client: Any, action: str, parameters: Mapping[str, object]) -> bytes | Failure:  # noqa: ANN401  # the SDK has no types
    from tencentcloud.common.exception import TencentCloudSDKException

    try:
        body: bytes = client.call(action, dict(parameters))
    except TencentCloudSDKException as error:
        code, request_id = str(error.get_code()), request_id_of(error.get_request_id())
        # Without a request id it is not an answer of the API, and the text may quote a whole body.
        message = _cleaned(error.get_message()) if request_id else ""
        sent = not _never_connected(error.__context__)
        return Failure(code, sent=sent, request_id=request_id, message=message)
    except Exception:  # noqa: BLE001  # requests, urllib3 and json raise many types
        return Failure("ClientReadError")
    return body


def _never_connected(cause: BaseException | None) -> bool:
    """Tell whether the request was certainly not sent, because no connection was established."""
    import requests.exceptions
    from urllib3.exceptions import MaxRetryError, NewConnectionError

    if isinstance(cause, requests.exceptions.ConnectTimeout):
        return True
    reason = cause.args[0] if isinstance(cause, requests.exceptions.ConnectionError) and cause.args else None
    return isinstance(reason, MaxRetryError) and isinstance(reason.reason, NewConnectionError)


def _cleaned(message: object) -> str:
    """Return a message of the API for the operator: one line, 200 characters at most, no key material."""
    text = message if isinstance(message, str) else ""
    # SECURITY BOUNDARY: no answer of the API quotes a private key in an error. If one did, it stays here.
    return "" if "PRIVATE KEY" in text else _NOT_IN_A_LINE.sub(" ", text)[:_MESSAGE_LIMIT].strip()


def _unwrap(body: bytes) -> dict[str, Any] | Failure:
    """Return the value of `Response`, or the error in it.

    The SDK looks for errors only if the Content-Type is exactly the one it expects.
    """
    try:
        response: dict[str, Any] = json.loads(body)["Response"]
        error = response.get("Error")
        if error is None:
            return response
        request_id = request_id_of(response.get("RequestId"))
        return Failure(str(error["Code"]), request_id=request_id, message=_cleaned(error.get("Message")))
    except Exception:  # noqa: BLE001  # any other shape is undecodable; the exception would quote the body
        return Failure("ClientDecodeError")


def _silence_loggers() -> None:
    """Keep requests and responses out of the log, whatever the level of the root logger."""
    # SECURITY BOUNDARY: SCF sets the root logger to DEBUG. At that level the SDK logs complete responses,
    # including the private key, and every request with its token.
    for name in ("tencentcloud_sdk_common", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
