"""From what is wanted and what is there to the steps between: no call is made here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scripts.deployment.account import has_code, url_in, variables_of
from scripts.deployment.desired import DOCS, TRUST, Desired, host_of, masked, trigger_description, with_host
from scripts.deployment.errors import DeploymentStopped
from scripts.deployment.function_settings import HOSTS
from scripts.deployment.steps import (
    Call,
    Known,
    Late,
    MakeBucket,
    RemoveObject,
    Smoke,
    Step,
    Upload,
    WaitUntilActive,
    inline,
    learned,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scripts.deployment.account import Account, DeployedFunction
    from scripts.deployment.serverless_file import TimerParameters

CLS_INDEX = "cls/index.json"


def plan(desired: Desired, account: Account) -> tuple[list[Step], Known]:
    """Return the steps that lead from `account` to `desired`, and what is known before the first.

    Raises DeploymentStopped where no steps lead there.
    """
    function = account.function
    known: Known = {}
    if function is not None:
        _check_runtime(desired, function)
        if function.url is not None:
            known["url"] = function.url
    if account.logset_id:
        known["logset"] = account.logset_id
    if account.topic:
        known["topic"] = account.topic["TopicId"]
    steps = [
        *_role(desired, account),
        *_logs(desired, account),
        *_code_and_configuration(desired, account, known),
        *_release(desired, account, known),
    ]
    return steps, known


def _check_runtime(desired: Desired, function: DeployedFunction) -> None:
    there, wanted = function.configuration.get("Runtime"), desired.file.inputs.runtime
    if there != wanted:
        raise DeploymentStopped(
            f"The function runs {there}, and SCF cannot change that (wanted: {wanted}). Deploy under another "
            "`stage` in serverless.yml: that is a new function with a new URL. Then destroy the old one."
        )


def _role(desired: Desired, account: Account) -> Iterator[Step]:
    if not desired.with_role:
        return
    role = desired.file.inputs.role
    if not account.role_exists:
        trust = {"RoleName": role, "PolicyDocument": json.dumps(TRUST), "Description": "keypair-function"}
        yield Call("cam", "CreateRole", trust, f"make the role {role}")
    for name, document in desired.role_policies(account.owner.uin).items():
        there = account.role_policies.get(name)
        written = {"PolicyName": name, "PolicyDocument": json.dumps(document)}
        if there is None:
            yield Call("cam", "CreatePolicy", written, f"make the policy {name}")
        elif there.document != document:
            yield Call("cam", "UpdatePolicy", written, f"change the policy {name}")
        if there is None or not there.attached:
            attachment = {"PolicyName": name, "AttachRoleName": role}
            yield Call("cam", "AttachRolePolicy", attachment, f"attach the policy {name} to the role")


def _logs(desired: Desired, account: Account) -> Iterator[Step]:
    logs = desired.file.deployment.logs
    if logs is None:
        return
    if account.logset_id is None:
        yield Call(
            "cls",
            "CreateLogset",
            {"LogsetName": logs.logset},
            f"make the logset {logs.logset}",
            lambda answer, known: known.update(logset=answer["LogsetId"]),
        )
    if account.topic is None:
        topic = {
            "LogsetId": account.logset_id or learned("logset"),
            "TopicName": logs.topic,
            "PartitionCount": 1,
            "StorageType": "hot",
            "Period": logs.retention_days,
        }
        yield Call(
            "cls",
            "CreateTopic",
            topic,
            f"make the log topic {logs.topic}",
            lambda answer, known: known.update(topic=answer["TopicId"]),
        )
    elif account.topic["Period"] != logs.retention_days:
        period = {"TopicId": account.topic["TopicId"], "Period": logs.retention_days}
        yield Call("cls", "ModifyTopic", period, f"keep logs for {logs.retention_days} days")
    if account.topic is None or not account.topic.get("Index"):
        rule = json.loads((DOCS / CLS_INDEX).read_text(encoding="utf-8"))
        topic_id = account.topic["TopicId"] if account.topic else learned("topic")
        yield Call("cls", "CreateIndex", {"TopicId": topic_id, **rule}, "index the log topic")


def _code_and_configuration(desired: Desired, account: Account, known: Known) -> Iterator[Step]:
    function = account.function
    uploads = False
    if desired.bucket is not None and not has_code(function, desired):
        uploads = True
        if not account.bucket_exists:
            yield MakeBucket(desired.bucket)
        if not account.object_exists:
            yield Upload(desired.bucket, desired.object_key, desired.package)
    code = desired.code(account.owner.app_id, inline(desired.package))
    wait = WaitUntilActive(desired.function)
    if function is None:
        yield Call("scf", "CreateFunction", _creation(desired, code, known), "make the function")
        yield wait
    elif not has_code(function, desired):
        if function.configuration["Status"] != "Active":
            yield wait
        update = {**desired.function, "Handler": desired.file.inputs.handler, **code}
        yield Call("scf", "UpdateFunctionCode", update, "replace the code")
        yield wait
    elif function.configuration["Status"] != "Active":
        yield wait
    yield from _url(desired, function)
    if function is None or not _is_configured(desired, function, known):
        configuration = _configuration(desired, known)
        yield Call(
            "scf",
            "UpdateFunctionConfiguration",
            {**desired.function, **configuration, **_topic(desired, known)},
            "configure the function, its URL's host included",
        )
        yield wait
    if desired.bucket is not None and (uploads or account.object_exists) and not desired.keep_object:
        yield RemoveObject(desired.bucket, desired.object_key)


def _creation(desired: Desired, code: Mapping[str, Any], known: Known) -> dict[str, Any]:
    inputs = desired.file.inputs
    return {
        **desired.function,
        "Type": "Event",
        "Runtime": inputs.runtime,
        "Handler": inputs.handler,
        "Code": dict(code),
        **masked(desired.configuration(None)),
        **_topic(desired, known),
        "Tags": [{"Key": key, "Value": value} for key, value in inputs.tags.items()],
    }


def _topic(desired: Desired, known: Known) -> dict[str, Any]:
    if desired.file.deployment.logs is None:
        return {}
    return {
        "ClsLogsetId": known.get("logset") or learned("logset"),
        "ClsTopicId": known.get("topic") or learned("topic"),
    }


def _configuration(desired: Desired, known: Known) -> dict[str, Any]:
    """Return the configuration with the URL's host in it, which may be learned only on the way."""
    if "url" in known:
        return masked(desired.configuration(host_of(known["url"])))
    without_host = masked(desired.configuration(None))
    variables = [
        *shown(without_host)["Environment"]["Variables"],
        {"Key": HOSTS, "Value": "<host of the url>"},
    ]
    environment = with_host(lambda host: desired.configuration(host)["Environment"], {"Variables": variables})
    return {**without_host, "Environment": environment}


def _is_configured(desired: Desired, function: DeployedFunction, known: Known) -> bool:
    if "url" not in known or ("topic" not in known and desired.file.deployment.logs):
        return False
    wanted = desired.configuration(host_of(known["url"]))
    there = function.configuration
    plain = ("Description", "MemorySize", "Timeout", "InitTimeout", "Role")
    logs = desired.file.deployment.logs
    vpc = there.get("VpcConfig") or {}
    return (
        all(there.get(name) == wanted[name] for name in plain)
        and variables_of(there) == variables_of(wanted)
        and (there.get("PublicNetConfig") or {}).get("PublicNetStatus")
        == wanted["PublicNetConfig"]["PublicNetStatus"]
        and (logs is None or there.get("ClsTopicId") == known["topic"])
        and (
            "VpcConfig" not in wanted
            or {name: vpc.get(name) for name in wanted["VpcConfig"]} == wanted["VpcConfig"]
        )
    )


def _url(desired: Desired, function: DeployedFunction | None) -> Iterator[Step]:
    http = desired.file.inputs.http
    description = trigger_description(http)
    parameters = {
        **desired.function,
        "TriggerName": http.name,
        "Type": "http",
        "Qualifier": http.qualifier,
        "TriggerDesc": json.dumps(description),
        "Enable": "OPEN",
    }
    there = None
    if function is not None:
        there = next((trigger for trigger in function.triggers if trigger["Type"] == "http"), None)
    if there is None:
        yield Call(
            "scf",
            "CreateTrigger",
            parameters,
            "make the Function URL",
            lambda answer, known: known.update(url=url_in(answer["TriggerInfo"])),
        )
        return
    _require_qualifier(there, http.qualifier)
    if not _same_url(json.loads(there["TriggerDesc"]), description) or not there["Enable"]:
        # UpdateTrigger keeps the address; deleting and making it again would not.
        update = {**parameters, "TriggerName": there["TriggerName"]}
        yield Call("scf", "UpdateTrigger", update, "change the Function URL's settings")


def _require_qualifier(there: Mapping[str, Any], wanted: str) -> None:
    """Raise DeploymentStopped for a trigger of another version: no roll-back would have an effect on it."""
    if there["Qualifier"] != wanted:
        raise DeploymentStopped(
            f"The trigger {there['TriggerName']} leads to {there['Qualifier']} instead of {wanted}. Remove "
            "it in the console and run this again. A new Function URL has another address."
        )


def _same_url(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    network = there.get("NetConfig") or {}
    return there.get("AuthType") == wanted["AuthType"] and all(
        network.get(name) == value for name, value in wanted["NetConfig"].items()
    )


def _release(desired: Desired, account: Account, known: Known) -> Iterator[Step]:
    function = account.function
    deployment = desired.file.deployment
    reserved = deployment.reserved_concurrency_mb
    if reserved is not None and (function is None or function.reserved_mb != reserved):
        quota = {**desired.function, "ReservedConcurrencyMem": reserved}
        yield Call(
            "scf", "PutReservedConcurrencyConfig", quota, f"bound the instances to {reserved} MB together"
        )
    retry = {
        "RetryConfig": [{"RetryNum": deployment.async_retry.attempts}],
        "MsgTTL": deployment.async_retry.max_age_seconds,
    }
    if function is None or function.async_retry != retry:
        settings = {**desired.function, "AsyncTriggerConfig": retry}
        yield Call(
            "scf", "UpdateFunctionEventInvokeConfig", settings, "set the retries of asynchronous events"
        )
    yield from _tags(desired, account)
    yield from _version(desired, function, known)
    yield from _timers(desired, function)
    yield Smoke()


def _tags(desired: Desired, account: Account) -> Iterator[Step]:
    if account.function is None:
        return  # CreateFunction has set them
    there = {tag["Key"]: tag["Value"] for tag in account.function.configuration.get("Tags") or []}
    missing = {key: value for key, value in desired.file.inputs.tags.items() if there.get(key) != value}
    if missing:
        inputs = desired.file.inputs
        resource = (
            f"qcs::scf:{desired.settings.region}:uin/{account.owner.uin}:"
            f"namespace/{inputs.namespace}/function/{inputs.name}"
        )
        tags = [{"TagKey": key, "TagValue": value} for key, value in missing.items()]
        yield Call("tag", "TagResources", {"ResourceList": [resource], "Tags": tags}, "tag the function")


def _version(desired: Desired, function: DeployedFunction | None, known: Known) -> Iterator[Step]:
    marker: object = with_host(desired.marker, "<digests of code, settings and policy>")
    versions = function.versions if function else ()
    newest = versions[0] if versions else None
    if "url" in known:
        marker = desired.marker(host_of(known["url"]))
    configured = function is not None and _is_configured(desired, function, known)
    # A version is a copy of `$LATEST`: one made before the last change does not have it.
    if newest is None or newest.get("Description") != marker or not configured:
        yield Call(
            "scf",
            "PublishVersion",
            {**desired.function, "Description": marker},
            "publish a version",
            lambda answer, later: later.update(version=answer["FunctionVersion"]),
        )
        yield WaitUntilActive(desired.function)
        version: object = learned("version")
    else:
        version = newest["Version"]
    if function is None or function.alias_version != version:
        alias = {**desired.function, "Name": desired.file.deployment.alias, "FunctionVersion": version}
        yield Call("scf", "UpdateAlias", alias, "send requests to the new version")
    # The alias has left the versions before the newest one, which stays to roll back to.
    kept = desired.file.deployment.keep_versions
    for old in versions[kept - (1 if isinstance(version, Late) else 0) :]:
        parameters = {**desired.function, "Qualifier": old["Version"]}
        yield Call("scf", "DeleteFunction", parameters, f"delete version {old['Version']}")


def _timers(desired: Desired, function: DeployedFunction | None) -> Iterator[Step]:
    triggers = function.triggers if function else ()
    there = {trigger["TriggerName"]: trigger for trigger in triggers if trigger["Type"] == "timer"}
    for timer in desired.file.inputs.timers:
        parameters = {
            **desired.function,
            "TriggerName": timer.name,
            "Type": "timer",
            "Qualifier": timer.qualifier,
            "TriggerDesc": timer.cron_expression,
            "Enable": "OPEN" if timer.enable else "CLOSE",
        }
        found = there.get(timer.name)
        if timer.argument is not None or (found and found.get("CustomArgument")):
            parameters["CustomArgument"] = timer.argument or ""
        if found is None:
            yield Call("scf", "CreateTrigger", parameters, f"make the timer {timer.name}")
            continue
        _require_qualifier(found, timer.qualifier)
        if not _same_timer(found, timer):
            yield Call("scf", "UpdateTrigger", parameters, f"change the timer {timer.name}")
    wanted = {timer.name for timer in desired.file.inputs.timers}
    for name, trigger in there.items():
        qualifier = trigger["Qualifier"]
        # Timers of other versions are somebody else's.
        if name not in wanted and qualifier == desired.file.deployment.alias:
            parameters = {**desired.function, "TriggerName": name, "Type": "timer", "Qualifier": qualifier}
            yield Call(
                "scf",
                "DeleteTrigger",
                parameters,
                f"remove the timer {name}, which serverless.yml does not name",
            )


def _same_timer(there: Mapping[str, Any], wanted: TimerParameters) -> bool:
    described = str(there["TriggerDesc"])
    # Documented as {"cron": "…"}, taken and given back as the bare expression too.
    cron = json.loads(described)["cron"] if described.startswith("{") else described
    return (cron, bool(there["Enable"]), there.get("CustomArgument") or None) == (
        wanted.cron_expression,
        wanted.enable,
        wanted.argument,
    )
