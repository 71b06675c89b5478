"""docs/deploy.md as a new user follows it: its commands, against the stand-in."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.deployment.function_settings import environment_of
from tests.deployment.conftest import STUB, write_stub
from tests.support.function_process import ROOT, clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deployment.conftest import Deployer

PAGE = (ROOT / "docs" / "deploy.md").read_text("utf-8")


def commands() -> list[list[str]]:
    """Return the arguments of every `scripts/deploy` in the page's blocks, without what is optional."""
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    lines = [line.partition("#")[0] for line in blocks.splitlines() if line.startswith("scripts/deploy ")]
    return [shlex.split(re.sub(r"\[[^\]]*\]", "", line))[1:] for line in lines]


def test_the_page_s_commands_work_one_after_the_other(deployer: Deployer) -> None:
    deployer.at_terminal = True
    del deployer.environment["KEYPAIR_MASTER_SECRET"]
    seen = []
    for command, *arguments in commands():
        if command in {"plan", "apply"}:
            arguments += ["--package", str(deployer.package)]
        if command == "destroy":
            arguments += ["--yes"]
        if command == "rollback":
            # Two versions with the same policy, which the stub of a package does not have.
            for change in ("# changed\n", "# changed again\n"):
                write_stub(deployer.package, STUB + change)
                assert deployer.apply() == 0, deployer.error
        assert deployer.run(command, *arguments) == 0, (command, deployer.error)
        if command == "rollback":
            assert deployer.apply() == 0, deployer.error
        seen.append(command)
    assert seen == ["plan", "apply", "status", "logs", "policy", "rollback", "secrets", "destroy"]


@pytest.mark.parametrize("page", ["deploy.md", "deploy.zh-CN.md"])
def test_the_page_gives_a_caller_its_secret(page: str, deployer: Deployer) -> None:
    """The output of `scripts/policy secret` is no terminal there."""
    [line] = re.findall(r"^export SECRET_ID=.*$", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE)
    line = line.replace("scripts/", f"{ROOT}/scripts/")
    line = line.replace("CALLER --print", "CALLER --print --policy policy.toml")
    line = line.replace("CALLER", "platform-team")
    done = subprocess.run(
        ["bash", "-c", f'{line}; echo "${{#SECRET_KEY}}"'],
        cwd=deployer.folder,
        env={**clean_environment(deployer.environment), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "43\n", done.stderr


def test_the_plan_for_people_names_each_step_and_no_secret(deployer: Deployer) -> None:
    assert deployer.run("plan", "--with-role", "--package", str(deployer.package)) == 0, deployer.error
    assert "1. make the role keypair-function-scf: cam CreateRole" in deployer.out
    assert "make the Function URL: scf CreateTrigger" in deployer.out
    assert deployer.environment["KEYPAIR_MASTER_SECRET"] not in deployer.out
    assert "***" in deployer.out


@pytest.mark.parametrize("line", ["A=1", "export A=1", "A='1'", 'A="1"', "  A=1  "])
def test_settings_may_stand_in_the_env_file(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"# a comment\n{line}\nB=2\n", "utf-8")
    assert environment_of(tmp_path, {"B": "3", "C": "4"}) == {"A": "1", "B": "3", "C": "4"}
    assert environment_of(tmp_path / "nowhere", {}) == {}
