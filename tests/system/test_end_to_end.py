"""The function as its users meet it: served over HTTP, called with the real clients, opened with real age."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tencentcloud.common.common_client import CommonClient
from tencentcloud.cvm.v20170312 import cvm_client, models

from scripts.packaging.__main__ import main as build
from scripts.python310 import find_python310
from tests.support.command_line import TCCLI, caller_environment, policy_with
from tests.support.function_process import ROOT, FunctionProcess, running_function
from tests.support.leaks import leaks
from tests.support.sdk import credential, profile

if TYPE_CHECKING:
    from collections.abc import Iterator


# The SDK's, from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning")


@dataclass(frozen=True)
class Identity:
    """An age identity of the caller's, and where its file lies."""

    file: Path
    recipient: str

    def open(self, ciphertext: str) -> bytes:
        return subprocess.run(
            ["age", "-d", "-i", str(self.file)], input=ciphertext.encode(), check=True, capture_output=True
        ).stdout


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    file = tmp_path_factory.mktemp("identity") / "key.txt"
    subprocess.run(["age-keygen", "-o", str(file)], check=True, capture_output=True)
    recipient = subprocess.run(
        ["age-keygen", "-y", str(file)], check=True, capture_output=True, text=True
    ).stdout
    return Identity(file, recipient.strip())


@contextmanager
def served(folder: Path, identity: Identity, package: Path | None) -> Iterator[FunctionProcess]:
    policy = policy_with(folder, identity.recipient)
    with running_function(emulator=True, policy=policy, package=package) as function:
        yield function


@pytest.fixture(scope="module", params=["source", pytest.param("package", marks=pytest.mark.slow)])
def function(
    request: pytest.FixtureRequest, identity: Identity, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FunctionProcess]:
    folder = tmp_path_factory.mktemp(request.param)
    package = None
    if request.param == "package":
        if find_python310() is None:
            pytest.skip("no Python 3.10 here, on which the package runs")
        package = folder / "function.zip"
        policy = policy_with(folder, identity.recipient)
        arguments = ["--output", str(package), "--policy", str(policy)]
        assert build(arguments, root=ROOT, environment=os.environ) == 0
    with served(folder, identity, package) as running:
        yield running


def by_common_client(function: FunctionProcess, identity: Identity) -> tuple[str, str]:
    client = CommonClient("cvm", "2017-03-12", credential(function), "ap-guangzhou", profile(function))
    order = {"KeyName": "common_client", "ProjectId": 0, "Recipients": [identity.recipient]}
    pair = client.call_json("CreateKeyPair", order)["Response"]["KeyPair"]
    return pair["PublicKey"], pair["PrivateKey"]


def by_typed_client(function: FunctionProcess, _identity: Identity) -> tuple[str, str]:
    client = cvm_client.CvmClient(credential(function), "ap-guangzhou", profile(function))
    order = models.CreateKeyPairRequest()
    order.KeyName = "typed_client"
    order.ProjectId = 0
    pair = client.CreateKeyPair(order).KeyPair
    return pair.PublicKey, pair.PrivateKey


def by_curl(function: FunctionProcess, identity: Identity) -> tuple[str, str]:
    environment = caller_environment(function)
    command = [str(ROOT / "docs" / "curl-client.sh"), "curl", identity.recipient, "one-and-the-same"]
    first = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    answer = json.loads(first)
    return answer["publicKey"], answer["sealedPrivateKey"]["ciphertext"]


def by_tccli(function: FunctionProcess, _identity: Identity) -> tuple[str, str]:
    if not TCCLI.exists():
        pytest.skip("tccli is not here; scripts/test installs it")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(Path(function.info["auditLog"]).parent),
        "TENCENTCLOUD_SECRET_ID": function.info["secretId"],
        "TENCENTCLOUD_SECRET_KEY": function.info["secretKey"],
        "TENCENTCLOUD_REGION": "ap-guangzhou",
    }
    endpoint = function.url.rstrip("/")
    command = [
        str(TCCLI),
        "cvm",
        "CreateKeyPair",
        "--KeyName",
        "tccli",
        "--ProjectId",
        "0",
        "--endpoint",
        endpoint,
    ]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    pair = json.loads(printed)["KeyPair"]
    return pair["PublicKey"], pair["PrivateKey"]


CLIENTS = {
    "common_client": by_common_client,
    "typed_client": by_typed_client,
    "curl": by_curl,
    "tccli": by_tccli,
}


def key_pairs(function: FunctionProcess) -> list[dict[str, Any]]:
    with urllib.request.urlopen(function.info["controlUrl"] + "/state", timeout=10) as state:  # noqa: S310  # loopback
        found: list[dict[str, Any]] = json.load(state)["keyPairs"]
        return found


def test_repository_has_the_tools() -> None:
    """In CI nothing may be skipped for want of a tool."""
    if os.environ.get("CI") == "true":
        assert TCCLI.exists()
        assert find_python310() is not None


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_gets_a_key_pair_that_only_its_identity_opens(
    function: FunctionProcess, identity: Identity, client: str, tmp_path: Path
) -> None:
    public_key, sealed = CLIENTS[client](function, identity)

    private_key = tmp_path / "key.pem"
    private_key.touch(mode=0o600)
    private_key.write_bytes(identity.open(sealed))
    printed = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(private_key)], check=True, capture_output=True, text=True
    )
    assert " ".join(printed.stdout.split()[:2]) == public_key

    [pair] = [pair for pair in key_pairs(function) if pair["KeyName"] == client]
    tags = {tag["Key"]: tag["Value"] for tag in pair["Tags"]}
    assert tags["keypair-function:caller"] == "demo"
    assert len([key for key in tags if key.startswith("keypair-function:mark-")]) == 15

    lines = [line for line in function.audit_lines() if line.get("keyName") == client]
    assert [line["decision"] for line in lines] == ["intent", "issued"]
    assert lines[1]["keyId"] == pair["KeyId"]


def test_curl_again_with_the_same_idempotency_key_gets_the_same_bytes(
    function: FunctionProcess, identity: Identity
) -> None:
    first = by_curl(function, identity)
    assert by_curl(function, identity) == first
    assert len([pair for pair in key_pairs(function) if pair["KeyName"] == "curl"]) == 1


def test_no_private_key_in_anything_written(function: FunctionProcess, identity: Identity) -> None:
    """The root logger writes everything from DEBUG on to stdout, as on SCF, and so are return values."""
    by_curl(function, identity)
    assert "RetMsg" in function.function_stdout
    with urllib.request.urlopen(function.info["controlUrl"] + "/private-keys", timeout=10) as answer:  # noqa: S310  # loopback
        handed_out = json.load(answer)
    assert handed_out
    for private_key in handed_out:
        assert leaks(private_key, {"what was written": function.everything_written.encode()}) == []
    assert leaks(handed_out[0], {"itself": handed_out[0].encode()}) != []  # the search finds what is there
    assert function.info["secretKey"] not in function.everything_written


def test_demo_ends_by_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "ssh-keygen -y gives the same public key" in done.stdout
    assert done.stderr == ""
