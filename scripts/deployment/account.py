"""What is in the account now: everything that a plan depends on, read before anything is changed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scripts.deployment.errors import CallFailed, DeploymentStopped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scripts.deployment.cloud import Cloud
    from scripts.deployment.desired import Desired

_PAGE = 100
_ABSENT = ("ResourceNotFound", "InvalidParameter.RoleNotExist")


@dataclass(frozen=True)
class RolePolicy:
    """A policy of the role."""

    document: Any
    attached: bool


@dataclass(frozen=True)
class Owner:
    """Whose account it is."""

    app_id: str
    uin: str

    @classmethod
    def read(cls, cloud: Cloud) -> Owner:
        """Ask the cloud; raise CallFailed."""
        answer = cloud.call("cam", "GetUserAppId", {})
        return cls(str(answer["AppId"]), str(answer["OwnerUin"]))


@dataclass(frozen=True)
class DeployedFunction:
    """The function and what belongs to it."""

    configuration: Mapping[str, Any]
    """As GetFunction describes `$LATEST`."""
    triggers: tuple[Mapping[str, Any], ...]
    versions: tuple[Mapping[str, Any], ...]
    """Published ones, the newest first."""
    alias_version: str
    """Where `$DEFAULT` leads."""
    reserved_mb: int | None
    async_retry: Mapping[str, Any] | None

    @property
    def url(self) -> str | None:
        """The public address of the Function URL."""
        for trigger in self.triggers:
            if trigger["Type"] == "http":
                return url_in(trigger)
        return None

    @property
    def variables(self) -> dict[str, str]:
        """The environment of `$LATEST`."""
        return variables_of(self.configuration)

    @classmethod
    def read(cls, cloud: Cloud, function: Mapping[str, str]) -> DeployedFunction | None:
        """Ask the cloud; None if there is no such function. Raises CallFailed."""
        configuration = present(cloud, "scf", "GetFunction", function)
        if configuration is None:
            return None
        triggers = cloud.call("scf", "ListTriggers", {**function, "Limit": _PAGE})["Triggers"]
        listing = {**function, "Limit": _PAGE, "Order": "DESC", "OrderBy": "AddTime"}
        versions = cloud.call("scf", "ListVersionByFunction", listing)["Versions"]
        alias = cloud.call("scf", "GetAlias", {**function, "Name": "$DEFAULT"})
        reserved = cloud.call("scf", "GetReservedConcurrencyConfig", function)
        retry = cloud.call("scf", "GetFunctionEventInvokeConfig", function)
        published = [version for version in versions if version["Version"] != "$LATEST"]
        return cls(
            configuration,
            tuple(triggers),
            tuple(sorted(published, key=lambda version: -int(version["Version"]))),
            alias["FunctionVersion"],
            reserved.get("ReservedMem"),
            retry.get("AsyncTriggerConfig"),
        )


@dataclass(frozen=True)
class Account:
    """A snapshot of the account."""

    owner: Owner
    role_exists: bool | None = None
    """None: not asked, because the role is somebody else's business."""
    role_policies: Mapping[str, RolePolicy] = field(default_factory=dict)
    logset_id: str | None = None
    topic: Mapping[str, Any] | None = None
    bucket_exists: bool | None = None
    object_exists: bool = False
    function: DeployedFunction | None = None

    @classmethod
    def read(cls, cloud: Cloud, owner: Owner, function: DeployedFunction | None, desired: Desired) -> Account:
        """Ask the cloud for all else that `desired` touches; raise CallFailed."""
        role_exists, policies = None, {}
        if desired.with_role:
            role_exists = present(cloud, "cam", "GetRole", {"RoleName": desired.file.inputs.role}) is not None
            policies = _role_policies(cloud, desired, owner, role_exists=role_exists)
        logset_id, topic = _logs(cloud, desired)
        bucket_exists, object_exists = None, False
        # Also where the code is there already: an earlier run may have ended before it removed the object.
        if desired.bucket is not None:
            bucket_exists = desired.bucket.exists()
            object_exists = bucket_exists and desired.bucket.has(desired.object_key, desired.package.md5)
        return cls(owner, role_exists, policies, logset_id, topic, bucket_exists, object_exists, function)


def has_code(function: DeployedFunction | None, desired: Desired) -> bool:
    """Tell whether `$LATEST` has the code already: its description says so, and is written after the code."""
    return (
        function is not None
        and function.configuration.get("Description") == desired.description
        and function.configuration.get("Handler") == desired.file.inputs.handler
    )


def present(cloud: Cloud, service: str, action: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a call that reads finds; None for nothing. Raises CallFailed."""
    try:
        return cloud.call(service, action, parameters)
    except CallFailed as failure:
        if failure.code.startswith(_ABSENT):
            return None
        raise


def variables_of(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment in what GetFunction answers."""
    variables = (configuration.get("Environment") or {}).get("Variables") or []
    return {variable["Key"]: variable["Value"] for variable in variables}


def url_in(trigger: Mapping[str, Any]) -> str:
    """Return the public address in a trigger of type http; raise DeploymentStopped if it names none."""
    try:
        url = json.loads(trigger["TriggerDesc"])["NetConfig"]["ExtranetUrl"]
    except (ValueError, KeyError, TypeError):
        url = None
    if not isinstance(url, str) or "://" not in url:
        raise DeploymentStopped(
            "The Function URL's trigger names no public address. Look it up in the console, "
            "and give its host as KEYPAIR_HOSTS."
        )
    return url.rstrip("/")


def _role_policies(
    cloud: Cloud, desired: Desired, owner: Owner, *, role_exists: bool
) -> dict[str, RolePolicy]:
    attached: set[str] = set()
    if role_exists:
        listing = {"RoleName": desired.file.inputs.role, "Page": 1, "Rp": _PAGE}
        answer = cloud.call("cam", "ListAttachedRolePolicies", listing)
        attached = {str(policy["PolicyName"]) for policy in answer["List"]}
    found: dict[str, RolePolicy] = {}
    for name in desired.role_policies(owner.uin):
        listing = {"Scope": "Local", "Keyword": name, "Page": 1, "Rp": _PAGE}
        for policy in cloud.call("cam", "ListPolicies", listing)["List"]:
            if policy["PolicyName"] == name:
                which = {"PolicyId": int(policy["PolicyId"])}
                document = cloud.call("cam", "GetPolicy", which)["PolicyDocument"]
                found[name] = RolePolicy(json.loads(document), name in attached)
    return found


def _logs(cloud: Cloud, desired: Desired) -> tuple[str | None, Mapping[str, Any] | None]:
    logs = desired.file.deployment.logs
    if logs is None:
        return None, None
    filters = [{"Key": "logsetName", "Values": [logs.logset]}]
    logsets = cloud.call("cls", "DescribeLogsets", {"Filters": filters, "Limit": _PAGE})["Logsets"]
    # The filter takes a part of a name as well.
    ids = [logset["LogsetId"] for logset in logsets if logset["LogsetName"] == logs.logset]
    if not ids:
        return None, None
    filters = [{"Key": "logsetId", "Values": ids[:1]}, {"Key": "topicName", "Values": [logs.topic]}]
    topics = cloud.call("cls", "DescribeTopics", {"Filters": filters, "Limit": _PAGE})["Topics"]
    named = [topic for topic in topics if topic["TopicName"] == logs.topic]
    return ids[0], named[0] if named else None
