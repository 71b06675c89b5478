"""The deployment files against what the component and SCF document."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from handler.settings import Settings
from tests.support.chat_settings import all_chat_setting_names

ROOT = Path(__file__).parents[2]
SERVERLESS = ROOT / "serverless.yml"

# https://cloud.tencent.com/document/product/1154/39271
INPUTS = {
    "asyncRunEnable", "cls", "deadLetter", "description", "eip", "environment", "events", "handler",
    "ignoreTriggers", "image", "initTimeout", "layers", "memorySize", "name", "namespace",
    "provisionedNum", "publicAccess", "qualifier", "region", "role", "runtime", "src", "tags", "timeout",
    "type", "vpcConfig",
}  # fmt: skip
HTTP = {"name", "qualifier", "authType", "netConfig", "corsConfig"}
TIMER = {"name", "qualifier", "cronExpression", "enable", "argument"}


@pytest.fixture
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(SERVERLESS.read_text("utf-8"))
    return loaded


@pytest.fixture
def inputs(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["inputs"]
    return found


@pytest.fixture
def events(inputs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: event["parameters"] for entry in inputs["events"] for name, event in entry.items()}


def test_only_documented_keys_are_used(
    document: dict[str, Any], inputs: dict[str, Any], events: dict[str, dict[str, Any]]
) -> None:
    assert set(document) == {"app", "stage", "component", "name", "inputs", "deployment"}
    assert document["component"] == "scf"
    assert set(inputs) <= INPUTS
    assert set(inputs["src"]) <= {"src", "exclude"}
    assert set(inputs["environment"]) == {"variables"}
    assert set(events) == {"http", "timer"}
    assert set(events["http"]) <= HTTP
    assert set(events["timer"]) <= TIMER


def test_the_limits_of_scf_are_kept(inputs: dict[str, Any]) -> None:
    assert inputs["memorySize"] == 64 or inputs["memorySize"] in range(128, 3073, 128)
    assert inputs["timeout"] in range(1, 901)
    assert inputs["initTimeout"] in range(3, 301)
    assert inputs["type"] == "event"
    assert inputs["runtime"] == "Python3.10"
    module, _, function = inputs["handler"].partition(".")
    assert (module, function) == ("index", "main_handler")
    assert (ROOT / "handler" / f"{module}.py").is_file()


def test_there_is_a_public_url_whose_callers_our_code_authenticates(
    inputs: dict[str, Any], events: dict[str, dict[str, Any]]
) -> None:
    assert events["http"]["authType"] == "NONE"
    assert events["http"]["netConfig"] == {"enableExtranet": True, "enableIntranet": False}
    # Browsers of other sites are not to call; the form that is served comes from the same origin.
    assert "corsConfig" not in events["http"]
    assert inputs["publicAccess"] is True


def test_the_sweeper_runs_every_ten_minutes(events: dict[str, dict[str, Any]]) -> None:
    # second minute hour day month weekday year: https://cloud.tencent.com/document/product/583/9708
    assert events["timer"]["cronExpression"].split() == ["0", "*/10", "*", "*", "*", "*", "*"]
    assert events["timer"]["enable"] is True


ON_ONE_MACHINE = {"cvm_endpoint", "scf_endpoint", "policy"}
"""Settings that tests and the local commands need, and no deployed function."""


def test_each_setting_is_an_environment_variable_and_no_name_is_reserved(inputs: dict[str, Any]) -> None:
    variables = inputs["environment"]["variables"]
    own = {f"KEYPAIR_{field.upper()}" for field in set(Settings.model_fields) - ON_ONE_MACHINE}
    assert set(variables) == own | all_chat_setting_names()
    for name, value in variables.items():
        assert not name.startswith(("SCF_", "QCLOUD_", "TENCENTCLOUD_"))
        # A secret in this file would be in git; a ';' or '=' in a value breaks on SCF.
        assert value == f"${{env:{name}}}"


def test_references_are_of_the_forms_that_scf_knows() -> None:
    references = re.findall(r"\$\{[^}]*\}", SERVERLESS.read_text("utf-8"))
    assert references
    for reference in references:
        assert re.fullmatch(r"\$\{(env:KEYPAIR_[A-Z_]+|name|stage|app)\}", reference)


def test_the_policy_of_the_role_grants_what_the_function_calls_and_no_more() -> None:
    policy = json.loads((ROOT / "docs" / "cam-policy.json").read_text("utf-8"))
    assert set(policy) == {"version", "statement"}
    assert policy["version"] == "2.0"
    granted = []
    for statement in policy["statement"]:
        assert set(statement) == {"effect", "action", "resource"}
        assert statement["effect"] == "allow"
        granted += statement["action"]
        # No '*' but the last part: CreateKeyPair cannot know its id beforehand.
        (resource,) = statement["resource"]
        assert re.fullmatch(r"qcs::cvm:[a-z]+-[a-z]+:uin/\d+:keypair/\*", resource)
    assert sorted(granted) == [
        "name/cvm:CreateKeyPair",
        "name/cvm:DeleteKeyPairs",
        "name/cvm:DescribeKeyPairs",
        "name/cvm:ImportKeyPair",
        "name/cvm:ModifyKeyPairAttribute",
    ]


def test_the_policy_for_chat_bots_lets_the_function_invoke_itself_and_nothing_else(
    document: dict[str, Any], inputs: dict[str, Any]
) -> None:
    policy = json.loads((ROOT / "docs" / "cam-policy-chat.json").read_text("utf-8"))
    assert set(policy) == {"version", "statement"}
    assert policy["version"] == "2.0"
    (statement,) = policy["statement"]
    assert set(statement) == {"effect", "action", "resource"}
    assert (statement["effect"], statement["action"]) == ("allow", ["name/scf:InvokeFunction"])
    name = inputs["name"].replace("${name}", document["name"]).replace("${stage}", document["stage"])
    (resource,) = statement["resource"]
    assert re.fullmatch(rf"qcs::scf:[a-z]+-[a-z]+:uin/\d+:namespace/default/function/{name}", resource)


@pytest.mark.parametrize("guide", ["deploy.md", "chat.md", "operations.md", "verify-live.md"])
def test_a_guide_names_the_files_that_there_are(guide: str) -> None:
    text = (ROOT / "docs" / guide).read_text("utf-8")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]+)?\)", text):
        assert (ROOT / "docs" / link).is_file(), link
    for script in re.findall(r"scripts/[a-z-]*[a-z]", text):
        assert (ROOT / script).is_file(), script


def test_the_guides_name_the_role_and_the_settings_that_there_are(inputs: dict[str, Any]) -> None:
    deploy = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    chat = (ROOT / "docs" / "chat.md").read_text("utf-8")
    assert f"`{inputs['role']}`" in deploy
    for name in inputs["environment"]["variables"]:
        assert f"| `{name}` |" in deploy or f"`{name}`" in chat, name


def test_the_policies_of_a_deployer_have_every_action_that_is_called_and_no_other() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "scripts" / "deployment").glob("*.py"))
    called = {
        f"name/{service}:{action}"
        for service, action in re.findall(r'"(scf|cam|cls|tag)",\s*"([A-Z]\w+)"', sources)
    }
    granted: set[str] = set()
    for name in ("cam-policy-deployer.json", "cam-policy-deployer-role.json"):
        policy = json.loads((ROOT / "docs" / name).read_text("utf-8"))
        granted |= {action for statement in policy["statement"] for action in statement["action"]}
    beside_the_api = {"name/cam:PassRole", "name/sts:AssumeRole"}
    assert {action for action in granted if ":cos:" not in action and not action.startswith("name/cos:")} == (
        called | beside_the_api
    )
