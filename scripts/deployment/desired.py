"""What a deployment is to lead to, and the parameters of the calls that say so."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.deployment.function_settings import MASTER_SECRET, is_secret
from scripts.deployment.steps import Late, secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scripts.deployment.cos import Bucket
    from scripts.deployment.function_settings import FunctionSettings
    from scripts.deployment.package import Package
    from scripts.deployment.serverless_file import HttpParameters, ServerlessFile

DOCS = Path(__file__).parents[2] / "docs"
_SHORT = 16
"""Characters of a digest in descriptions, which people read."""
_SAMPLE_REGION, _SAMPLE_UIN = "ap-guangzhou", "100000000001"
_SAMPLE_FUNCTION = "keypair-function-prod"


@dataclass(frozen=True)
class Desired:
    """The function as it shall be."""

    file: ServerlessFile
    settings: FunctionSettings
    package: Package
    key_pair_regions: frozenset[str]
    """Regions that the policy grants to somebody; the role gets its rights there."""
    bucket: Bucket | None = None
    """Where the code goes through if it is too large for a call."""
    with_role: bool = False
    keep_object: bool = False

    @property
    def function(self) -> dict[str, str]:
        """The parameters that name the function."""
        return {"FunctionName": self.file.inputs.name, "Namespace": self.file.inputs.namespace}

    @property
    def object_key(self) -> str:
        """The object that holds the code; the digest makes a finished upload recognisable."""
        return f"keypair-function/{self.package.sha256}.zip"

    @property
    def description(self) -> str:
        """The function's description, which names the code: how a later deployment knows what is there."""
        return with_code(self.file.inputs.description, self.package)

    def code(self, app_id: str, inline: Late) -> dict[str, Any]:
        """Return the code's parameters, inline or in the bucket."""
        if self.bucket is None:
            return {"ZipFile": inline}
        return {
            # The API takes the name without the AppId, and the object's path with a slash at the beginning.
            "CosBucketName": self.bucket.name.removesuffix(f"-{app_id}"),
            "CosObjectName": "/" + self.object_key,
            "CosBucketRegion": self.bucket.region,
        }

    def configuration(self, url_host: str | None) -> dict[str, Any]:
        """Return the parameters that CreateFunction and UpdateFunctionConfiguration share."""
        inputs = self.file.inputs
        configuration: dict[str, Any] = {
            "Description": self.description,
            "MemorySize": inputs.memory_size,
            "Timeout": inputs.timeout,
            "InitTimeout": inputs.init_timeout,
            "Role": inputs.role,
            "Environment": {"Variables": _variables(self.settings.variables(url_host))},
            "PublicNetConfig": {
                "PublicNetStatus": "ENABLE" if inputs.public_access else "DISABLE",
                "EipConfig": {"EipStatus": "DISABLE"},
            },
        }
        if inputs.vpc_config:
            configuration["VpcConfig"] = {
                "VpcId": inputs.vpc_config.vpc_id,
                "SubnetId": inputs.vpc_config.subnet_id,
            }
        return configuration

    def marker(self, url_host: str) -> str:
        """Return the description of the version that has this code and this configuration.

        The digest of the settings is keyed with the master secret: a short password among them cannot be
        guessed from it.
        """
        configuration = json.dumps(self.configuration(url_host), sort_keys=True)
        key = self.settings.values[MASTER_SECRET].encode()
        digest = hmac.new(key, configuration.encode(), hashlib.sha256).hexdigest()
        code, policy = self.package.sha256[:_SHORT], self.package.policy_digest[:_SHORT] or "none"
        return f"Code {code}, settings {digest[:_SHORT]}, policy {policy}"

    def role_policies(self, owner_uin: str) -> dict[str, dict[str, Any]]:
        """Return the policies of the role: name -> document."""
        regions = sorted(self.key_pair_regions | {self.settings.region})
        policies = {f"{self.file.inputs.name}-cvm": _policy("cam-policy.json", owner_uin, regions)}
        if self.settings.has_chat:
            own = [self.settings.region]
            document = _policy("cam-policy-chat.json", owner_uin, own, self.file.inputs.name)
            policies[f"{self.file.inputs.name}-invoke"] = document
        return policies


TRUST = {
    "version": "2.0",
    "statement": [
        {
            "effect": "allow",
            "action": "name/sts:AssumeRole",
            "principal": {"service": "scf.qcloud.com"},
        }
    ],
}
"""Who may use the role: SCF, and nobody else."""


def with_code(description: str, package: Package) -> str:
    """Return the description of a function that has this code."""
    return f"{description} Code {package.sha256[:_SHORT]}.".strip()


def without_code(description: str) -> str:
    """Return a description as it was before `with_code`."""
    return re.sub(rf" ?Code [0-9a-f]{{{_SHORT}}}\.$", "", description)


def _variables(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": name, "Value": value} for name, value in sorted(values.items())]


def masked(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration whose secret variables a plan masks, pieces of one included."""
    variables = [
        {"Key": one["Key"], "Value": secret(one["Value"]) if is_secret(one["Key"]) else one["Value"]}
        for one in configuration["Environment"]["Variables"]
    ]
    return {**configuration, "Environment": {"Variables": variables}}


def with_host(of: Callable[[str], Any], shown: Any) -> Late:  # noqa: ANN401  # any JSON
    """Return what depends on the Function URL's host, which a step learns."""
    return Late(shown, lambda known: of(host_of(known["url"])))


def host_of(url: str) -> str:
    """Return the host of a URL, with the port where there is one: what callers sign for."""
    return url.partition("://")[2].partition("/")[0]


def trigger_description(parameters: HttpParameters) -> dict[str, Any]:
    """Return what a Function URL's TriggerDesc says."""
    return {
        "AuthType": parameters.auth_type,
        "NetConfig": {
            "EnableIntranet": parameters.net_config.enable_intranet,
            "EnableExtranet": parameters.net_config.enable_extranet,
        },
    }


def _policy(name: str, owner_uin: str, regions: list[str], function: str = "") -> dict[str, Any]:
    """Return a policy of docs/ for this account: one resource a region."""
    document: dict[str, Any] = json.loads((DOCS / name).read_text(encoding="utf-8"))
    for statement in document["statement"]:
        (sample,) = statement["resource"]
        statement["resource"] = [
            sample.replace(_SAMPLE_REGION, region)
            .replace(_SAMPLE_UIN, owner_uin)
            .replace(_SAMPLE_FUNCTION, function)
            for region in regions
        ]
    return document
