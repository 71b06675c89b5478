"""What checks work with: the probe function, and CVM as its execution role sees it."""

from __future__ import annotations

import json
import secrets
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.deployment.account import url_in
from scripts.deployment.errors import CallFailed, DeploymentStopped
from scripts.deployment.package import Package
from scripts.deployment.smoke import HttpReply, ask
from scripts.deployment.steps import WaitUntilActive
from scripts.packaging.archive import with_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scripts.deployment.cloud import Cloud
    from scripts.deployment.serverless_file import ServerlessFile

NAME = "keypair-function-verify"
PREFIX = "verify_"
TAG = "keypair-function:verify"
_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
_TRIES = 10


@dataclass
class Live:
    """A probe function that answers, and what is left to clean up."""

    cloud: Cloud
    file: ServerlessFile
    sleep: Callable[[float], None]
    url: str = ""
    token: str = field(default_factory=lambda: "v" + secrets.token_hex(16), repr=False)
    key_ids: set[str] = field(default_factory=set)

    @property
    def function(self) -> dict[str, str]:
        """The parameters that name the probe."""
        return {"FunctionName": NAME, "Namespace": self.file.inputs.namespace}

    @property
    def region(self) -> str:
        """The region that is checked."""
        return self.file.inputs.region

    def ask(self, path: str, body: bytes = b"", **headers: str) -> HttpReply:
        """Ask the probe over its Function URL."""
        sent = {"X-Verify-Token": self.token, **{name.replace("_", "-"): v for name, v in headers.items()}}
        return ask("POST", self.url + path, body or b"{}", sent)

    def see(self, path: str) -> dict[str, Any]:
        """Return the probe's JSON; raise DeploymentStopped if there is none."""
        answer = self.ask(path)
        content = answer.json()
        if not isinstance(content, dict):
            raise DeploymentStopped(f"the probe answered {answer.status} at {path}")
        return content

    def cvm(
        self, *calls: tuple[str, Mapping[str, Any]], at_once: bool = False, region: str | None = None
    ) -> list[dict[str, Any]]:
        """Make calls with the rights of the execution role; remember every key pair that comes of it."""
        listed = [{"action": action, "parameters": dict(parameters)} for action, parameters in calls]
        request = {"calls": listed, "atOnce": at_once, "region": region or self.region}
        answer = self.ask("/cvm", json.dumps(request).encode())
        content = answer.json()
        if not isinstance(content, list):
            raise DeploymentStopped(f"the probe answered {answer.status} at /cvm")
        for one in content:
            if "KeyPair" in one:
                self.key_ids.add(one["KeyPair"]["KeyId"])
        return content

    def create(self, **more: object) -> dict[str, Any]:
        """Make a key pair; return it, without the private key. Raises DeploymentStopped."""
        (answer,) = self.cvm(("CreateKeyPair", {"KeyName": new_name(), "ProjectId": 0, **more}))
        if "Error" in answer:
            raise DeploymentStopped(f"CreateKeyPair: {answer['Error'].get('Code')}")
        pair: dict[str, Any] = answer["KeyPair"]
        return pair

    def configure(self, **values: str) -> None:
        """Give the probe these variables besides its token; raise CallFailed."""
        variables = [{"Key": name, "Value": value} for name, value in values.items()]
        variables.append({"Key": "VERIFY_TOKEN", "Value": self.token})
        change = {**self.function, "Environment": {"Variables": variables}}
        self.cloud.call("scf", "UpdateFunctionConfiguration", change)
        self.wait()

    def wait(self) -> None:
        """Wait until the probe is active."""
        wait_until_active(self.cloud, self.function, self.sleep)


def new_name() -> str:
    """Return a name for a key pair of this check; names have 25 characters at most."""
    return PREFIX + secrets.token_hex(8)


def wait_until_active(cloud: Cloud, function: Mapping[str, str], sleep: Callable[[float], None]) -> None:
    """Poll; raise DeploymentStopped if the function failed or takes too long."""
    from scripts.deployment.steps import Tools

    tools = Tools(cloud, None, sleep, lambda _: None, lambda _done, _total: None, lambda _: None)
    WaitUntilActive(function).run(tools, {})


@contextmanager
def probing(cloud: Cloud, file: ServerlessFile, sleep: Callable[[float], None]) -> Iterator[Live]:
    """Deploy the probe for the duration of the block, and remove it with all key pairs of the check.

    Raises CallFailed or DeploymentStopped if it cannot be deployed.
    """
    live = Live(cloud, file, sleep)
    _remove(live)  # what an earlier run that was killed has left
    index = Path(__file__).with_name("probe.py").read_bytes()
    package = Package(with_entries(_EMPTY_ZIP, {"index.py": index}))
    try:
        cloud.call(
            "scf",
            "CreateFunction",
            {
                **live.function,
                "Type": "Event",
                "Runtime": file.inputs.runtime,
                "Handler": "index.main_handler",
                "Code": {"ZipFile": package.base64()},
                "MemorySize": 128,
                "Timeout": 20,
                "Role": file.inputs.role,
                "Environment": {"Variables": [{"Key": "VERIFY_TOKEN", "Value": live.token}]},
                "PublicNetConfig": {"PublicNetStatus": "ENABLE", "EipConfig": {"EipStatus": "DISABLE"}},
            },
        )
        live.wait()
        description = {"AuthType": "NONE", "NetConfig": {"EnableIntranet": False, "EnableExtranet": True}}
        trigger = {**live.function, "Qualifier": "$DEFAULT"}
        made = cloud.call(
            "scf",
            "CreateTrigger",
            {**trigger, "TriggerName": "url", "Type": "http", "TriggerDesc": json.dumps(description)},
        )
        live.url = url_in(made["TriggerInfo"])
        timer = {"TriggerName": "minutely", "Type": "timer", "TriggerDesc": "0 * * * * * *", "Enable": "OPEN"}
        cloud.call("scf", "CreateTrigger", {**trigger, **timer})
        for _ in range(_TRIES):  # a new URL takes a while
            if isinstance(live.ask("/environment").json(), dict):
                break
            sleep(3)
        yield live
    finally:
        if live.key_ids and live.url:
            _delete_key_pairs(live)
        _remove(live)


def _delete_key_pairs(live: Live) -> None:
    key_ids = sorted(live.key_ids)
    try:
        # One by one: a single id that is unknown makes the cloud refuse the whole list.
        answers = live.cvm(*(("DeleteKeyPairs", {"KeyIds": [key_id]}) for key_id in key_ids))
    except DeploymentStopped:
        answers = [{"Error": {"Code": "NoAnswer"}}] * len(key_ids)
    left = [
        key_id
        for key_id, answer in zip(key_ids, answers, strict=True)
        if answer.get("Error", {}).get("Code", "") not in {"", "InvalidKeyPairId.NotFound"}
    ]
    if left:
        print(f"Delete these key pairs by hand, the check could not: {', '.join(left)}", file=sys.stderr)


def _remove(live: Live) -> None:
    with suppress(CallFailed):
        live.cloud.call("scf", "DeleteFunction", live.function)
