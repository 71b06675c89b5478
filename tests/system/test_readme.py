"""The README walked as a new user would: every command of it, in its order, and each of them twice."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.client.conftest import served
from tests.support.client_command import Home, credentials, public_half, running_agent, with_command
from tests.support.function_process import ROOT, clean_environment
from tests.support.web_sshd import GREETING, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.client.conftest import Served

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
TWO_COMMANDS, SERVE, FIRST_KEY, DEPLOY, SIGN_IN, MORE_KEYS = BLOCKS
"""DEPLOY is for tests/deployment/test_readme.py."""
_EXISTS = 5


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service")) as running:
        yield running


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def type_line(line: str, environment: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["bash", "-euc", line], env=environment, cwd=folder,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def type_twice(block: str, environment: Mapping[str, str], home: Home) -> None:
    """Type a block; then type it again, and see that no key and no envelope changes."""
    for line in block.splitlines():
        done = type_line(line, environment, home.folder)
        assert done.returncode == 0, line + done.stdout + done.stderr
    keys = [home.ssh, *home.folder.glob("*.age"), *home.folder.glob("*.pem")]
    before = {path: contents(path) if path.is_dir() else path.read_bytes() for path in keys}
    for line in block.splitlines():
        expected = {_EXISTS} if " create " in line else {0, _EXISTS}
        assert type_line(line, environment, home.folder).returncode in expected, line
    assert {path: contents(path) if path.is_dir() else path.read_bytes() for path in keys} == before
    assert home.pending() == []


def test_two_commands(tmp_path: Path, service: Served) -> None:
    home = Home(tmp_path, credentials(service.process))
    environment = with_command(home, tmp_path / "bin")
    create, ssh = TWO_COMMANDS.replace("root@203.0.113.7", f"{getpass.getuser()}@127.0.0.1").splitlines()
    type_twice(create, environment, home)
    server = tmp_path / "server"
    server.mkdir()
    with running_sshd(server, public_half(home.ssh / "db_1")) as port:
        # ssh does not look at HOME, so this says where it is.
        block = home.ssh / "config.d" / "keypair"
        block.write_text(block.read_text().replace("~", str(tmp_path)))
        options = f"-F {block} -p {port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        done = type_line(ssh.replace("ssh ", f"ssh {options} "), os.environ, tmp_path)
    assert done.stdout.strip() == GREETING, done.stderr


def test_a_key_in_one_minute(tmp_path: Path) -> None:
    home = Home(tmp_path)
    environment = {**clean_environment(), "HOME": str(tmp_path), "PYTHON": sys.executable}
    environment.pop("XDG_STATE_HOME", None)
    install, create = FIRST_KEY.splitlines()
    assert install == "pipx install ."  # tests/client/test_installed.py
    with subprocess.Popen(
        shlex.split(SERVE), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any("Ctrl-C" in line for line in process.stdout)
        type_twice(create, with_command(home, tmp_path / "bin"), home)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert public_half(home.ssh / "web_1")


def test_signing_in_and_more_keys(tmp_path: Path, service: Served) -> None:
    home = Home(tmp_path)
    home.ssh.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home.ssh / "id_ed25519"], check=True)
    secret = service.process.info["secretKey"]
    sign_in = (
        SIGN_IN.replace("https://keys.example.com", service.process.url)
        .replace("alice", "demo")
        .replace("keypair login", f"keypair login --stdin <<< {secret}")
    )
    with running_agent(tmp_path) as agent:
        environment = with_command(home, tmp_path / "bin") | agent
        type_twice(sign_in, environment, home)
        type_twice(MORE_KEYS, environment, home)
        listed = type_line("ssh-add -l", environment, tmp_path).stdout
    assert len(listed.splitlines()) == 1
    assert public_half(tmp_path / "web_3.pem")


def test_scripts_and_links_exist() -> None:
    for name in set(re.findall(r"scripts/([\w-]+)", README)):
        assert os.access(ROOT / "scripts" / name, os.X_OK), name
    for link in re.findall(r"\]\(([^)#:]+)", README):
        assert (ROOT / link).exists(), link


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 150
