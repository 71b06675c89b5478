"""The key pair API of CVM (Cloud Virtual Machine), through the hardened SDK.

API: https://cloud.tencent.com/document/api/213/15702 (CreateKeyPair), 15699 (DescribeKeyPairs), 15700
(DeleteKeyPairs), 15703 (ImportKeyPair), 15701 (ModifyKeyPairAttribute). CreateKeyPair has no idempotency
token and returns the private key only once. This class therefore repeats it only after a response that says
'not executed'; `handler.issuance.issuer` repeats it after a cleanup.
"""

from __future__ import annotations

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
    PublicKeyTaken,
    QuotaReached,
    TagsRefused,
    Upstream,
)
from handler.order import CALLER_TAG, KEY_ID, TAG_PREFIX
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from handler.scf.invocation import Credentials, Deadline

ENDPOINT = "https://cvm.tencentcloudapi.com"
VERSION = "2017-03-12"

CALL_TIMEOUT = 10.0
"""The longest time for one call, in seconds."""
CALL_MINIMUM = 1.0
"""With fewer seconds left, no call is begun."""
UNDO_RESERVE = 5.0
"""Seconds that creating, importing and describing leave unused, so that the key pair can be removed again."""

ANSWER_RESERVE = 0.5
"""Seconds that reading and deleting leave unused, so that the outcome can be reported."""

_PAGE = 100
_BACK_OFF_FIRST = 0.2
_BACK_OFF_LONGEST = 2.0

_THROTTLED = "RequestLimitExceeded"


def _tag_quota() -> QuotaReached:
    # Of the tags that the caller or the policy asks for: this function's own have few values.
    return QuotaReached("tag-quota")


# Error codes after which CreateKeyPair or ImportKeyPair certainly made no key pair. After any other code,
# above all InternalServerError, the outcome is unknown.
_CREATE_REFUSALS: Mapping[str, Callable[[], KeyPairFunctionError]] = {
    "InvalidKeyPairName.Duplicate": NameTaken,
    "InvalidKeyPair.LimitExceeded": QuotaReached,
    "InvalidProjectId.NotFound": ProjectNotFound,
    "InvalidPublicKey.Duplicate": PublicKeyTaken,
    "LimitExceeded.TagResourceQuota": _tag_quota,
    "LimitExceeded.TagValue": _tag_quota,
    "InvalidParameterValue.TagQuotaLimitExceeded": _tag_quota,
}
# Codes about the text of a tag. This function's own tags are always well-formed.
_TAG_REFUSALS = (
    "FailedOperation.IllegalTagKey",
    "FailedOperation.IllegalTagValue",
    "FailedOperation.TagKeyReserved",
    "InvalidParameterValue.DuplicateTags",
)
# Families of codes with which the cloud refuses a call before it does anything.
_NOT_EXECUTED = (
    "AuthFailure",
    "UnauthorizedOperation",
    "InvalidKeyPairName",
    "InvalidKeyPairNameEmpty",
    "InvalidKeyPairNameIncludeIllegalChar",
    "InvalidKeyPairNameTooLong",
    "InvalidPublicKey",
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
    "InvalidAccount",
    "OperationDenied",
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
    description: str | None
    """None if the cloud leaves the field out, which does not mean that it is empty."""
    instance_ids: tuple[str, ...]
    """The instances that use the key pair, as far as the cloud says."""
    project_id: int = 0
    public_key: str = ""
    """In OpenSSH format, with a comment; empty if the cloud leaves it out."""


_KeyId = Annotated[str, StringConstraints(pattern=rf"^{KEY_ID}$")]
_RequestId = Annotated[str, BeforeValidator(request_id_of)]


class _Wire(BaseModel):
    # SECURITY BOUNDARY: a validation error must not quote the response, which holds the private key.
    # Deferred: a model is built when the first answer of its kind comes.
    model_config = ConfigDict(hide_input_in_errors=True, extra="ignore", defer_build=True)


class _KeyPair(_Wire):
    KeyId: _KeyId
    KeyName: str = ""
    PublicKey: str = ""
    PrivateKey: SecretBytes = SecretBytes(b"")


class _Created(_Wire):
    KeyPair: _KeyPair
    RequestId: _RequestId = ""


class _Imported(_Wire):
    KeyId: _KeyId
    RequestId: _RequestId = ""


class _Tag(_Wire):
    Key: str
    Value: str


class _Listed(_Wire):
    KeyId: str
    KeyName: str
    Tags: list[_Tag] | None = None
    CreatedTime: str | None = None
    Description: str | None = None
    AssociatedInstanceIds: list[str] | None = None
    ProjectId: int | None = None
    PublicKey: str | None = None

    def summary(self) -> KeyPairSummary:
        return KeyPairSummary(
            self.KeyId,
            self.KeyName,
            {tag.Key: tag.Value for tag in self.Tags or ()},
            self.CreatedTime or "",
            self.Description,
            tuple(self.AssociatedInstanceIds or ()),
            self.ProjectId or 0,
            self.PublicKey or "",
        )


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
        created = _parse(_Created, self._make("CreateKeyPair", name, project_id, tags))
        # Without an id the key pair cannot be deleted directly; cleanup finds it by name and tag.
        if created is None:
            raise OutcomeUnknown("create-undecodable")
        pair = created.KeyPair
        return CreatedKeyPair(pair.KeyId, pair.KeyName, pair.PublicKey, pair.PrivateKey, created.RequestId)

    def import_key_pair(
        self, name: str, project_id: int, tags: Mapping[str, str], public_key: str
    ) -> CreatedKeyPair:
        """Import a public key (ImportKeyPair, api/213/15703); return the key pair without a private key.

        Raises the errors of `create_key_pair`, and PublicKeyTaken.
        """
        try:
            answer = self._make("ImportKeyPair", name, project_id, tags, {"PublicKey": public_key})
        except PublicKeyTaken as taken:
            key = public_key.split()
            taken.elsewhere = any(
                pair.key_name != name and pair.public_key.split()[:2] == key for pair in self._describe()
            )
            raise
        imported = _parse(_Imported, answer)
        if imported is None:
            raise OutcomeUnknown("import-undecodable")
        return CreatedKeyPair(imported.KeyId, name, public_key, SecretBytes(b""), imported.RequestId)

    def _make(
        self,
        action: str,
        name: str,
        project_id: int,
        tags: Mapping[str, str],
        more: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        parameters = {
            "KeyName": name,
            "ProjectId": project_id,
            "TagSpecification": [
                {
                    "ResourceType": "keypair",
                    "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
                }
            ],
            **(more or {}),
        }
        answer = self._until_not_throttled(action, parameters, reserve=UNDO_RESERVE)
        if isinstance(answer, Failure):
            raise _as_seen(_create_error(answer, tags), answer)
        return answer

    def find_key_pairs(self, name: str) -> list[KeyPairSummary]:
        """Return the key pairs that the cloud finds by `name`; raise OutcomeUnknown if the call fails."""
        return self._describe([{"Name": "key-name", "Values": [name]}])

    def find_key_pair(self, key_id: str) -> KeyPairSummary | None:
        """Return the key pair with this id, or None; raise OutcomeUnknown if the call fails."""
        try:
            found = self._described({"KeyIds": [key_id]}).KeyPairSet
        except OutcomeUnknown as error:
            # The cloud takes ids of one length only, and says so instead of returning nothing.
            if error.reason != "describe-InvalidKeyPairId":
                raise
            return None
        return next((pair.summary() for pair in found if pair.KeyId == key_id), None)

    def tagged_key_pairs(self) -> list[KeyPairSummary]:
        """Return all key pairs with a caller tag; raise OutcomeUnknown if the call fails."""
        return self._describe([{"Name": "tag-key", "Values": [CALLER_TAG]}])

    def count_key_pairs(self) -> int:
        """Return how many key pairs the account has; raise OutcomeUnknown if the call fails."""
        return self._described({"Limit": 1}).TotalCount

    def refusal(self) -> str | None:
        """Return the code with which the cloud refuses to list key pairs; None if it lists them.

        Raises OutOfTime.
        """
        page = {"Offset": 0, "Limit": 1}
        answer = self._until_not_throttled("DescribeKeyPairs", page, reserve=ANSWER_RESERVE)
        if not isinstance(answer, Failure):
            return None
        return answer.public_code

    def _describe(self, filters: Sequence[dict[str, object]] = ()) -> list[KeyPairSummary]:
        found: list[KeyPairSummary] = []
        while True:
            listed = self._described({"Filters": list(filters), "Offset": len(found), "Limit": _PAGE})
            found += [pair.summary() for pair in listed.KeyPairSet]
            if not listed.KeyPairSet or len(found) >= listed.TotalCount:
                return found

    def _described(self, parameters: Mapping[str, object]) -> _KeyPairs:
        answer = self._until_not_throttled("DescribeKeyPairs", parameters, reserve=ANSWER_RESERVE)
        if isinstance(answer, Failure):
            raise _as_seen(OutcomeUnknown("describe-" + answer.family), answer)
        listed = _parse(_KeyPairs, answer)
        if listed is None:
            raise OutcomeUnknown("describe-undecodable")
        return listed

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
        """Set the description of a key pair (ModifyKeyPairAttribute, api/213/15701).

        Repeats the call while there is time: setting it twice does no harm, and a new key pair may not be
        visible yet. Raises CloudBusy, CloudRefused, CloudUnreachable or OutOfTime if it may be missing.
        """
        parameters = {"KeyId": key_id, "Description": description}
        problem: KeyPairFunctionError = OutOfTime()
        for _ in self.looks():
            answer = self._until_not_throttled("ModifyKeyPairAttribute", parameters, reserve=UNDO_RESERVE)
            if not isinstance(answer, Failure):
                return
            if answer.code.startswith(_THROTTLED):
                raise _as_seen(CloudBusy("modify-" + answer.family), answer)
            if answer.family in _NOT_EXECUTED:
                raise _as_seen(CloudRefused("modify-" + answer.family), answer)
            problem = _as_seen(CloudUnreachable("modify-" + answer.family), answer)
        raise problem

    def looks(self, reserve: float = UNDO_RESERVE) -> Iterator[None]:
        """Yield for a look at the cloud, and again after pauses, until `reserve` seconds are left."""
        yield
        back_off = _BACK_OFF_FIRST
        while self._pause(back_off, reserve=reserve):
            yield
            back_off = min(back_off * 2, _BACK_OFF_LONGEST)

    def _pause(self, seconds: float, *, reserve: float) -> bool:
        """Wait for about `seconds`; return False, at once, if that leaves no time for another call."""
        # Jitter spreads the retries.
        pause = seconds * (0.5 + self._jitter() / 2)
        if self._deadline.remaining() - pause < reserve + CALL_MINIMUM:
            return False
        self._deadline.clock.sleep(pause)
        return True

    def _until_not_throttled(
        self, action: str, parameters: Mapping[str, object], *, reserve: float
    ) -> dict[str, Any] | Failure:
        answer: dict[str, Any] | Failure = Failure(_THROTTLED)
        for _ in self.looks(reserve):
            answer = self._call(action, parameters, reserve)
            # Throttled calls are not executed, so they can be repeated.
            if not isinstance(answer, Failure) or not answer.code.startswith(_THROTTLED):
                break
        return answer

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


def _create_error(failure: Failure, tags: Mapping[str, str]) -> KeyPairFunctionError:
    if not failure.sent:
        return CloudUnreachable()
    if failure.code.startswith(_THROTTLED):
        return CloudBusy()
    if failure.code in _CREATE_REFUSALS:
        return _CREATE_REFUSALS[failure.code]()
    if failure.code in _TAG_REFUSALS and not all(key.startswith(TAG_PREFIX) for key in tags):
        return TagsRefused()
    if failure.family in _NOT_EXECUTED or failure.code in _TAG_REFUSALS:
        return CloudRefused("cloud-" + failure.family)
    return OutcomeUnknown("create-" + failure.family)


def _as_seen(error: KeyPairFunctionError, failure: Failure) -> KeyPairFunctionError:
    error.upstream = Upstream(failure.request_id, failure.public_code, failure.message)
    return error
