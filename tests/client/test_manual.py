"""docs/client.md, walked as a new user would: every command of it, in its order."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from client.cli import keypair
from tests.support.client_command import Home, public_half, running_agent, with_command
from tests.support.function_process import ROOT, clean_environment
from tests.support.web_sshd import GREETING, running_sshd

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.conftest import Served

MANUAL = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", MANUAL, re.MULTILINE | re.DOTALL)

INSTALL, SERVE, LOCAL = BLOCKS[:3]
"""The first three are for test_two_terminals."""


def test_every_command(tmp_path: Path, service: Served) -> None:
    home = Home(tmp_path)
    home.ssh.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home.ssh / "id_ed25519"], check=True)
    secret = service.process.info["secretKey"]
    with running_agent(tmp_path) as agent:
        environment = with_command(home, tmp_path / "bin") | agent
        for block in BLOCKS[3:]:
            typed = (
                block.replace("https://keys.example.com", service.process.url)
                .replace("https://test.example.com", service.process.url)
                .replace("alice", "demo")
                .replace("keypair login", f"keypair login --stdin <<< {secret}")
                .replace("config use test", "config use test && keypair config use default")
            )
            done = subprocess.run(
                ["bash", "-euc", typed], env=environment, cwd=tmp_path,
                capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip
            assert done.returncode == 0, block + done.stdout + done.stderr
    assert sorted(path.name for path in home.ssh.glob("web_*")) == ["web_2", "web_3"]
    assert public_half(tmp_path / "web_5.pem")
    assert public_half(tmp_path / "web_6.pem")
    assert home.pending() == []


def test_two_terminals(tmp_path: Path) -> None:
    """`scripts/serve --emulator` in one, `keypair --local create web_1` in the other, and ssh logs in."""
    home = Home(tmp_path)
    environment = {**clean_environment(), "HOME": str(tmp_path), "PYTHON": sys.executable}
    environment.pop("XDG_STATE_HOME", None)
    command = [sys.executable, "-m", "scripts.function_url", *shlex.split(SERVE)[1:]]
    assert shlex.split(SERVE)[0] == "scripts/serve"
    profile = home.state / "local.json"
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("Ctrl-C" in line for line in process.stdout)
        assert profile.stat().st_mode & 0o777 == 0o600
        done = subprocess.run(
            shlex.split(LOCAL), env=with_command(home, tmp_path / "bin"), cwd=tmp_path,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        process.send_signal(signal.SIGTERM)
    assert not profile.exists()
    assert done.stdout == "ssh -i ~/.ssh/web_1 root@HOST\n"
    server = tmp_path / "server"
    server.mkdir()
    with running_sshd(server, public_half(home.ssh / "web_1")) as port:
        typed = done.stdout.replace("~", str(tmp_path)).replace("HOST", "127.0.0.1")
        options = f"-F none -p {port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        said = subprocess.run(
            shlex.split(typed.replace("ssh ", f"ssh {options} ", 1)),
            capture_output=True,
            text=True,
            check=True,
        )
    assert said.stdout.strip() == GREETING


def test_the_exit_codes_are_those_of_help() -> None:
    help_text = click.Context(keypair, info_name="keypair").get_help()
    rows = dict(re.findall(r"^\| (\d+) \| (.*?) \|$", MANUAL, re.MULTILINE))
    shown = dict(re.findall(r"^ +(\d+) +(\S.*)$", help_text, re.MULTILINE))
    assert rows == shown


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(tmp_path: Path, shell: str) -> None:
    home = Home(tmp_path)
    script = home.run("completion", shell).stdout
    assert f"_KEYPAIR_COMPLETE={shell}_complete" in script
    # What the script runs when somebody presses the tabulator key.
    words = {"COMP_WORDS": "keypair cr", "COMP_CWORD": "cr" if shell == "fish" else "1"}
    done = home.run(environment={"_KEYPAIR_COMPLETE": f"{shell}_complete", **words})
    assert "create" in done.stdout


def test_help_is_quick(tmp_path: Path) -> None:
    """Nothing heavy is imported to show the help."""
    program = "import sys; from client.cli import run; run(['-h']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        env=Home(tmp_path).variables,
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    heavy = {
        "requests",
        "cryptography",
        "pyrage",
        "joserfc",
        "tomlkit",
        "keyring",
        "id",
        "urllib3",
        "ssl",
        "http",
    }
    assert heavy & set(loaded.split()) == set()
