"""CVM key pairs through the official SDK, hardened.

API: https://cloud.tencent.com/document/api/213/15702 (CreateKeyPair), 15699 (DescribeKeyPairs), 15700
(DeleteKeyPairs). CreateKeyPair has no idempotency token and shows the private key once, so it is called
once: only an answer that says 'not executed' is followed by another call.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretBytes, StringConstraints, ValidationError

from handler.errors import (
    CloudBusy,
    CloudRefused,
    CloudUnreachable,
    KeyPairFunctionError,
    NameTaken,
    OutcomeUnknown,
    OutOfTime,
    ProjectNotFound,
    QuotaReached,
    ServiceFailed,
    TagsRefused,
)
from handler.order import ORDER_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

    from handler.invocation import Credentials, Deadline

ENDPOINT = "https://cvm.tencentcloudapi.com"
VERSION = "2017-03-12"

CALL_TIMEOUT = 10.0
"""Seconds for one call, at most."""
CALL_MINIMUM = 1.0
"""Seconds without which no call is begun."""
UNDO_RESERVE = 5.0
"""Seconds kept back from a create, so that what it made can be taken back."""

ANSWER_RESERVE = 0.5
"""Seconds kept back from every other call, so that what came of it can be told."""

_ANSWER_LIMIT = 1024 * 1024
_PAGE = 100
_BACK_OFF_FIRST = 0.2
_BACK_OFF_LONGEST = 2.0

_THROTTLED = "RequestLimitExceeded"

# What a code of CreateKeyPair means. A code that is not here says nothing about whether a key pair was
# made: its outcome is unknown, and InternalServerError is left out on purpose.
_CREATE_REFUSALS: Mapping[str, Callable[[], KeyPairFunctionError]] = {
    "InvalidKeyPairName.Duplicate": NameTaken,
    "InvalidKeyPair.LimitExceeded": QuotaReached,
    "InvalidProjectId.NotFound": ProjectNotFound,
    "FailedOperation.TagKeyReserved": TagsRefused,
    "LimitExceeded.TagResourceQuota": TagsRefused,
}
# Families of codes that say: refused before anything was done.
_NOT_EXECUTED = (
    "AuthFailure",
    "UnauthorizedOperation",
    "InvalidKeyPairName",
    "InvalidKeyPairNameEmpty",
    "InvalidKeyPairNameIncludeIllegalChar",
    "InvalidKeyPairNameTooLong",
    "InvalidParameter",
    "InvalidParameterValue",
    "MissingParameter",
    "UnknownParameter",
    "InvalidAction",
    "InvalidRequest",
    "NoSuchProduct",
    "NoSuchVersion",
    "UnsupportedRegion",
    "UnsupportedOperation",
    "UnsupportedProtocol",
    "LimitExceeded",
    "IpInBlacklist",
    "IpNotInWhitelist",
)


@dataclass(frozen=True)
class CreatedKeyPair:
    """What CreateKeyPair answered, not yet checked; fields that were missing are empty."""

    key_id: str
    key_name: str
    public_key: str
    private_key: SecretBytes
    request_id: str


@dataclass(frozen=True)
class KeyPairSummary:
    """A key pair as DescribeKeyPairs lists it; `created_at` is `YYYY-MM-DDThh:mm:ssZ`, or empty."""

    key_id: str
    key_name: str
    tags: Mapping[str, str]
    created_at: str
    description: str


def _request_id(value: object) -> str:
    """Return a request id for the audit line, empty if it does not look like one."""
    return value if isinstance(value, str) and re.fullmatch(r"[0-9A-Za-z-]{1,64}", value) else ""


class _Wire(BaseModel):
    # A validation error must not quote the answer: it holds the private key.
    model_config = ConfigDict(hide_input_in_errors=True, extra="ignore")


class _KeyPair(_Wire):
    KeyId: Annotated[str, StringConstraints(pattern=r"^skey-[0-9a-z]{1,32}$")]
    KeyName: str = ""
    PublicKey: str = ""
    PrivateKey: SecretBytes = SecretBytes(b"")


class _Created(_Wire):
    KeyPair: _KeyPair
    RequestId: Annotated[str, BeforeValidator(_request_id)] = ""


class _Tag(_Wire):
    Key: str
    Value: str


class _Listed(_Wire):
    KeyId: str
    KeyName: str
    Tags: list[_Tag] | None = None
    CreatedTime: str | None = None
    Description: str | None = None

    def summary(self) -> KeyPairSummary:
        tags = {tag.Key: tag.Value for tag in self.Tags or ()}
        return KeyPairSummary(self.KeyId, self.KeyName, tags, self.CreatedTime or "", self.Description or "")


class _KeyPairs(_Wire):
    TotalCount: int
    KeyPairSet: list[_Listed]


@dataclass(frozen=True)
class _Failure:
    """Why a call gave no answer: the cloud's code, or what happened on the way.

    The SDK's exceptions are not passed on: their text quotes bodies, and a body may hold a private key.
    """

    code: str
    sent: bool = True
    request_id: str = ""


class Cvm:
    """The CVM API in one region, for one invocation.

    Every call has a connection of its own: a pooled one that the other side has closed meanwhile (SCF
    freezes instances) would turn a create into a question.
    """

    def __init__(
        self,
        credentials: Credentials,
        region: str,
        deadline: Deadline,
        *,
        jitter: Callable[[], float],
        endpoint: str | None = None,
    ) -> None:
        self._credentials = credentials
        self._region = region
        self._deadline = deadline
        self._jitter = jitter
        self._protocol, _, self._host = (endpoint or ENDPOINT).partition("://")

    def create_key_pair(self, name: str, project_id: int, tags: Mapping[str, str]) -> CreatedKeyPair:
        """Create a key pair.

        Raises OutcomeUnknown where it may exist; any other error says that it does not.
        """
        parameters = {
            "KeyName": name,
            "ProjectId": project_id,
            "TagSpecification": [
                {
                    "ResourceType": "keypair",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
        }
        answer = self._until_not_throttled("CreateKeyPair", parameters, reserve=UNDO_RESERVE)
        if isinstance(answer, _Failure):
            raise _as_seen(_create_error(answer), answer)
        created = _parse(_Created, answer)
        # Without an id there is nothing to delete by: the name and the tags have to settle it.
        if created is None:
            raise OutcomeUnknown("create-undecodable")
        pair = created.KeyPair
        return CreatedKeyPair(pair.KeyId, pair.KeyName, pair.PublicKey, pair.PrivateKey, created.RequestId)

    def find_key_pairs(self, name: str) -> list[KeyPairSummary]:
        """Return the key pairs that the cloud finds by `name`; raise OutcomeUnknown if it does not say."""
        return self._describe([{"Name": "key-name", "Values": [name]}])

    def marked_key_pairs(self) -> list[KeyPairSummary]:
        """Return all key pairs with an order tag; raise OutcomeUnknown if the cloud does not say."""
        return self._describe([{"Name": "tag-key", "Values": [ORDER_TAG]}])

    def _describe(self, filters: list[dict[str, object]]) -> list[KeyPairSummary]:
        found: list[KeyPairSummary] = []
        while True:
            page = {"Filters": filters, "Offset": len(found), "Limit": _PAGE}
            answer = self._until_not_throttled("DescribeKeyPairs", page, reserve=ANSWER_RESERVE)
            if isinstance(answer, _Failure):
                raise _as_seen(OutcomeUnknown("describe-" + _family(answer.code)), answer)
            listed = _parse(_KeyPairs, answer)
            if listed is None:
                raise OutcomeUnknown("describe-undecodable")
            found += [pair.summary() for pair in listed.KeyPairSet]
            if not listed.KeyPairSet or len(found) >= listed.TotalCount:
                return found

    def delete_key_pair(self, key_id: str) -> bool:
        """Delete a key pair, or find that it is gone; return False if an instance or image uses it.

        Raises OutcomeUnknown if it may be left.
        """
        parameters = {"KeyIds": [key_id]}
        answer = self._until_not_throttled("DeleteKeyPairs", parameters, reserve=ANSWER_RESERVE)
        if not isinstance(answer, _Failure) or answer.code == "InvalidKeyPairId.NotFound":
            return True
        if answer.code == "InvalidParameterValue.KeyPairNotSupported":
            return False
        raise _as_seen(OutcomeUnknown("delete-" + _family(answer.code)), answer)

    def set_description(self, key_id: str, description: str) -> None:
        """Give a key pair a description (ModifyKeyPairAttribute, api/213/15696).

        Raises CloudBusy, CloudRefused, CloudUnreachable or OutOfTime if it may not have it.
        """
        parameters = {"KeyId": key_id, "Description": description}
        answer = self._until_not_throttled("ModifyKeyPairAttribute", parameters, reserve=UNDO_RESERVE)
        if isinstance(answer, _Failure):
            family = _family(answer.code)
            error: type[ServiceFailed] = CloudRefused if family in _NOT_EXECUTED else CloudUnreachable
            if answer.code.startswith(_THROTTLED):
                error = CloudBusy
            raise _as_seen(error("modify-" + family), answer)

    def _until_not_throttled(
        self, action: str, parameters: Mapping[str, object], *, reserve: float
    ) -> dict[str, Any] | _Failure:
        back_off = _BACK_OFF_FIRST
        while True:
            answer = self._call(action, parameters, reserve)
            if not isinstance(answer, _Failure) or not answer.code.startswith(_THROTTLED):
                return answer
            # The one answer that says 'not executed, come again'. Jitter keeps callers apart.
            pause = back_off * (0.5 + self._jitter() / 2)
            if self._deadline.remaining() - pause < reserve + CALL_MINIMUM:
                return answer
            self._deadline.clock.sleep(pause)
            back_off = min(back_off * 2, _BACK_OFF_LONGEST)

    def _call(
        self, action: str, parameters: Mapping[str, object], reserve: float
    ) -> dict[str, Any] | _Failure:
        seconds = min(CALL_TIMEOUT, self._deadline.remaining() - reserve)
        if seconds < CALL_MINIMUM:
            raise OutOfTime
        client = self._client(seconds)
        answer = _send(client, action, parameters)
        return answer if isinstance(answer, _Failure) else _unwrap(answer)

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
        http = HttpProfile(protocol=self._protocol, endpoint=self._host, reqTimeout=timeout)
        # No retryer: StandardRetryer calls again after a success that followed a failure, and raises the
        # stale error; either loses a key. No region breaker: it hides network errors.
        profile = ClientProfile(httpProfile=http, retryer=None, disable_region_breaker=True)
        # Built here from what SCF injected: the SDK's own providers do not know those names, and fall
        # back to a metadata service without a time-out.
        own = self._credentials
        credential = Credential(own.secret_id, own.secret_key, own.token)
        client = CommonClient("cvm", VERSION, credential, self._region, profile)
        self._harden(client.request.conn._session, seconds)  # noqa: SLF001  # there is no public way
        return client

    def _harden(self, session: requests.Session, seconds: float) -> None:
        # A redirect would carry the signed request, and bring the answer from, somewhere else.
        session.max_redirects = 0
        # Else a .netrc entry for the host would replace the Authorization header.
        session.trust_env = False
        until = self._deadline.clock.monotonic() + seconds

        def read(response: requests.Response, *_: object, **__: object) -> None:
            """Read the body here: the time-out of requests bounds one read, not all of them."""
            body = b""
            while True:
                remaining = until - self._deadline.clock.monotonic()
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

        session.hooks["response"].append(read)


def _silence_loggers() -> None:
    # SECURITY BOUNDARY. At DEBUG, which is what SCF sets the root logger to, the SDK logs every answer
    # whole, private key included, and every request with its token. Without these lines the key is in
    # the function's log.
    for name in ("tencentcloud_sdk_common", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False


def _send(client: Any, action: str, parameters: Mapping[str, object]) -> bytes | _Failure:  # noqa: ANN401  # as above
    from tencentcloud.common.exception import TencentCloudSDKException

    try:
        body: bytes = client.call(action, dict(parameters))
    except TencentCloudSDKException as error:
        code, request_id = str(error.get_code()), _request_id(error.get_request_id())
        return _Failure(code, sent=not _never_connected(error.__context__), request_id=request_id)
    except Exception:  # noqa: BLE001  # reading the answer raises whatever requests, urllib3 and json raise
        return _Failure("ClientReadError")
    return body


def _never_connected(cause: BaseException | None) -> bool:
    """Tell whether the request was certainly not sent: no connection came about."""
    import requests.exceptions
    from urllib3.exceptions import MaxRetryError, NewConnectionError

    if isinstance(cause, requests.exceptions.ConnectTimeout):
        return True
    reason = cause.args[0] if isinstance(cause, requests.exceptions.ConnectionError) and cause.args else None
    return isinstance(reason, MaxRetryError) and isinstance(reason.reason, NewConnectionError)


def _unwrap(body: bytes) -> dict[str, Any] | _Failure:
    """Return `Response`, or the error in it.

    The SDK looks for errors only where the Content-Type is exactly the one it expects.
    """
    try:
        response: dict[str, Any] = json.loads(body)["Response"]
        error = response.get("Error")
        if error is None:
            return response
        return _Failure(str(error["Code"]), request_id=_request_id(response.get("RequestId")))
    except Exception:  # noqa: BLE001  # whatever the shape: undecodable, and the exception quotes the answer
        return _Failure("ClientDecodeError")


_Model = TypeVar("_Model", bound=_Wire)


def _parse(model: type[_Model], response: Mapping[str, Any]) -> _Model | None:
    try:
        return model.model_validate(response)
    except ValidationError:
        return None


def _create_error(failure: _Failure) -> KeyPairFunctionError:
    if not failure.sent:
        return CloudUnreachable()
    if failure.code.startswith(_THROTTLED):
        return CloudBusy()
    if failure.code in _CREATE_REFUSALS:
        return _CREATE_REFUSALS[failure.code]()
    if _family(failure.code) in _NOT_EXECUTED:
        return CloudRefused("cloud-" + _family(failure.code))
    return OutcomeUnknown("create-" + _family(failure.code))


def _family(code: str) -> str:
    family = code.partition(".")[0]
    # What an endpoint sends as a code ends up in the audit line as a reason.
    return family if re.fullmatch(r"[A-Za-z]{1,64}", family) else "unreadable"


def _as_seen(error: KeyPairFunctionError, failure: _Failure) -> KeyPairFunctionError:
    error.upstream_request_id = failure.request_id
    return error
