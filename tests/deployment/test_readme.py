"""The README's commands that deploy, each of them twice."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.function_process import ROOT, clean_environment

if TYPE_CHECKING:
    from tests.deployment.conftest import CloudStandIn, Deployer

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
[COMMANDS] = [block.splitlines() for block in BLOCKS if "scripts/deploy apply" in block]


def type_line(line: str, deployer: Deployer) -> int:
    command, *arguments = shlex.split(line, comments=True)
    if command == "scripts/deploy":
        policy = str(deployer.folder / "policy.toml")
        return deployer.run(*arguments, "--policy", policy, "--package", str(deployer.package))
    if command.startswith("scripts/"):
        command = str(ROOT / command)
    environment = {**clean_environment(), "PYTHON": sys.executable}
    return subprocess.run([command, *arguments], cwd=deployer.folder, env=environment, check=False).returncode


def test_deploying_by_the_readme(deployer: Deployer, cloud: CloudStandIn) -> None:
    deployer.at_terminal = True
    del deployer.environment["KEYPAIR_MASTER_SECRET"]
    policy = deployer.folder / "policy.toml"
    policy.unlink()
    (deployer.folder / "policy.example.toml").symlink_to(ROOT / "policy.example.toml")
    for line in COMMANDS:
        assert type_line(line, deployer) == 0, line + deployer.error
    with policy.open("a") as file:
        file.write("# edited\n")
    deployed = cloud.function["configuration"]["Environment"]

    # Typed again, no line undoes the edit, and no caller's secret changes.
    copy, *others = COMMANDS
    type_line(copy, deployer)  # newer versions of cp fail where the file exists
    for line in others:
        assert type_line(line, deployer) == 0, line + deployer.error
    assert policy.read_text().endswith("# edited\n")
    assert cloud.function["configuration"]["Environment"] == deployed
    assert "KEYPAIR_MASTER_SECRET" in str(deployed)
