import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_pascal

from .conduct import Conduct
from .errors import ApiError
from .faults import ExtraText, Fault, Mismatch, NoFinalNewline, NoKeyPair, OtherName, SkeyComment, Weak
from .keys import Key, KeyPool, weak_key
from .state import KeyPair, PublicKeyTakenError, State

_KEY_ID_CHARACTERS = string.digits + string.ascii_lowercase
_KEY_ID = re.compile(r"skey-[0-9a-z]{8}")
_NAME = re.compile(r"[A-Za-z0-9_]+")
_LONGEST_NAME = 25
_LONGEST_DESCRIPTION = 60
_KEY_IDS_AT_ONCE = 100
_LARGEST_PAGE = 100
_FILTERS = 10
_FILTER_VALUES = 5
_TAGS = 50
_LONGEST_TAG_KEY = 127
_LONGEST_TAG_VALUE = 255
_FILTER_NAMES = {"project-id", "key-name", "tag-key", "tag-value"}
_RESERVED_TAG_PREFIXES = ("qcs:", "project:")
_RESERVED_TAG_KEYS = {"project", "项目"}
# 651/13334: Chinese and English letters, digits, blanks and + - = . _ : / @ ( )
_TAG_TEXT = re.compile(r"[A-Za-z0-9\u3400-\u4dbf\u4e00-\u9fff +\-=._:/@()（）]+")


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_pascal)


class _Tag(_Parameters):
    key: str
    value: str


class _TagSpecification(_Parameters):
    resource_type: str
    tags: list[_Tag]


class _Filter(_Parameters):
    name: str
    values: list[str]


class _Create(_Parameters):
    key_name: str
    project_id: int
    tag_specification: list[_TagSpecification] = []


class _Import(_Create):
    public_key: str


class _Describe(_Parameters):
    key_ids: list[str] = []
    filters: list[_Filter] = []
    offset: int = 0
    limit: int = 20


class _Delete(_Parameters):
    key_ids: list[str]


class _Modify(_Parameters):
    key_id: str
    key_name: str | None = None
    description: str | None = None


Result = dict[str, object]


@dataclass(frozen=True)
class Call:
    """One call of an action: its decoded body, its fault if any, and its region."""

    body: object
    fault: Fault | None
    region: str


Action = Callable[[Call], Result]
_P = TypeVar("_P", bound=_Parameters)


class Actions:
    """The key pair actions of https://cloud.tencent.com/document/api/213/15688.

    Every action takes a call, returns what `Response` holds (without the RequestId),
    and raises ApiError.
    """

    def __init__(
        self,
        state: State,
        keys: KeyPool,
        conduct: Conduct,
        *,
        project_ids: frozenset[int],
        creation_time: Callable[[], float],
    ) -> None:
        self._state = state
        self._keys = keys
        self._conduct = conduct
        self._project_ids = project_ids
        self._creation_time = creation_time
        self.by_name: Mapping[str, Action] = {
            "CreateKeyPair": self._create,
            "DescribeKeyPairs": self._describe,
            "DeleteKeyPairs": self._delete,
            "ImportKeyPair": self._import,
            "ModifyKeyPairAttribute": self._modify,
        }

    def _create(self, call: Call) -> Result:
        order, fault = _parsed(_Create, call.body), call.fault
        tags = self._checked(order, reserved_code="FailedOperation.TagKeyReserved")
        while True:
            key = weak_key() if isinstance(fault, Weak) else self._keys.take()
            try:
                key_pair = self._add(order, key.public_key, tags, call.region)
            except PublicKeyTakenError:
                # An earlier process used the same pool file with the same state.
                continue
            except ApiError:
                if not isinstance(fault, Weak):
                    self._keys.put_back(key)
                raise
            break
        return self._created(key_pair, key, fault)

    def _created(self, key_pair: KeyPair, key: Key, fault: Fault | None) -> Result:
        private_pem = self._keys.hand_out(key)
        comment = key_pair.key_id
        name = key_pair.name
        match fault:
            case NoKeyPair():
                return {}
            case Mismatch():
                private_pem = self._keys.hand_out(self._keys.take())
            case NoFinalNewline():
                private_pem = private_pem.rstrip("\n")
            case ExtraText():
                private_pem = f"Text before the key\n{private_pem}Text after the key\n"
            case SkeyComment():
                comment = "skey_112168"
            case OtherName(name=other_name):
                name = other_name
            case _:
                pass
        return {
            "KeyPair": {
                "KeyId": key_pair.key_id,
                "KeyName": name,
                "ProjectId": key_pair.project_id,
                "PublicKey": f"{key_pair.public_key} {comment}",
                "PrivateKey": private_pem,
            }
        }

    def _import(self, call: Call) -> Result:
        order = _parsed(_Import, call.body)
        tags = self._checked(order, reserved_code="InvalidParameterValue")
        try:
            public_key = _public_key(order.public_key)
            return {"KeyId": self._add(order, public_key, tags, call.region).key_id}
        except PublicKeyTakenError as taken:
            raise ApiError("InvalidPublicKey.Duplicate", "The public key exists already.") from taken

    def _describe(self, call: Call) -> Result:
        query = _parsed(_Describe, call.body)
        if query.key_ids and query.filters:
            raise ApiError("InvalidParameter", "`KeyIds` and `Filters` exclude each other.")
        _check_key_ids(query.key_ids)
        if not 1 <= query.limit <= _LARGEST_PAGE:
            raise ApiError("InvalidParameterValueLimit", f"`Limit` must be 1 to {_LARGEST_PAGE}.")
        if query.offset < 0:
            raise ApiError("InvalidParameterValueOffset", "`Offset` must not be negative.")
        _check_filters(query.filters)
        names = next((wanted.values for wanted in query.filters if wanted.name == "key-name"), None)
        if names is not None:
            # Invalid names may not even be text that a database accepts.
            names = [name for name in names if _NAME.fullmatch(name)]
        stored = self._state.all(key_ids=query.key_ids or None, names=names)
        stored += [
            key_pair
            for key_pair in self._conduct.still_shown()
            if (not query.key_ids or key_pair.key_id in query.key_ids)
        ]
        if self._conduct.settings.separate_regions:
            stored = [key_pair for key_pair in stored if key_pair.region == call.region]
        filtered = bool(query.filters)
        seen = [self._conduct.shown(key_pair, filtered=filtered) for key_pair in stored]
        found = [key_pair for key_pair in seen if key_pair is not None]
        for wanted in query.filters:
            found = [
                key_pair
                for key_pair in found
                if not _properties(key_pair, wanted.name).isdisjoint(wanted.values)
            ]
        page = found[query.offset : query.offset + query.limit]
        return {
            "TotalCount": len(found),
            "KeyPairSet": [self._conduct.described(key_pair) for key_pair in page],
        }

    def _delete(self, call: Call) -> Result:
        key_ids = _parsed(_Delete, call.body).key_ids
        if not key_ids:
            raise ApiError("MissingParameter", "The request is missing the parameter `KeyIds`.")
        _check_key_ids(key_ids)
        for key_id in key_ids:
            if self._conduct.lags(key_id, "delete"):
                raise ApiError("InvalidKeyPairId.NotFound", f"The key pair `{key_id}` does not exist.")
        self._conduct.remember_deleted(self._state.delete(key_ids))
        return {}

    def _modify(self, call: Call) -> Result:
        change = _parsed(_Modify, call.body)
        _check_key_ids([change.key_id])
        if change.key_name is None and change.description is None:
            raise ApiError("MissingParameter", "The request is missing `KeyName` or `Description`.")
        if change.key_name is not None:
            _check_name(change.key_name)
        if change.description is not None and len(change.description) > _LONGEST_DESCRIPTION:
            raise ApiError("InvalidParameterValue", "`Description` is longer than 60 characters.")
        if self._conduct.lags(change.key_id, "modify"):
            raise ApiError("InvalidKeyPairId.NotFound", f"The key pair `{change.key_id}` does not exist.")
        description = self._conduct.kept_description(change.description)
        self._state.modify(change.key_id, change.key_name, description)
        return {}

    def _checked(self, order: _Create, reserved_code: str) -> dict[str, str]:
        _check_name(order.key_name)
        if order.project_id not in self._project_ids:
            raise ApiError("InvalidProjectId.NotFound", f"The project {order.project_id} does not exist.")
        self._conduct.check_balance()
        tags = _checked_tags(order.tag_specification, reserved_code)
        self._conduct.check_tag_quota(self._state.tags(), tags)
        return tags

    def _add(self, order: _Create, public_key: str, tags: dict[str, str], region: str) -> KeyPair:
        key_pair = KeyPair(
            key_id="skey-" + "".join(secrets.choice(_KEY_ID_CHARACTERS) for _ in range(8)),
            name=order.key_name,
            project_id=order.project_id,
            public_key=public_key,
            created_at=int(self._creation_time()),
            tags=self._conduct.kept_tags(tags),
            region=region,
        )
        self._state.add(key_pair)
        return key_pair


def _parsed(model: type[_P], body: object) -> _P:
    try:
        return model.model_validate(body)
    except ValidationError as invalid:
        problem = invalid.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in problem["loc"])
    if problem["type"] == "missing":
        raise ApiError("MissingParameter", f"The request is missing the parameter `{where}`.")
    if problem["type"] == "extra_forbidden":
        raise ApiError("UnknownParameter", f"The parameter `{where}` is not recognized.")
    raise ApiError("InvalidParameterValue", f"The value of the parameter `{where}` is of the wrong type.")


def _check_name(name: str) -> None:
    # The codes really have no dot between InvalidKeyPairName and the rest.
    if not name:
        raise ApiError("InvalidKeyPairNameEmpty", "`KeyName` is empty.")
    if len(name) > _LONGEST_NAME:
        raise ApiError("InvalidKeyPairNameTooLong", f"`KeyName` is longer than {_LONGEST_NAME} characters.")
    if _NAME.fullmatch(name) is None:
        raise ApiError(
            "InvalidKeyPairNameIncludeIllegalChar", "`KeyName` may hold letters, digits and underscores only."
        )


def _checked_tags(specifications: list[_TagSpecification], reserved_code: str) -> dict[str, str]:
    tags: dict[str, str] = {}
    for specification in specifications:
        if specification.resource_type != "keypair":
            raise ApiError("InvalidParameterValue", "`ResourceType` must be `keypair`.")
        for tag in specification.tags:
            if tag.key.startswith(_RESERVED_TAG_PREFIXES) or tag.key in _RESERVED_TAG_KEYS:
                raise ApiError(reserved_code, f"The prefix of the tag key `{tag.key}` is reserved.")
            if (
                not 1 <= len(tag.key) <= _LONGEST_TAG_KEY
                or not 1 <= len(tag.value) <= _LONGEST_TAG_VALUE
                or tag.key != tag.key.strip()
                or tag.value != tag.value.strip()
                or tag.key in tags
            ):
                raise ApiError(
                    "InvalidParameterValue", "A tag key or value is of a wrong length or form, or repeated."
                )
            if not _TAG_TEXT.fullmatch(tag.key):
                raise ApiError("FailedOperation.IllegalTagKey", f"The tag key `{tag.key}` is illegal.")
            if not _TAG_TEXT.fullmatch(tag.value):
                raise ApiError("FailedOperation.IllegalTagValue", f"The tag value `{tag.value}` is illegal.")
            tags[tag.key] = tag.value
    if len(tags) > _TAGS:
        raise ApiError("LimitExceeded.TagResourceQuota", f"A resource carries at most {_TAGS} tags.")
    return tags


def _check_key_ids(key_ids: list[str]) -> None:
    if len(key_ids) > _KEY_IDS_AT_ONCE:
        raise ApiError("InvalidParameterValue.LimitExceeded", f"At most {_KEY_IDS_AT_ONCE} `KeyIds`.")
    for key_id in key_ids:
        if _KEY_ID.fullmatch(key_id) is None:
            raise ApiError("InvalidKeyPairId.Malformed", f"`{key_id}` is not the id of a key pair.")


def _check_filters(filters: list[_Filter]) -> None:
    if len(filters) > _FILTERS:
        raise ApiError("InvalidParameterValue.LimitExceeded", f"At most {_FILTERS} `Filters`.")
    for wanted in filters:
        if wanted.name not in _FILTER_NAMES and not wanted.name.startswith("tag:"):
            raise ApiError("InvalidFilter", f"There is no filter `{wanted.name}`.")
        if len(wanted.values) > _FILTER_VALUES:
            raise ApiError(
                "InvalidFilterValue.LimitExceeded", f"At most {_FILTER_VALUES} `Values` in a filter."
            )


def _properties(key_pair: KeyPair, filter_name: str) -> set[str]:
    return {
        "project-id": {str(key_pair.project_id)},
        "key-name": {key_pair.name},
        "tag-key": set(key_pair.tags),
        "tag-value": set(key_pair.tags.values()),
        **{f"tag:{key}": {value} for key, value in key_pair.tags.items()},
    }.get(filter_name, set())


def _public_key(text: str) -> str:
    """Return `ssh-rsa BASE64`; the server replaces the comment with its own."""
    try:
        key = load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm) as malformed:
        raise ApiError("InvalidPublicKey.Malformed", "`PublicKey` is no OpenSSH public key.") from malformed
    if not isinstance(key, rsa.RSAPublicKey):
        raise ApiError("InvalidPublicKey.Malformed", "`PublicKey` is no RSA key.")
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
