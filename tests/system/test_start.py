"""What a cold start loads for each door: this decides how long it takes, and does not wobble as times do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handler.policy.compiled import index_of
from handler.policy.model import Policy
from scripts.policy_file import pack
from tests.support.function_process import clean_environment
from tests.support.function_under_test import REST, V3, FunctionUnderTest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
PROGRAM = """
import gc, json, sys
import handler.index
collections = sum(generation["collections"] for generation in gc.get_stats())
answer = handler.index.main_handler(json.loads(sys.argv[1]), {"request_id": "r"})
collections = sum(generation["collections"] for generation in gc.get_stats()) - collections
set_aside = gc.get_freeze_count() > 10_000 and gc.isenabled()
found = {"status": answer["statusCode"], "modules": sorted(sys.modules)}
print(json.dumps({**found, "collections": collections, "set_aside": set_aside}))
"""
OF_OTHERS = {
    "handler.chat.bot", "handler.issuance.sweeper", "handler.auth.bearer", "handler.auth.jwks",
    "handler.auth.signature_v2", "handler.api.grants", "handler.api.readiness", "handler.api.tencent_v2",
    "handler.pickup.links", "handler.web.page", "handler.web.form", "handler.sealing.jwe",
    "handler.sealing.cms", "handler.sealing.openpgp", "cryptography", "jwt", "joserfc", "redis", "sqlite3",
    "xml",
}  # fmt: skip
OF_ISSUING = {"handler.issuance.issuer", "tencentcloud", "requests", "pyrage"}


def started(function: FunctionUnderTest, event: Mapping[str, object]) -> tuple[int, set[str]]:
    """Answer one event in a new process; return the status and the modules that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(event)],
        env={**clean_environment(), **function.environ},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["collections"], found["set_aside"]) == (0, True)
    return found["status"], set(found["modules"])


@pytest.mark.parametrize(
    ("path", "secret", "status", "not_loaded"),
    [
        (REST, None, 201, OF_OTHERS | {"handler.api.tencent_v3"}),
        (V3, None, 200, OF_OTHERS | {"handler.api.rest"}),
        (REST, "wrong", 401, OF_OTHERS | {"tencentcloud", "requests", "pyrage"}),
    ],
)
def test_a_start_loads_only_what_its_door_needs(
    path: str, secret: str | None, status: int, not_loaded: set[str], function: FunctionUnderTest
) -> None:
    event = function.signed(path, secret=secret, timestamp=int(time.time()))
    found, modules = started(function, event)
    assert found == status
    assert not_loaded & modules == set()


def test_a_start_with_an_index_checks_no_policy(function: FunctionUnderTest) -> None:
    packed, index = pack(Policy.parse(function.policy))
    function.policy_file.write_bytes(packed)
    index_of(function.policy_file).write_bytes(index)
    status, modules = started(function, function.signed(REST, timestamp=int(time.time())))
    assert status == 201
    assert {
        "handler.policy.checking",
        "handler.policy.explanations",
        "pydantic.type_adapter",
    } & modules == set()


def test_an_issue_calls_the_cloud_three_times(function: FunctionUnderTest) -> None:
    """Each call is a round trip, so one more is a decision."""
    for _ in range(2):
        before = Counter(function.emulator.state()["calls"])
        event = function.signed(REST)
        assert function.call(event).status == 201
        after = Counter(function.emulator.state()["calls"])
        assert after - before == {
            "CreateKeyPair": 1,
            "DescribeKeyPairs": 1,
            "ModifyKeyPairAttribute": 1,
        }


def test_a_public_page_loads_nothing_of_issuing(function: FunctionUnderTest) -> None:
    event = {"httpMethod": "GET", "path": "/healthz", "headers": {}}
    status, modules = started(function, event)
    assert status == 200
    assert (OF_OTHERS | OF_ISSUING) & modules == set()
