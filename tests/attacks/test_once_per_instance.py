"""The attacker uses once what may be used once, at each instance.

Has: a captured one-time token, or a captured request of API v2.
Does: sends it again and again with another order, so that SCF hands it to several instances. With `memory:`
each instance remembers only what it has seen itself.
Sees: nothing, for a function that could be attacked like this does not start, is not built and not deployed.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from handler.errors import SettingsInvalid
from handler.store.sharing import Host
from scripts.packaging.__main__ import main as build
from tests.support.bearer_function import BEARER_POLICY, EC, ask, bearer_function, claims
from tests.support.function_under_test import POLICY, FunctionUnderTest
from tests.support.token_issuer import token

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

CLOUD = {"KEYPAIR_SCF_ENDPOINT": "https://scf.tencentcloudapi.com"}
"""The function does not run under `scripts/serve`."""
ON_SCF = {**CLOUD, "TENCENTCLOUD_RUNENV": "SCF"}
ONCE = {**POLICY, "issuers": BEARER_POLICY["issuers"]}
V2 = copy.deepcopy(POLICY)
V2["callers"]["demo"]["v2"] = ["HmacSHA256"]


def test_what_the_operator_is_told() -> None:
    for host, also in (
        (Host.SCF, ""),
        (Host.ONE_MACHINE, ", or sqlite:/PATH if all of them run on this machine"),
    ):
        with pytest.raises(SettingsInvalid) as told:
            host.require_shared("memory:", ["chat", "callers.demo.v2"])
        assert str(told.value) == (
            f"KEYPAIR_STORE: chat needs a store that all instances share, redis:// or rediss://{also}"
        )
        host.require_shared("memory:", [])


def starts(
    emulator: EmulatorProcess, folder: Path, policy: Mapping[str, Any], settings: Mapping[str, str]
) -> bool:
    try:
        FunctionUnderTest(emulator, folder / "policy.json", policy=policy, settings=settings)
    except SettingsInvalid as error:
        assert "needs a store that all instances share" in str(error)  # noqa: PT017  # one of two outcomes
        return False
    return True


def test_what_two_instances_would_do(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """What the attack is about: two processes with a store in memory both accept one token."""
    stolen = token(EC, claims(iss="once", sub="burner"), alg="ES256")
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        instance = bearer_function(emulator, folder)
        assert ask(instance, stolen).status == 201
        assert ask(instance, stolen).status == 401


@pytest.mark.parametrize("policy", [ONCE, V2], ids=["once", "v2"])
def test_the_function_does_not_start(
    emulator: EmulatorProcess, tmp_path: Path, policy: Mapping[str, Any]
) -> None:
    memory = {"KEYPAIR_STORE": "memory:"}
    sqlite, redis = {"KEYPAIR_STORE": f"sqlite:{tmp_path}/store"}, {"KEYPAIR_STORE": "redis://localhost:6379"}
    # On SCF a file is no better than memory. On one machine or in one container it is.
    accepted = [
        starts(emulator, tmp_path, policy, {**host, **store})
        for host in (ON_SCF, CLOUD)
        for store in (memory, sqlite, redis)
    ]
    assert accepted == [False, False, True, False, True, True]
    assert starts(emulator, tmp_path, POLICY, {**ON_SCF, **memory})


@pytest.mark.parametrize("environment", [{}, {"KEYPAIR_STORE": "sqlite:/tmp/store"}])
def test_the_package_is_not_built(
    environment: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"callers": {"demo": V2["callers"]["demo"]}}))
    arguments = ["--policy", str(policy), "--output", str(tmp_path / "zip"), "--without-bytecode"]
    assert build(arguments, environment=environment) == 1
    assert capsys.readouterr().err.endswith(
        "callers.demo.v2 needs a store that all instances share; set KEYPAIR_STORE=rediss://…, or build it "
        "--with redis\n"
    )


def test_a_file_on_scf_vouches_for_nothing(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Each instance has a file of its own, so the description must tell that a key pair was released."""
    settings = {**ON_SCF, "KEYPAIR_STORE": f"sqlite:{tmp_path}/store"}
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", settings=settings)
    assert function.services.issuer.ledger.store.shared is False
