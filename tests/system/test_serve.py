"""`scripts/serve` and `scripts/demo` as a new user meets them: twice, with mistakes, offline."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest

from client.folders import local_profile
from scripts.function_url.local_profile import LocalProfile
from scripts.info_file import read_info, write_info
from tests.support.client_command import Home
from tests.support.function_process import ROOT, clean_environment, function_command, running_function

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.function_process import FunctionProcess

GRANTS = 'names = ["*"]\nregions = ["ap-guangzhou"]\nown_recipients = true\n'


def serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `scripts/serve` where it has to end by itself."""
    done = subprocess.run(
        function_command(*arguments),
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
    return done


@pytest.fixture(scope="module")
def function() -> Iterator[FunctionProcess]:
    with running_function(emulator=True) as running:
        yield running


def test_a_second_one_leaves_the_file_of_the_first_alone(function: FunctionProcess, tmp_path: Path) -> None:
    info = tmp_path / "info.json"
    info.write_text(json.dumps(function.info))
    refused = serve("--emulator", "--info", str(info))
    assert refused.stderr == (
        f"{info} belongs to a function that runs (process {function.process.pid}). Name another file.\n"
    )
    assert json.loads(info.read_text()) == function.info


def test_the_file_of_a_run_that_died_is_replaced(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    info = tmp_path / "info.json"
    info.write_text(json.dumps({"pid": ended.pid}))
    refused = serve("--info", str(info))
    assert "KEYPAIR_REGION" in refused.stderr  # it went on, up to its settings
    assert not info.exists()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = serve("--emulator", "--port", str(port), "--info", str(tmp_path / "info.json"))
    assert refused.stderr == f"Port {port} is in use. Choose another --port, or none for any free one.\n"
    assert "--port must be at most 65535" in serve("--port", "65536").stderr


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "KEYPAIR_HOSTS"),
        ({"KEYPAIR_STORE": "memcached:"}, "KEYPAIR_STORE"),
        ({"KEYPAIR_REGIONS": "ap-guangzhou"}, "KEYPAIR_REGIONS"),
        ({"KEYPAIR_MASTER_SECRET": "short"}, "KEYPAIR_MASTER_SECRET"),
    ],
)
def test_it_does_not_start_misconfigured(environment: dict[str, str], named: str, tmp_path: Path) -> None:
    arguments = ["--info", str(tmp_path / "info.json"), *(["--emulator"] if environment else [])]
    refused = serve(*arguments, **environment)
    assert named in refused.stderr
    assert refused.stdout == ""


def test_the_caller_is_one_of_the_policy(tmp_path: Path) -> None:
    """`keypair --local` signs as that caller, also with the second secret that it was given."""
    policy = tmp_path / "policy.toml"
    policy.write_text(
        f"[callers.page]\nv2 = ['HmacSHA256']\n[[callers.page.grants]]\n{GRANTS}\n"
        f"[callers.alice]\ntc3 = true\ngeneration = 2\n[[callers.alice.grants]]\n{GRANTS}"
    )
    with running_function(emulator=True, policy=policy) as served:
        assert "caller         alice (secret id" in served.stdout
        environment = {
            "KP_URL": served.url,
            "KP_SECRET_ID": served.info["secretId"],
            "KP_SECRET_KEY": served.info["secretKey"],
        }
        Home(tmp_path, environment).run("create", "web_1")


def test_the_client_finds_the_last_one_that_still_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    def found() -> object:
        return read_info(local_profile()).get("url")

    write_info_of_the_dead(local_profile())
    with LocalProfile("http://first", "demo", "secret").published():
        with LocalProfile("http://second", "demo", "secret").published() as replaced:
            assert (found(), replaced) == ("http://second", "http://first")
        assert found() == "http://first"
    assert found() is None


def test_an_info_file_is_not_written_into_what_somebody_else_put_there(tmp_path: Path) -> None:
    path, victim = tmp_path / "info.json", tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o666)
    (tmp_path / f".info.json.{os.getpid()}").symlink_to(victim)
    write_info(path, {"secretKey": "s"})
    assert victim.read_text() == "precious"
    assert (path.is_symlink(), path.stat().st_mode & 0o777) == (False, 0o600)
    assert read_info(path) == {"secretKey": "s"}


def write_info_of_the_dead(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with subprocess.Popen(["true"]) as process:
        process.wait()
    write_info(path, {"url": "http://dead", "pid": process.pid})


def test_a_policy_without_signing_callers_has_no_caller_to_name(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[callers.demo]\nv2 = ["HmacSHA256"]\n[[callers.demo.grants]]\n{GRANTS}')
    with running_function(emulator=True, policy=policy) as served:
        assert "caller         none of the policy" in served.stdout
        assert served.info["secretId"] is None
        assert served.info["secretKey"] is None


def test_the_page_is_there_at_once() -> None:
    with running_function(emulator=True, web=True) as served:
        secret = served.info["secretKey"]
        assert f"web page       {served.url}/ (sign in with ID demo, secret {secret})" in served.stdout
        with urllib.request.urlopen(served.url, timeout=30) as page:  # noqa: S310  # loopback
            assert b"<title>" in page.read()
    assert "--web needs --emulator" in serve("--web").stderr


@pytest.fixture
def somebody_s_clone(tmp_path: Path) -> Path:
    """A clone in which a plain user can write, with one small package to install."""
    folder = tmp_path / "clone"
    for name in ("python", "tools", "demo"):
        (folder / "scripts").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
    (folder / "requirements").mkdir()
    digest = "0" * 64
    (folder / "requirements" / "local.txt").write_text(f"click==8.3.0 --hash=sha256:{digest}\n")
    return folder


def test_offline_is_called_that(somebody_s_clone: Path) -> None:
    settings = somebody_s_clone / "pip.conf"
    settings.write_text("[global]\nindex-url = http://127.0.0.1:9/simple\nretries = 1\n")
    machine = {name: value for name, value in clean_environment().items() if not name.startswith("PIP_")}
    done = subprocess.run(
        [somebody_s_clone / "scripts" / "python", "-c", ""],
        env={
            **machine,
            "PIP_CONFIG_FILE": str(settings),
            "PYTHON": sys.executable,
            "REQUIREMENTS": "local",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("There is no network")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_plain_user_is_told_the_command_for_sudo(somebody_s_clone: Path) -> None:
    programs = somebody_s_clone / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "id", "sort", "sed", "apt-get", "uname"):
        (programs / name).symlink_to(shutil.which(name) or f"/usr/bin/{name}")
    for folder in (somebody_s_clone, *somebody_s_clone.parents[:3]):
        folder.chmod(0o755)
    done = subprocess.run(
        [somebody_s_clone / "scripts" / "tools", "age", "ssh-keygen"],
        env={"PATH": str(programs), "HOME": "/nonexistent"},
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(
        r"^  sudo apt-get update && sudo apt-get install age openssh-client$", done.stderr, re.MULTILINE
    )
