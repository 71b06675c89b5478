"""The attacker sends a captured DescribeKeyPairs again as DeleteKeyPairs.

Has: one request of an unmodified SDK, which does not sign X-TC-Action, and an instance that has not seen it.
Does: sends it again with another action, to a function whose instances do not share a store.
Sees: the action is not supported. With a signed action, or over REST, key pairs are deleted as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.api.test_key_pairs import POLICY
from tests.support.function_under_test import REST, V3, FunctionUnderTest, TestClock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

SCF = {"TENCENTCLOUD_RUNENV": "SCF", "KEYPAIR_SCF_ENDPOINT": "https://scf.tencentcloudapi.com"}


@pytest.fixture
def instances(emulator: EmulatorProcess, tmp_path: Path) -> list[FunctionUnderTest]:
    """Two instances as SCF starts them, each with its own memory."""
    clock = TestClock()
    return [FunctionUnderTest(emulator, tmp_path / "policy.json", POLICY, SCF, clock) for _ in range(2)]


def respond(function: FunctionUnderTest, event: dict[str, Any]) -> dict[str, Any]:
    response: dict[str, Any] = function.call(event).json["Response"]
    return response


def test_an_instance_that_has_not_seen_it(instances: list[FunctionUnderTest]) -> None:
    one, other = instances
    key_id = one.call(one.signed(REST, one.rest_body())).json["keyId"]
    listing = one.signed(V3, {"KeyIds": [key_id]}, x_tc_action="DescribeKeyPairs")
    assert respond(one, listing)["TotalCount"] == 1
    one.clock.time += 200
    listing["headers"]["x-tc-action"] = "DeleteKeyPairs"
    for function in instances:
        function.forget_audit()
        assert respond(function, listing)["Error"]["Code"] == "InvalidAction"
        assert [(line["decision"], line["reason"]) for line in function.audit_lines()] == [
            ("refused", "delete-needs-shared-store")
        ]
    assert [pair["KeyId"] for pair in one.emulator.key_pairs()] == [key_id]
    delete = "DeleteKeyPairs"
    signed = other.signed(V3, {"KeyIds": [key_id]}, also_signed={"x-tc-action": delete}, x_tc_action=delete)
    assert "Error" not in respond(other, signed)
    assert one.emulator.key_pairs() == []
