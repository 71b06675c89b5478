"""`/readyz`: what an operator learns, and nobody else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

from tests.support.function_under_test import POLICY, Answer, FunctionUnderTest

READY = "/readyz"
OPERATED = {
    **POLICY,
    "callers": {**POLICY["callers"], "ops": {**POLICY["callers"]["demo"], "operator": True}},
}


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path) -> FunctionUnderTest:
    return FunctionUnderTest(emulator, tmp_path / "policy.json", policy=OPERATED)


def ask(function: FunctionUnderTest, caller: str = "ops") -> Answer:
    return function.call(function.signed(READY, "{}", caller=caller))


def checks(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = answer.json["checks"]
    return found


def test_an_operator_is_told_that_everything_works(function: FunctionUnderTest) -> None:
    answer = ask(function)
    assert (answer.status, answer.json["status"]) == (200, "ready")
    assert checks(answer) == {"store": "ok", "role": "ok", "clock": "ok"}
    assert answer.json["callers"] == len(OPERATED["callers"])
    function.call({"Type": "Timer"})
    # The same facts are in the audit log, for alarms.
    (*_, swept) = function.audit_lines()
    assert swept["policyDigest"] == answer.json["policyDigest"]
    assert swept["checks"] == "store ok, role ok"


def test_nobody_else_is_told(function: FunctionUnderTest) -> None:
    assert ask(function, caller="demo").status == 403
    assert ask(function, caller="nobody").status == 401
    assert [line["reason"] for line in function.audit_lines()] == ["not-operator", "tc3-caller"]


@pytest.mark.parametrize(
    ("code", "role", "clock"),
    [
        ("UnauthorizedOperation", "describe-UnauthorizedOperation", "unknown"),
        ("AuthFailure.SignatureExpire", "unknown", "skewed"),
        ("no <b>code</b>", "describe-unreadable", "unknown"),
    ],
)
def test_the_cloud_s_refusal_is_named(function: FunctionUnderTest, code: str, role: str, clock: str) -> None:
    function.emulator.add_faults({"action": "DescribeKeyPairs", "kind": "error", "code": code})
    answer = ask(function)
    assert (answer.status, answer.json["status"]) == (503, "not ready")
    assert checks(answer) == {"store": "ok", "role": role, "clock": clock}


def test_a_store_that_is_down_is_named(function: FunctionUnderTest) -> None:
    down = {"KEYPAIR_STORE": "redis://127.0.0.1:1"}
    function = FunctionUnderTest(function.emulator, function.policy_file, policy=OPERATED, settings=down)
    event = function.signed(READY, "{}", caller="ops")
    event["headers"].pop("x-scf-remote-addr", None)  # so that no rate limit asks the store before
    answer = function.call(event)
    assert answer.status == 503
    assert checks(answer)["store"] == "redis-unreachable"


def test_without_time_nothing_is_known(function: FunctionUnderTest) -> None:
    answer = function.call(function.signed(READY, "{}", caller="ops"), {"time_limit_in_ms": 1200})
    assert answer.status == 503
    assert checks(answer) == {"store": "ok", "role": "out-of-time", "clock": "unknown"}
    assert "ap-guangzhou" not in json.dumps(answer.json)
