"""What is done to a function that is deployed: roll back, rotate secrets, change the policy, destroy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from handler.settings import PREFIX, decoded
from scripts.deployment.account import present, variables_of
from scripts.deployment.errors import DeploymentStopped
from scripts.deployment.function_settings import (
    MASTER_SECRET,
    PREVIOUS_MASTER_SECRET,
    RETIRED_MASTER_SECRETS,
    environment_variables,
    is_secret,
)
from scripts.deployment.steps import Call, Known, Smoke, Step, WaitUntilActive, learned, secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scripts.deployment.account import DeployedFunction
    from scripts.deployment.cloud import Cloud

ALIAS = "$DEFAULT"


def settings_of(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Return the function's own settings among its variables, decoded."""
    variables = variables_of(configuration)
    return decoded({name: value for name, value in variables.items() if name.startswith(PREFIX)})


def roll_back(
    cloud: Cloud,
    function: Mapping[str, str],
    deployed: DeployedFunction,
    to: str | None,
    *,
    with_secrets: bool,
    with_policy: bool,
) -> list[Step]:
    """Return the steps back to version `to`, or to the one before the present one.

    Raises DeploymentStopped if there is none, or if it accepts other master secrets or has another policy.
    Callers' secrets are derived from master secrets: those handed out since would be refused, or a secret
    that leaked would sign again. An earlier policy may accept a caller or a secret that was revoked since.
    """
    current = deployed.alias_version
    versions = [str(version["Version"]) for version in deployed.versions]
    older = [version for version in versions if current == "$LATEST" or int(version) < int(current)]
    target = to or (older[0] if older else None)
    if target is None or target not in versions:
        there = ", ".join(versions) or "none"
        raise DeploymentStopped(
            f"There is no such version to roll back to. Versions: {there}; present: {current}."
        )
    described = {str(one["Version"]): str(one.get("Description") or "") for one in deployed.versions}
    policies = [_part(described.get(version, ""), "policy") for version in (current, target)]
    if not with_policy and (policies[0] is None or policies[0] != policies[1]):
        raise DeploymentStopped(
            f"Version {target} may have another policy: whoever was revoked since would be accepted again, a "
            "caller's replaced secret too. If that is wanted: --with-policy."
        )
    if not with_secrets:
        now, then = (
            settings_of(cloud.call("scf", "GetFunction", {**function, "Qualifier": version}))
            for version in (current, target)
        )
        if not _accepted(then) <= _accepted(now):
            raise DeploymentStopped(
                f"Version {target} accepts a master secret that the present one does not: if it leaked, "
                "whoever has it could sign again. If that is wanted: --with-secrets."
            )
        if now.get(MASTER_SECRET) not in _accepted(then):
            raise DeploymentStopped(
                f"Version {target} has another master secret: rolling back undoes a rotation, and callers "
                "with new secrets are refused. If that is wanted: --with-secrets."
            )
    alias = {**function, "Name": ALIAS, "FunctionVersion": target}
    return [Call("scf", "UpdateAlias", alias, f"send requests to version {target}"), Smoke()]


def _accepted(settings: Mapping[str, str]) -> set[str]:
    """Return the master secrets that sign."""
    return {settings[name] for name in (MASTER_SECRET, PREVIOUS_MASTER_SECRET) if settings.get(name)}


def rotate(function: Mapping[str, str], deployed: DeployedFunction, new: str | None) -> list[Step]:
    """Return the steps that bring in the master secret `new`; None ends the time in which both are accepted.

    Raises DeploymentStopped if the function has no secret, is in the midst of a rotation, or was rolled back.
    """
    require_newest(deployed)
    settings = settings_of(deployed.configuration)
    present_secret = settings.get(MASTER_SECRET)
    if present_secret is None:
        raise DeploymentStopped("The function has no KEYPAIR_MASTER_SECRET. Run scripts/deploy apply.")
    if new is None and PREVIOUS_MASTER_SECRET not in settings:
        raise DeploymentStopped("There is no previous master secret, so there is nothing to finish.")
    if new is None:
        # It signs nothing any more, but key pairs that were made under it are still recognised.
        retired = [settings.pop(PREVIOUS_MASTER_SECRET, ""), settings.get(RETIRED_MASTER_SECRETS, "")]
        settings[RETIRED_MASTER_SECRETS] = ",".join(filter(None, retired))
    elif PREVIOUS_MASTER_SECRET in settings:
        raise DeploymentStopped(
            "The function still accepts a previous master secret. End that first: "
            "scripts/deploy secrets finish."
        )
    else:
        settings = {**settings, MASTER_SECRET: new, PREVIOUS_MASTER_SECRET: present_secret}
    set_ones = {name: value for name, value in settings.items() if value}
    own = [{"Key": key, "Value": value} for key, value in environment_variables(set_ones).items()]
    others = [
        {"Key": key, "Value": value}
        for key, value in deployed.variables.items()
        if not key.startswith(PREFIX)
    ]
    variables = [
        {"Key": one["Key"], "Value": secret(one["Value"]) if is_secret(one["Key"]) else one["Value"]}
        for one in sorted([*own, *others], key=lambda one: one["Key"])
    ]
    change = {**function, "Environment": {"Variables": variables}}
    return [
        Call("scf", "UpdateFunctionConfiguration", change, "change the master secret"),
        WaitUntilActive(function),
        *publish(function, _with_other_secrets(deployed)),
        Smoke(),
    ]


def require_newest(deployed: DeployedFunction) -> None:
    """Raise DeploymentStopped if requests go to another version than the newest.

    A version is published from `$LATEST`, which has the code, policy and settings of the newest version: what
    was rolled back would be live again.
    """
    live = deployed.alias_version
    newest = str(deployed.versions[0]["Version"]) if deployed.versions else live
    if live not in {newest, "$LATEST"}:
        raise DeploymentStopped(
            f"Requests go to version {live}, and this would bring version {newest} back, from which the "
            "function was rolled back. First deploy what you want to be live: scripts/deploy apply."
        )


def _part(description: str, name: str) -> str | None:
    """Return the digest of the code or the policy that a version's description has, `none` for no policy."""
    found = re.search(rf"\b{name} ([0-9a-f]{{16}}|none)\b", description, re.IGNORECASE)
    return found[1] if found else None


def _with_other_secrets(deployed: DeployedFunction) -> str:
    """Return the description of a version that has the code and the policy of the newest one."""
    before = str(deployed.versions[0].get("Description") or "") if deployed.versions else ""
    code, policy = _part(before, "code"), _part(before, "policy")
    if code is None or policy is None:
        return "Secrets changed, code as before"
    return f"Code {code}, secrets changed, policy {policy}"


def publish(function: Mapping[str, str], description: str) -> Iterator[Step]:
    """Return the steps that make a version of `$LATEST` and send requests to it."""

    def learn(answer: Mapping[str, Any], known: Known) -> None:
        known["version"] = answer["FunctionVersion"]

    version = {**function, "Description": description}
    yield Call("scf", "PublishVersion", version, "publish a version", learn)
    yield WaitUntilActive(function)
    alias = {**function, "Name": ALIAS, "FunctionVersion": learned("version")}
    yield Call("scf", "UpdateAlias", alias, "send requests to the new version")


def destroy(
    function: Mapping[str, str],
    deployed: DeployedFunction | None,
    role: str | None,
    cloud: Cloud,
    *,
    url_only: bool,
) -> list[Step]:
    """Return the steps that remove the triggers, the function, and with `role` its policies and that role.

    A role that has other policies as well is kept: another function may use it.
    """
    steps: list[Step] = []
    if deployed is not None:
        for trigger in deployed.triggers:
            if url_only and trigger["Type"] != "http":
                continue
            parameters = {
                **function,
                "TriggerName": trigger["TriggerName"],
                "Type": trigger["Type"],
                "Qualifier": trigger["Qualifier"],
            }
            steps.append(
                Call("scf", "DeleteTrigger", parameters, f"remove the trigger {trigger['TriggerName']}")
            )
        if not url_only:
            steps.append(
                Call("scf", "DeleteFunction", dict(function), "remove the function and all its versions")
            )
    if role is not None and present(cloud, "cam", "GetRole", {"RoleName": role}) is not None:
        listing = {"RoleName": role, "Page": 1, "Rp": 100}
        attached = cloud.call("cam", "ListAttachedRolePolicies", listing)["List"]
        own = [
            policy for policy in attached if policy["PolicyName"].startswith(f"{function['FunctionName']}-")
        ]
        for policy in own:
            name = policy["PolicyName"]
            detachment = {"PolicyId": int(policy["PolicyId"]), "DetachRoleName": role}
            steps.append(Call("cam", "DetachRolePolicy", detachment, f"detach the policy {name}"))
            deletion = {"PolicyId": [int(policy["PolicyId"])]}
            steps.append(Call("cam", "DeletePolicy", deletion, f"remove the policy {name}"))
        if len(own) == len(attached):
            steps.append(Call("cam", "DeleteRole", {"RoleName": role}, f"remove the role {role}"))
    return steps
