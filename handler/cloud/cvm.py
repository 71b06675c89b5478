"""The key pair API of CVM (Cloud Virtual Machine), through the hardened SDK.

API: https://cloud.tencent.com/document/api/213/15702 (CreateKeyPair), 15699 (DescribeKeyPairs), 15700
(DeleteKeyPairs). CreateKeyPair has no idempotency token and returns the private key only once. It is
therefore called once, and again only after a response that says 'not executed'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretBytes, StringConstraints, ValidationError

from handler.cloud.sdk import Api, Failure, request_id_of
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

    from handler.scf.invocation import Credentials, Deadline

ENDPOINT = "https://cvm.tencentcloudapi.com"
VERSION = "2017-03-12"

CALL_TIMEOUT = 10.0
"""The longest time for one call, in seconds."""
CALL_MINIMUM = 1.0
"""With fewer seconds left, no call is begun."""
UNDO_RESERVE = 5.0
"""Seconds that a create leaves unused, so that the key pair can be removed again."""

ANSWER_RESERVE = 0.5
"""Seconds that every other call leaves unused, so that its outcome can be reported."""

_PAGE = 100
_BACK_OFF_FIRST = 0.2
_BACK_OFF_LONGEST = 2.0

_THROTTLED = "RequestLimitExceeded"

# Error codes after which CreateKeyPair certainly made no key pair. After any other code, above all
# InternalServerError, the outcome is unknown.
_CREATE_REFUSALS: Mapping[str, Callable[[], KeyPairFunctionError]] = {
    "InvalidKeyPairName.Duplicate": NameTaken,
    "InvalidKeyPair.LimitExceeded": QuotaReached,
    "InvalidProjectId.NotFound": ProjectNotFound,
    "FailedOperation.TagKeyReserved": TagsRefused,
    "LimitExceeded.TagResourceQuota": TagsRefused,
}
# Families of codes with which the cloud refuses a call before it does anything.
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
    """The response of CreateKeyPair, not yet checked. Missing fields are empty."""

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


class _Wire(BaseModel):
    # SECURITY BOUNDARY: a validation error must not quote the response, which holds the private key.
    model_config = ConfigDict(hide_input_in_errors=True, extra="ignore")


class _KeyPair(_Wire):
    KeyId: Annotated[str, StringConstraints(pattern=r"^skey-[0-9a-z]{1,32}$")]
    KeyName: str = ""
    PublicKey: str = ""
    PrivateKey: SecretBytes = SecretBytes(b"")


class _Created(_Wire):
    KeyPair: _KeyPair
    RequestId: Annotated[str, BeforeValidator(request_id_of)] = ""


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


class Cvm:
    """The CVM API in one region, for one invocation."""

    def __init__(
        self,
        credentials: Credentials,
        region: str,
        deadline: Deadline,
        *,
        jitter: Callable[[], float],
        endpoint: str | None = None,
    ) -> None:
        self._api = Api("cvm", VERSION, endpoint or ENDPOINT, region, credentials, deadline.clock)
        self._deadline = deadline
        self._jitter = jitter

    def create_key_pair(self, name: str, project_id: int, tags: Mapping[str, str]) -> CreatedKeyPair:
        """Create a key pair.

        Raises OutcomeUnknown if it may exist. Any other error means that it does not exist.
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
        if isinstance(answer, Failure):
            raise _as_seen(_create_error(answer), answer)
        created = _parse(_Created, answer)
        # Without an id the key pair cannot be deleted directly; cleanup finds it by name and tag.
        if created is None:
            raise OutcomeUnknown("create-undecodable")
        pair = created.KeyPair
        return CreatedKeyPair(pair.KeyId, pair.KeyName, pair.PublicKey, pair.PrivateKey, created.RequestId)

    def find_key_pairs(self, name: str) -> list[KeyPairSummary]:
        """Return the key pairs that the cloud finds by `name`; raise OutcomeUnknown if the call fails."""
        return self._describe([{"Name": "key-name", "Values": [name]}])

    def tagged_key_pairs(self) -> list[KeyPairSummary]:
        """Return all key pairs with an ownership tag; raise OutcomeUnknown if the call fails."""
        return self._describe([{"Name": "tag-key", "Values": [ORDER_TAG]}])

    def refusal(self) -> str | None:
        """Return the code with which the cloud refuses to list key pairs; None if it lists them.

        Raises OutOfTime.
        """
        page = {"Offset": 0, "Limit": 1}
        answer = self._until_not_throttled("DescribeKeyPairs", page, reserve=ANSWER_RESERVE)
        if not isinstance(answer, Failure):
            return None
        # What an endpoint sends as a code is shown to operators.
        return answer.code if re.fullmatch(r"[A-Za-z.]{1,64}", answer.code) else "unreadable"

    def _describe(self, filters: list[dict[str, object]]) -> list[KeyPairSummary]:
        found: list[KeyPairSummary] = []
        while True:
            page = {"Filters": filters, "Offset": len(found), "Limit": _PAGE}
            answer = self._until_not_throttled("DescribeKeyPairs", page, reserve=ANSWER_RESERVE)
            if isinstance(answer, Failure):
                raise _as_seen(OutcomeUnknown("describe-" + answer.family), answer)
            listed = _parse(_KeyPairs, answer)
            if listed is None:
                raise OutcomeUnknown("describe-undecodable")
            found += [pair.summary() for pair in listed.KeyPairSet]
            if not listed.KeyPairSet or len(found) >= listed.TotalCount:
                return found

    def delete_key_pair(self, key_id: str) -> bool:
        """Delete a key pair, or find it gone; return False if an instance or image uses it.

        Raises OutcomeUnknown if it may still exist.
        """
        parameters = {"KeyIds": [key_id]}
        answer = self._until_not_throttled("DeleteKeyPairs", parameters, reserve=ANSWER_RESERVE)
        if not isinstance(answer, Failure) or answer.code == "InvalidKeyPairId.NotFound":
            return True
        if answer.code == "InvalidParameterValue.KeyPairNotSupported":
            return False
        raise _as_seen(OutcomeUnknown("delete-" + answer.family), answer)

    def set_description(self, key_id: str, description: str) -> None:
        """Set the description of a key pair (ModifyKeyPairAttribute, api/213/15696).

        Raises CloudBusy, CloudRefused, CloudUnreachable or OutOfTime if it may not have been set.
        """
        parameters = {"KeyId": key_id, "Description": description}
        answer = self._until_not_throttled("ModifyKeyPairAttribute", parameters, reserve=UNDO_RESERVE)
        if isinstance(answer, Failure):
            family = answer.family
            error: type[ServiceFailed] = CloudRefused if family in _NOT_EXECUTED else CloudUnreachable
            if answer.code.startswith(_THROTTLED):
                error = CloudBusy
            raise _as_seen(error("modify-" + family), answer)

    def _until_not_throttled(
        self, action: str, parameters: Mapping[str, object], *, reserve: float
    ) -> dict[str, Any] | Failure:
        back_off = _BACK_OFF_FIRST
        while True:
            answer = self._call(action, parameters, reserve)
            if not isinstance(answer, Failure) or not answer.code.startswith(_THROTTLED):
                return answer
            # Throttled calls are not executed, so they can be repeated. Jitter spreads the retries.
            pause = back_off * (0.5 + self._jitter() / 2)
            if self._deadline.remaining() - pause < reserve + CALL_MINIMUM:
                return answer
            self._deadline.clock.sleep(pause)
            back_off = min(back_off * 2, _BACK_OFF_LONGEST)

    def _call(
        self, action: str, parameters: Mapping[str, object], reserve: float
    ) -> dict[str, Any] | Failure:
        seconds = min(CALL_TIMEOUT, self._deadline.remaining() - reserve)
        if seconds < CALL_MINIMUM:
            raise OutOfTime
        return self._api.call(action, parameters, seconds)


_Model = TypeVar("_Model", bound=_Wire)


def _parse(model: type[_Model], response: Mapping[str, Any]) -> _Model | None:
    try:
        return model.model_validate(response)
    except ValidationError:
        return None


def _create_error(failure: Failure) -> KeyPairFunctionError:
    if not failure.sent:
        return CloudUnreachable()
    if failure.code.startswith(_THROTTLED):
        return CloudBusy()
    if failure.code in _CREATE_REFUSALS:
        return _CREATE_REFUSALS[failure.code]()
    if failure.family in _NOT_EXECUTED:
        return CloudRefused("cloud-" + failure.family)
    return OutcomeUnknown("create-" + failure.family)


def _as_seen(error: KeyPairFunctionError, failure: Failure) -> KeyPairFunctionError:
    error.upstream_request_id = failure.request_id
    return error
