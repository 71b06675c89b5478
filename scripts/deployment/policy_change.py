"""`scripts/deploy policy`: replaces the policy in the code that is deployed, and nothing else of it."""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from typing import TYPE_CHECKING, Any

from handler.policy.model import Policy
from scripts.deployment.errors import CallFailed, DeploymentStopped
from scripts.deployment.operations import publish
from scripts.deployment.package import POLICY, Package
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
from scripts.policy_file import check_policy

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

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
    new = check_policy(options.policy)
    code = _download(cloud, {**function, "Qualifier": deployed.alias_version})
    if not options.allow_lockout:
        _check_operators(_packed_policy(code), new)
    package = Package.of(code, {POLICY: json.dumps(new).encode()})
    if package.content == Package.of(code, {}).content:
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
    before = str(deployed.configuration.get("Description") or "").partition(" Code ")[0]
    described = {**function, "Description": f"{before} Code {package.sha256[:_SHORT]}.".strip()}
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
    url = cloud.call("scf", "GetFunctionAddress", version)["Url"]
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310  # the cloud's own address
            content: bytes = answer.read()
    except OSError as error:
        raise CallFailed("the download of the deployed code", "", str(error)) from error
    return content


def _packed_policy(code: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        if POLICY not in archive.namelist():
            return {"callers": {}}
        policy: dict[str, Any] = json.loads(archive.read(POLICY))
    return policy


def _check_operators(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise DeploymentStopped if there was an operator and the new policy has none."""

    def operators(policy: Mapping[str, Any]) -> set[str]:
        return {name for name, caller in Policy.parse(policy).callers.items() if caller.operator}

    before = operators(old)
    if before and not operators(new):
        raise DeploymentStopped(
            f"The new policy has no operator; until now {', '.join(sorted(before))} could read /readyz. "
            "If that is wanted: --allow-lockout."
        )
