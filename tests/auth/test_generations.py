"""Revoking one caller's secret: the next generation in the policy, and nothing else changes."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from handler.auth.master_secret import MasterSecrets, Purpose
from handler.errors import PolicyInvalid
from handler.policy.model import Policy
from tests.support.emulator_process import ROOT, EmulatorProcess
from tests.support.function_process import clean_environment
from tests.support.function_under_test import (
    MASTER,
    POLICY,
    PREVIOUS_MASTER,
    REST,
    V3,
    FunctionUnderTest,
    base64url,
    caller_secret,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def revoked(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[FunctionUnderTest]:
    """A function whose caller demo has been given its third secret."""
    policy = copy.deepcopy(POLICY)
    policy["callers"]["demo"]["generation"] = 3
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", policy=policy)
    yield function
    function.delete_key_pairs()


@pytest.mark.parametrize("path", [REST, V3])
@pytest.mark.parametrize("master", [MASTER, PREVIOUS_MASTER])
def test_only_the_secret_of_the_generation_signs(
    revoked: FunctionUnderTest, path: str, master: bytes
) -> None:
    outcomes = []
    for of in ("demo", "demo:2", "demo:3", "demo:4"):
        event = revoked.signed(path, secret=caller_secret(of, master))
        answer = revoked.call(event)
        outcomes.append(answer.json.get("keyId") or answer.json.get("Response", {}).get("KeyPair"))
    assert [outcome is not None for outcome in outcomes] == [False, False, True, False]


def test_other_callers_keep_theirs(revoked: FunctionUnderTest) -> None:
    assert revoked.call(revoked.signed(REST, caller="second")).status == 201


def test_the_first_generation_is_the_secret_of_old() -> None:
    secrets = MasterSecrets([MASTER])
    assert secrets.caller_secrets(Purpose.TC3_SECRET, "demo") == [caller_secret("demo")]
    assert secrets.caller_secrets(Purpose.TC3_SECRET, "demo", 2) == [caller_secret("demo:2")]


@pytest.mark.parametrize("generation", [0, -1, "2", 1.5, True, None])
def test_a_generation_is_a_number_from_one(generation: object) -> None:
    policy = copy.deepcopy(POLICY)
    policy["callers"]["demo"]["generation"] = generation
    with pytest.raises(PolicyInvalid, match=r"callers\.demo\.generation: malformed"):
        Policy.parse(policy)


@pytest.mark.process
def test_the_command_prints_it(tmp_path: Path) -> None:
    policy = {"callers": {"demo": {**POLICY["callers"]["demo"], "generation": 3}}}
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(policy))
    printed = subprocess.run(
        [sys.executable, "-m", "scripts.policy", "secret", "demo", "--policy", file, "--print"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**clean_environment(), "KEYPAIR_MASTER_SECRET": base64url(MASTER), "PATH": os.environ["PATH"]},
    )
    assert printed.stdout == caller_secret("demo:3") + "\n"
