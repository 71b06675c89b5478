"""All key pair actions with unmodified clients: the typed one for Python, the SDK for Node, and tccli."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tencentcloud.common.exception import TencentCloudSDKException
from tencentcloud.cvm.v20170312 import cvm_client, models

from handler.issuance.cleanup import RELEASED
from tests.support.command_line import TCCLI
from tests.support.function_process import ROOT, FunctionProcess, running_function
from tests.support.sdk import credential, profile

if TYPE_CHECKING:
    from collections.abc import Iterator

# The SDK's, from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")

IDENTITY = pyrage.x25519.Identity.generate()


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionProcess]:
    grant = {"names": ["*"], "regions": ["ap-guangzhou"], "actions": ["create", "list", "delete", "import"]}
    registered = [str(IDENTITY.to_public())]
    policy = tmp_path_factory.mktemp("policy") / "policy.json"
    policy.write_text(
        json.dumps({"callers": {"demo": {"tc3": True, "recipients": registered, "grants": [grant]}}})
    )
    with running_function(emulator=True, policy=policy) as running:
        yield running


def by_typed_client(function: FunctionProcess, action: str, parameters: dict[str, object]) -> dict[str, Any]:
    client = cvm_client.CvmClient(credential(function), "ap-guangzhou", profile(function))
    request = getattr(models, f"{action}Request")()
    request.from_json_string(json.dumps(parameters))
    try:
        answer: dict[str, Any] = json.loads(getattr(client, action)(request).to_json_string())
    except TencentCloudSDKException as error:
        return {"Error": {"Code": error.get_code()}}
    return answer


def by_node(function: FunctionProcess, action: str, parameters: dict[str, object]) -> dict[str, Any]:
    environment = {
        "PATH": os.environ["PATH"],
        "ENDPOINT": function.url.removeprefix("http://").rstrip("/"),
        "SECRET_ID": function.info["secretId"],
        "SECRET_KEY": function.info["secretKey"],
        "ACTION": action,
        "PARAMETERS": json.dumps(parameters),
    }
    folder = ROOT / "tests" / "support" / "node"
    done = subprocess.run(["node", "call.mjs"], cwd=folder, env=environment, check=True, capture_output=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def by_tccli(function: FunctionProcess, action: str, parameters: dict[str, object]) -> dict[str, Any]:
    if not TCCLI.exists():
        pytest.skip("tccli is not here; scripts/test installs it")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.path.dirname(function.info["auditLog"]),  # noqa: PTH120  # a text
        "TENCENTCLOUD_SECRET_ID": function.info["secretId"],
        "TENCENTCLOUD_SECRET_KEY": function.info["secretKey"],
        "TENCENTCLOUD_REGION": "ap-guangzhou",
    }
    command = [str(TCCLI), "cvm", action, "--endpoint", function.url.rstrip("/")]
    for name, value in parameters.items():
        command += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        refused = re.search(r"code:(\S+)", done.stdout + done.stderr)
        assert refused, done
        return {"Error": {"Code": refused[1]}}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


CLIENTS = {"typed": by_typed_client, "node": by_node, "tccli": by_tccli}


@pytest.mark.parametrize("client", CLIENTS)
def test_all_actions(function: FunctionProcess, client: str) -> None:
    def call(action: str, **parameters: object) -> dict[str, Any]:
        return CLIENTS[client](function, action, parameters)

    made = call("CreateKeyPair", KeyName=f"{client}_1", ProjectId=0)["KeyPair"]
    assert b"PRIVATE KEY" in pyrage.decrypt(made["PrivateKey"].encode(), [IDENTITY])
    key = rsa.generate_private_key(65537, 2048).public_key()
    line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    imported = call("ImportKeyPair", KeyName=f"{client}_2", ProjectId=0, PublicKey=line)["KeyId"]

    found = call("DescribeKeyPairs", KeyIds=[imported])
    (pair,) = found["KeyPairSet"]
    assert (found["TotalCount"], pair["KeyName"], pair["PublicKey"]) == (1, f"{client}_2", line)
    names = [{"Name": "key-name", "Values": [f"{client}_1", f"{client}_2", "other"]}]
    found = call("DescribeKeyPairs", Filters=names, Offset=1, Limit=5)
    assert (found["TotalCount"], [pair["KeyId"] for pair in found["KeyPairSet"]]) == (2, [imported])

    assert "Error" not in call("ModifyKeyPairAttribute", KeyId=imported, Description=RELEASED)
    renamed = call("ModifyKeyPairAttribute", KeyId=imported, KeyName=f"{client}_3")
    assert renamed["Error"]["Code"] == "UnsupportedOperation"
    assert "Error" not in call("DeleteKeyPairs", KeyIds=[imported, made["KeyId"]])
    assert call("DescribeKeyPairs", Filters=names)["TotalCount"] == 0
    gone = call("DeleteKeyPairs", KeyIds=["skey-00000000"])
    assert gone["Error"]["Code"] == "InvalidKeyPairId.NotFound"
