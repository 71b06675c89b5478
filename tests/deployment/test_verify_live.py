"""`scripts/verify-live` against the stand-in: where everything holds, and where one assumption is broken."""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from scripts.deployment.cloud import Identity, TencentCloud
from scripts.deployment.serverless_file import ServerlessFile
from scripts.python310 import find_python310
from scripts.verification.__main__ import main, verify
from scripts.verification.checks import ASSUMPTIONS, Finding, Status
from scripts.verification.report import as_json, as_markdown
from tests.support.function_process import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.deployment.conftest import CloudStandIn, Deployer

pytestmark = pytest.mark.skipif(
    find_python310() is None, reason="no Python 3.10 here, on which functions run"
)
ONLY_HOURS_OR_A_NETWORK_SHOW = {"credentials-renewed", "vpc-and-public"}


def behave(cloud: CloudStandIn, path: str, content: object) -> None:
    """Tell the CVM emulator behind the stand-in how to behave."""
    request = urllib.request.Request(  # noqa: S310  # loopback
        cloud.info["cvmControlUrl"] + path, json.dumps(content).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310  # loopback
        pass


@pytest.fixture
def account(cloud: CloudStandIn) -> Iterator[CloudStandIn]:
    """An account with the role and the function, in which everything is as assumed."""
    cloud.control("set", environment_pattern=False)
    yield cloud
    behave(cloud, "/conduct", {})
    behave(cloud, "/rate", {"perSecond": 10})
    forget(cloud, "/faults")
    forget(cloud, "/tags")


def forget(cloud: CloudStandIn, path: str) -> None:
    request = urllib.request.Request(cloud.info["cvmControlUrl"] + path, method="DELETE")  # noqa: S310  # loopback
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310  # loopback
        pass


THROTTLED = {"action": "CreateKeyPair", "kind": "throttle"}
EXECUTED_ALL_THE_SAME = {
    "action": "CreateKeyPair",
    "kind": "error",
    "code": "RequestLimitExceeded",
    "after": "effect",
}


@dataclass(frozen=True)
class Watching:
    """Lets one call of the burst meet a fault, which is queued directly before the burst."""

    cloud: TencentCloud
    account: CloudStandIn
    fault: dict[str, Any]

    def call(self, service: str, action: str, parameters: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
        # The check before the burst ends with this.
        if action == "UpdateFunctionConfiguration" and parameters.get("Timeout") == 20:
            behave(self.account, "/faults", [self.fault])
        return self.cloud.call(service, action, parameters)


def verified(
    deployer: Deployer, account: CloudStandIn, fault: dict[str, Any] = THROTTLED
) -> dict[str, Finding]:
    if not account.state["roles"]:
        # Enough for the probe; a deployment takes longer, and only the check of the memory needs one.
        account.control("set", roles={"keypair-function-scf": {}})
    behave(account, "/rate", {"perSecond": 0})
    file = ServerlessFile.read(deployer.folder / "serverless.yml", deployer.environment)
    identity = Identity(account.info["secretId"], account.info["secretKey"])
    cloud = Watching(TencentCloud(identity, "ap-guangzhou", account.url), account, fault)

    def time_passes(_: float) -> None:
        account.control("timer", trigger="minutely")

    return verify(cloud, file, time_passes)


def with_status(findings: dict[str, Finding], status: Status) -> set[str]:
    return {name for name, finding in findings.items() if finding.status is status}


def test_where_everything_holds_the_report_says_so(deployer: Deployer, account: CloudStandIn) -> None:
    assert deployer.apply() == 0, deployer.error
    findings = verified(deployer, account)
    assert with_status(findings, Status.BROKEN) == set(), findings
    assert with_status(findings, Status.NOT_CHECKED) == ONLY_HOURS_OR_A_NETWORK_SHOW, findings
    assert "## Broken" not in as_markdown(findings, "ap-guangzhou")
    # Nothing is left: neither the probe nor a key pair.
    assert list(account.state["functions"]) == ["keypair-function-prod"]
    with urllib.request.urlopen(account.info["cvmControlUrl"] + "/state", timeout=10) as state:  # noqa: S310  # loopback
        assert [pair for pair in json.load(state)["keyPairs"] if pair["KeyName"].startswith("verify_")] == []


CVM: dict[str, tuple[str, Any]] = {
    "role-rights": ("/conduct", {"denied": ["ModifyKeyPairAttribute"]}),
    "modify-at-once": ("/conduct", {"lag": {"modify": 1}}),
    "read-your-writes": ("/conduct", {"lag": {"filter": 1}}),
    "tags-visible": ("/conduct", {"lag": {"tags": 1}}),
    "descriptions": ("/conduct", {"dropped": ["Description"]}),
}
SCF: dict[str, dict[str, object]] = {
    "headers": {"dropped_header": "idempotency-key"},
    "body": {"rewritten_bodies": True},
    "failures": {"failures_are_200": True},
    "timer": {"timer_event": {"Type": "Timer", "Name": "sweep"}},
    "memory": {"memory_used": 120 * 2**20},
    "runtime": {"refused_runtime": "Python3.10"},
    "environment-values": {"environment_pattern": True},
}


def assert_report_names(findings: dict[str, Finding], broken: str) -> None:
    assert with_status(findings, Status.BROKEN) == {broken}, findings
    markdown = as_markdown(findings, "ap-guangzhou")
    assert markdown.count("\n### ") == 1
    assert f"### {broken}\n" in markdown
    (assumption,) = [one for one in ASSUMPTIONS if one.id == broken]
    assert assumption.if_broken in markdown
    listed = json.loads(as_json(findings, "ap-guangzhou"))["assumptions"]
    assert [one["id"] for one in listed if one["status"] == "broken"] == [broken]


@pytest.mark.parametrize("broken", CVM)
def test_an_assumption_on_cvm_that_is_broken_is_the_one_named(
    deployer: Deployer, account: CloudStandIn, broken: str
) -> None:
    behave(account, *CVM[broken])
    assert_report_names(verified(deployer, account), broken)


@pytest.mark.parametrize("broken", SCF)
def test_an_assumption_on_scf_that_is_broken_is_the_one_named(
    deployer: Deployer, account: CloudStandIn, broken: str
) -> None:
    if broken == "memory":
        assert deployer.apply() == 0, deployer.error
    account.control("set", **SCF[broken])
    assert_report_names(verified(deployer, account), broken)


def test_a_create_that_the_cloud_refuses_is_named_by_its_code(
    deployer: Deployer, account: CloudStandIn
) -> None:
    behave(account, "/conduct", {"tagValuesPerKey": 0})
    finding = verified(deployer, account)["role-rights"]
    assert finding == Finding(Status.BROKEN, "with a tag: CreateKeyPair: LimitExceeded.TagValue")


def test_throttled_calls_that_were_executed_are_named(deployer: Deployer, account: CloudStandIn) -> None:
    assert_report_names(verified(deployer, account, EXECUTED_ALL_THE_SAME), "throttling")


def test_the_command_writes_both_reports_and_tells_by_its_status(
    deployer: Deployer, account: CloudStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deployer.apply() == 0, deployer.error
    arguments = ["--endpoint", account.url, "--file", str(deployer.folder / "serverless.yml")]
    account.control("set", refused_runtime="Python3.10")
    output = tmp_path / "report"
    assert main([*arguments, "--output", str(output)], environment=deployer.environment) == 1
    printed = capsys.readouterr().out
    assert printed == (output / "verify-live.md").read_text("utf-8")
    assert "SCF refuses Python3.10" in printed
    assert json.loads((output / "verify-live.json").read_text("utf-8"))["region"] == "ap-guangzhou"
    assert main(arguments, environment={"KEYPAIR_REGION": "ap-guangzhou"}) == 2


def test_the_page_lists_every_assumption_in_its_order() -> None:
    page = (ROOT / "docs" / "verify-live.md").read_text("utf-8")
    assert re.findall(r"^\| `([a-z-]+)`: ", page, re.MULTILINE) == [one.id for one in ASSUMPTIONS]
