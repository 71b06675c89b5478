"""`scripts/deploy policy`: replaces the policy in the code that is deployed, and nothing else of it."""

from __future__ import annotations

import hashlib
import urllib.request
from typing import TYPE_CHECKING, Any

from scripts.deployment.desired import with_code, without_code
from scripts.deployment.errors import CallFailed, DeploymentStopped
from scripts.deployment.function_settings import FunctionSettings
from scripts.deployment.operations import publish, require_newest, settings_of
from scripts.deployment.package import INDEX, POLICY, Package
from scripts.deployment.steps import (
    Call,
    MakeBucket,
    RemoveObject,
    Smoke,
    Step,
    Upload,
    WaitUntilActive,
    inline,
)
from scripts.policy_file import check_policy, pack

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from handler.policy.model import Policy
    from scripts.deployment.account import DeployedFunction, Owner
    from scripts.deployment.cloud import Cloud
    from scripts.deployment.cos import Bucket

_SHORT = 16
_TIMEOUT = 120


def policy_steps(
    cloud: Cloud,
    function: Mapping[str, str],
    deployed: DeployedFunction,
    *,
    bucket_for: Callable[[Owner, Package], Bucket | None],
    owner: Owner,
    options: argparse.Namespace,
) -> tuple[list[Step], Bucket | None]:
    """Return the steps that put the policy file into the deployed code, and the bucket they go through.

    Raises PolicyUnusable, DeploymentStopped.
    """
    require_newest(deployed)
    new = check_policy(options.policy)
    packed, index = pack(new)
    code = _download(cloud, {**function, "Qualifier": deployed.alias_version})
    package, before = Package.of(code, {POLICY: packed, INDEX: index}), Package.of(code, {})
    if not options.allow_lockout:
        _check_operators(before.raw_policy, new)
    settings = FunctionSettings({**before.settings, **settings_of(deployed.configuration)})
    settings.check_store_for(package.policy)
    if package.content == before.content:
        raise DeploymentStopped("The function has this policy already.")
    bucket = bucket_for(owner, package)
    key = f"keypair-function/{package.sha256}.zip"
    steps: list[Step] = []
    parameters: dict[str, Any] = {"ZipFile": inline(package)}
    if bucket is not None:
        if not bucket.exists():
            steps.append(MakeBucket(bucket))
        steps.append(Upload(bucket, key, package))
        parameters = {
            "CosBucketName": bucket.name.removesuffix(f"-{owner.app_id}"),
            "CosObjectName": "/" + key,
            "CosBucketRegion": bucket.region,
        }
    handler = deployed.configuration["Handler"]
    description = with_code(without_code(str(deployed.configuration.get("Description") or "")), package)
    described = {**function, "Description": description}
    wait = WaitUntilActive(function)
    steps += [
        Call(
            "scf", "UpdateFunctionCode", {**function, "Handler": handler, **parameters}, "replace the policy"
        ),
        wait,
        Call("scf", "UpdateFunctionConfiguration", described, "note the code's digest"),
        wait,
        *publish(
            function,
            f"Code {package.sha256[:_SHORT]}, settings as before, policy {package.policy_digest[:_SHORT]}",
        ),
    ]
    if bucket is not None and not options.keep_object:
        steps.append(RemoveObject(bucket, key))
    return [*steps, Smoke()], bucket


def _download(cloud: Cloud, version: Mapping[str, str]) -> bytes:
    address = cloud.call("scf", "GetFunctionAddress", version)
    try:
        with urllib.request.urlopen(address["Url"], timeout=_TIMEOUT) as answer:  # noqa: S310  # the cloud's own
            content: bytes = answer.read()
    except OSError as error:
        raise CallFailed("the download of the deployed code", "", str(error)) from error
    # SECURITY BOUNDARY: what comes from there is deployed, and the address may be http:// (583/37164). The
    # digest came from the API, over TLS.
    if hashlib.sha256(content).hexdigest() != address["CodeSha256"]:
        raise DeploymentStopped(
            "What was downloaded is not the code that SCF has, by its SHA-256. Nothing was changed. Deploy "
            "code and policy together: scripts/deploy apply."
        )
    return content


def _check_operators(old: Mapping[str, Any], new: Policy) -> None:
    """Raise DeploymentStopped if there was an operator and the new policy has none."""
    before = {name for name, caller in old["callers"].items() if caller.get("operator")}
    if before and not any(caller.operator for caller in new.callers.values()):
        raise DeploymentStopped(
            f"The new policy has no operator; until now {', '.join(sorted(before))} could read /readyz. "
            "If that is wanted: --allow-lockout."
        )
