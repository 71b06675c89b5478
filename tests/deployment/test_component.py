"""Tencent's own npm component as a judge of serverless.yml: `scripts/deploy` makes the same calls of it.

The component cannot be asked each time, because its 36 MB come from npm. tests/support/component has what
version 2.27.6 makes of the file, and how to ask it again after a change of the file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.function_process import ROOT

if TYPE_CHECKING:
    from tests.deployment.conftest import Deployer

JUDGED = json.loads((ROOT / "tests/support/component/component_calls.json").read_text("utf-8"))
DEFAULTS = {"DeployMode": "code", "L5Enable": "FALSE", "InstallDependency": "FALSE", "DiskSize": 512}
"""What the component says although it is SCF's own default, page 583/19805 (CreateFunction)."""
OURS = {"Code", "Environment", "Tags", "ClsLogsetId", "ClsTopicId"}
"""Code and values travel in other ways here (docs/deploy.md, Settings). The component tags by another
call, and knows no log topic by name."""


def planned(deployer: Deployer, action: str) -> list[dict[str, Any]]:
    return [dict(call["parameters"]) for call in deployer.plan() if call["action"] == action]


def test_the_function_is_the_one_that_the_component_makes(deployer: Deployer) -> None:
    [ours] = planned(deployer, "CreateFunction")
    judged = {name: value for name, value in JUDGED["CreateFunction"].items() if name not in OURS}
    assert {name: judged.pop(name) for name in DEFAULTS} == DEFAULTS
    # scripts/deploy adds the digest of the code.
    assert ours.pop("Description").startswith(judged.pop("Description"))
    judged["FunctionName"] = ours["FunctionName"]  # ${name}-${stage}
    assert {name: value for name, value in ours.items() if name not in OURS} == judged


def test_the_triggers_are_those_that_the_component_makes(deployer: Deployer) -> None:
    ours = planned(deployer, "CreateTrigger")
    for parameters, judged in zip(ours, JUDGED["CreateTrigger"], strict=True):
        expected = {**judged, "FunctionName": parameters["FunctionName"]}
        del expected["Action"]
        if judged["Type"] == "http":
            descriptions = [json.loads(one.pop("TriggerDesc")) for one in (parameters, expected)]
            assert descriptions[0] == descriptions[1]
        assert parameters == expected
