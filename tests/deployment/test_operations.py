"""What is done to a deployed function: roll back, rotate, revoke, look, destroy."""

from __future__ import annotations

import json
import re
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from scripts.deployment.desired import with_code, without_code
from scripts.deployment.package import Package
from tests.deployment.conftest import STUB, changes, live_settings, write_stub

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deployment.conftest import CloudStandIn, Deployer


@pytest.fixture
def deployed(deployer: Deployer) -> Deployer:
    assert deployer.apply() == 0, deployer.error
    return deployer


def test_rolling_back_leads_to_the_version_before_and_apply_forward_again(
    deployed: Deployer, cloud: CloudStandIn
) -> None:
    write_stub(deployed.package, STUB + "# changed\n")
    assert deployed.apply() == 0, deployed.error
    assert cloud.function["aliases"] == {"$DEFAULT": "2"}
    assert deployed.run("rollback") == 0, deployed.error
    assert cloud.function["aliases"] == {"$DEFAULT": "1"}
    assert deployed.run("rollback") == 1
    assert "no such version" in deployed.error
    assert deployed.run("rollback", "--to", "2") == 0, deployed.error
    assert deployed.run("rollback") == 0
    assert deployed.apply() == 0, deployed.error
    assert cloud.function["aliases"] == {"$DEFAULT": "2"}


def test_rotating_keeps_the_previous_secret_until_it_is_ended(
    deployed: Deployer, cloud: CloudStandIn
) -> None:
    old = deployed.environment["KEYPAIR_MASTER_SECRET"]
    assert deployed.run("secrets", "rotate", "--print") == 0, deployed.error
    new = deployed.out.partition("KEYPAIR_MASTER_SECRET=")[2].split()[0]
    settings = live_settings(cloud)
    assert (settings["KEYPAIR_MASTER_SECRET"], settings["KEYPAIR_PREVIOUS_MASTER_SECRET"]) == (new, old)

    # Everything else is as it was: the next apply has one secret more to keep, and a stale one to refuse.
    assert deployed.apply() == 2
    assert "is the one before the last rotation" in deployed.error
    del deployed.environment["KEYPAIR_MASTER_SECRET"]
    assert deployed.apply() == 0, deployed.error
    assert live_settings(cloud)["KEYPAIR_PREVIOUS_MASTER_SECRET"] == old

    assert deployed.run("secrets", "rotate", "--print") == 1
    assert "secrets finish" in deployed.error
    assert deployed.run("secrets", "finish") == 0, deployed.error
    settings = live_settings(cloud)
    assert settings["KEYPAIR_MASTER_SECRET"] == new
    assert "KEYPAIR_PREVIOUS_MASTER_SECRET" not in settings
    calls = len(changes(cloud.calls))
    assert deployed.run("secrets", "finish") == 1
    assert "nothing to finish" in deployed.error
    assert len(changes(cloud.calls)) == calls
    assert settings["KEYPAIR_RETIRED_MASTER_SECRETS"] == old
    assert deployed.apply() == 0, deployed.error
    assert live_settings(cloud)["KEYPAIR_RETIRED_MASTER_SECRETS"] == old


def test_rolling_back_past_a_rotation_needs_a_word_for_it(deployed: Deployer, cloud: CloudStandIn) -> None:
    assert deployed.run("secrets", "rotate", "--print") == 0
    assert deployed.run("rollback") == 1
    assert "undoes a rotation" in deployed.error
    assert cloud.function["aliases"] == {"$DEFAULT": "2"}
    assert deployed.run("rollback", "--with-secrets") == 0, deployed.error
    assert cloud.function["aliases"] == {"$DEFAULT": "1"}


def test_rolling_back_does_not_revive_a_leaked_secret(deployed: Deployer, cloud: CloudStandIn) -> None:
    """After a leak: the version in between still accepts the old secret."""
    assert deployed.run("secrets", "rotate", "--print") == 0
    assert deployed.run("secrets", "finish") == 0
    for to in ([], ["--to", "2"], ["--to", "1"]):
        assert deployed.run("rollback", *to) == 1
        assert "whoever has it could sign again" in deployed.error
    assert cloud.function["aliases"] == {"$DEFAULT": "3"}


def test_a_new_master_secret_goes_to_a_terminal_only(deployer: Deployer, cloud: CloudStandIn) -> None:
    """The log of a CI job would keep it."""
    own = deployer.environment.pop("KEYPAIR_MASTER_SECRET")
    assert deployer.apply("--new-master-secret", "--yes") == 1
    assert "again with --print" in deployer.error
    assert (deployer.out, changes(cloud.calls)) == ("", [])
    deployer.environment["KEYPAIR_MASTER_SECRET"] = own
    assert deployer.apply() == 0, deployer.error
    before = len(cloud.calls)
    assert deployer.run("secrets", "rotate") == 1
    assert "again with --print" in deployer.error
    assert (deployer.out, changes(cloud.calls[before:])) == ("", [])


def test_status_tells_what_is_there_and_no_secret(deployed: Deployer) -> None:
    assert deployed.run("status") == 0, deployed.error
    assert "function     keypair-function-prod in namespace default, Active" in deployed.out
    assert "requests     go to version 1" in deployed.out
    assert "KEYPAIR_MASTER_SECRET=***" in deployed.out
    assert "b32_" not in "".join(line for line in deployed.out.splitlines() if "SECRET" in line)


def test_logs_are_those_of_the_topic(deployed: Deployer, cloud: CloudStandIn) -> None:
    assert deployed.run("logs") == 0, deployed.error
    assert "RetMsg" in deployed.out
    assert deployed.run("logs", "--audit") == 0, deployed.error
    assert deployed.out == ""
    # Not of another topic of this name.
    before = len(cloud.calls)
    assert deployed.run("logs") == 0
    (search,) = [call for call in cloud.calls[before:] if call["service"] == "cls"]
    configured = cloud.function["configuration"]["ClsTopicId"]
    assert (search["action"], search["parameters"]["TopicId"]) == ("SearchLog", configured)


def test_destroying_says_what_stays(deployed: Deployer, cloud: CloudStandIn) -> None:
    assert deployed.run("destroy", "--with-role") == 1
    assert "Nothing was changed" in deployed.error
    assert cloud.state["functions"]
    assert deployed.run("destroy", "--with-role", "--yes") == 0, deployed.error
    assert "every key pair that was issued" in deployed.out
    state = cloud.state
    assert (state["functions"], state["roles"], state["policies"]) == ({}, [], {})
    assert state["topics"] == ["keypair-function-prod"]
    assert deployed.run("destroy", "--with-role", "--yes") == 0
    assert deployed.out == "There is nothing to remove.\n"


def test_the_url_alone_is_removed_at_once(deployed: Deployer, cloud: CloudStandIn) -> None:
    before = len(cloud.calls)
    assert deployed.run("destroy", "--url-only", "--yes") == 0, deployed.error
    assert changes(cloud.calls[before:]) == [("scf", "DeleteTrigger")]
    assert cloud.function["triggers"] == ["sweep"]


def test_without_a_function_there_is_a_hint(deployer: Deployer) -> None:
    for arguments in (["status"], ["rollback"], ["secrets", "rotate"], ["policy"]):
        assert deployer.run(*arguments) == 1
        assert "Run scripts/deploy apply." in deployer.error


def packed_policy(cloud: CloudStandIn, version: str) -> dict[str, object]:
    address = f"{cloud.url}/_code/default/keypair-function-prod/{version}"
    with urlopen(address, timeout=10) as answer:  # noqa: S310  # loopback
        code = answer.read()
    policy: dict[str, object] = json.loads(zipfile.ZipFile(BytesIO(code)).read("handler/policy.json"))
    return policy


OPERATED = """
[callers.ops]
tc3 = true
operator = true
[[callers.ops.grants]]
names = ["*"]
regions = ["ap-guangzhou"]
own_recipients = true
"""
TEAM = """
[callers.team]
tc3 = true
[[callers.team.grants]]
names = ["team_*"]
regions = ["ap-guangzhou"]
own_recipients = true
"""


def test_a_policy_is_replaced_alone_and_rolled_back(deployed: Deployer, cloud: CloudStandIn) -> None:
    (deployed.folder / "policy.toml").write_text(OPERATED + TEAM, "utf-8")
    assert deployed.run("policy", "--bucket", "code", "--yes") == 0, deployed.error
    assert set(packed_policy(cloud, "2")["callers"]) == {"ops", "team"}  # type: ignore[call-overload]
    assert cloud.function["aliases"] == {"$DEFAULT": "2"}
    assert cloud.state["buckets"] == {"code-1250000000": []}

    # One caller is revoked; the rest of the code stays as it is.
    (deployed.folder / "policy.toml").write_text(OPERATED, "utf-8")
    assert deployed.run("policy") == 0, deployed.error
    assert set(packed_policy(cloud, "3")["callers"]) == {"ops"}  # type: ignore[call-overload]
    assert deployed.run("policy") == 1
    assert "has this policy already" in deployed.error
    # Going back would let the revoked caller in again.
    assert deployed.run("rollback") == 1
    assert "--with-policy" in deployed.error
    assert cloud.function["aliases"] == {"$DEFAULT": "3"}
    assert deployed.run("rollback", "--with-policy") == 0, deployed.error
    assert cloud.function["aliases"] == {"$DEFAULT": "2"}


def test_after_a_roll_back_nothing_is_published_from_what_was_rolled_back(
    deployed: Deployer, cloud: CloudStandIn
) -> None:
    """`$LATEST` still has it: to rotate a secret or replace the policy would make it live again."""
    write_stub(deployed.package, STUB + "# vulnerable\n")
    assert deployed.apply() == 0, deployed.error
    assert deployed.run("rollback") == 0, deployed.error
    (deployed.folder / "policy.toml").write_text(OPERATED, "utf-8")
    before = len(cloud.calls)
    for arguments in (["secrets", "rotate", "--print"], ["secrets", "finish"], ["policy"]):
        assert deployed.run(*arguments) == 1
        assert "would bring version 2 back" in deployed.error
        assert "KEYPAIR_MASTER_SECRET" not in deployed.out
    assert changes(cloud.calls[before:]) == []
    write_stub(deployed.package)
    assert deployed.apply() == 0, deployed.error
    assert deployed.run("secrets", "rotate", "--print") == 0, deployed.error


def test_a_rotation_keeps_note_of_the_policy(deployed: Deployer, cloud: CloudStandIn) -> None:
    assert deployed.run("secrets", "rotate", "--print") == 0
    assert deployed.run("secrets", "finish") == 0
    assert deployed.run("rollback", "--with-secrets") == 0, deployed.error
    assert cloud.function["aliases"] == {"$DEFAULT": "2"}


def test_code_that_is_not_what_the_api_says_is_not_deployed(deployed: Deployer, cloud: CloudStandIn) -> None:
    cloud.control("set", wrong_download=True)
    (deployed.folder / "policy.toml").write_text(OPERATED, "utf-8")
    before = len(cloud.calls)
    assert deployed.run("policy") == 1
    assert "by its SHA-256. Nothing was changed." in deployed.error
    assert changes(cloud.calls[before:]) == []


@pytest.mark.parametrize(
    "text", ["", "Issues keys.", "Code review by Bob.", "Issues keys. Code review by Bob."]
)
def test_a_description_is_found_again(text: str, tmp_path: Path) -> None:
    write_stub(tmp_path / "function.zip")
    package = Package.of((tmp_path / "function.zip").read_bytes(), {})
    described = with_code(text, package)
    assert re.fullmatch(re.escape(text) + r" ?Code [0-9a-f]{16}\.", described)
    assert without_code(described) == text
    assert with_code(without_code(described), package) == described


def test_a_role_of_two_functions_outlives_one_of_them(deployed: Deployer, cloud: CloudStandIn) -> None:
    file = deployed.folder / "serverless.yml"
    prod = file.read_text("utf-8")
    file.write_text(prod.replace("stage: prod", "stage: dev"), "utf-8")
    assert deployed.apply("--with-role") == 0, deployed.error
    assert set(cloud.state["policies"]) == {"keypair-function-prod-cvm", "keypair-function-dev-cvm"}
    assert deployed.run("destroy", "--with-role", "--yes") == 0, deployed.error
    state = cloud.state
    assert list(state["functions"]) == ["keypair-function-prod"]
    assert (state["roles"], list(state["policies"])) == (
        ["keypair-function-scf"],
        ["keypair-function-prod-cvm"],
    )
    file.write_text(prod, "utf-8")
    assert deployed.run("destroy", "--with-role", "--yes") == 0, deployed.error
    assert (cloud.state["roles"], cloud.state["policies"]) == ([], {})


def test_a_policy_without_any_operator_needs_a_word_for_it(deployed: Deployer, cloud: CloudStandIn) -> None:
    (deployed.folder / "policy.toml").write_text(OPERATED + TEAM, "utf-8")
    assert deployed.run("policy") == 0, deployed.error
    (deployed.folder / "policy.toml").write_text(TEAM, "utf-8")
    assert deployed.run("policy") == 1
    assert "no operator" in deployed.error
    assert cloud.function["aliases"] == {"$DEFAULT": "2"}
    assert deployed.run("policy", "--allow-lockout") == 0, deployed.error


def test_a_broken_policy_is_refused_before_anything_is_called(
    deployed: Deployer, cloud: CloudStandIn
) -> None:
    (deployed.folder / "policy.toml").write_text("[callers.x]\ntc3 = 1\n", "utf-8")
    before = len(cloud.calls)
    assert deployed.run("policy") == 1
    assert "callers.x.tc3" in deployed.error
    assert len(cloud.calls) == before
