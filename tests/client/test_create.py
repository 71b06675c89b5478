"""`keypair create` against a real function: files, formats, agent, ssh configuration, envelopes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from client.ssh_config import SshConfig, parse_host
from tests.client.conftest import key_pairs
from tests.support.client_command import Home, listed, needs, public_half, running_agent
from tests.support.function_under_test import fresh_name
from tests.support.web_sshd import GREETING, running_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.client.conftest import Served


@pytest.mark.interpreter
def test_a_name_is_enough_for_a_key_that_logs_in(home: Home, tmp_path: Path) -> None:
    done = home.run("create", "web_1")

    key = home.ssh / "web_1"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.ssh.stat().st_mode) == 0o700
    assert done.stdout == "ssh -i ~/.ssh/web_1 root@HOST\n"
    assert home.pending() == []
    assert sorted(path.name for path in home.ssh.iterdir()) == ["web_1"]
    server = tmp_path / "server"
    server.mkdir()
    with running_sshd(server, public_half(key)) as port:
        options = f"-F none -p {port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        typed = done.stdout.replace("~", str(home.folder)).replace("HOST", "127.0.0.1")
        command = shlex.split(typed.replace("ssh ", f"ssh {options} ", 1))
        said = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
        )
    assert said.stdout.strip() == GREETING


def test_what_was_asked_for_reaches_the_cloud(home: Home, service: Served) -> None:
    name = fresh_name()
    done = home.run(
        "create", name, "--region", "ap-guangzhou", "--expires", "12h", "--tag", "team=web", "--json"
    )
    answer = json.loads(done.stdout)
    pair = key_pairs(service)[name]
    assert answer["keyId"] == pair["KeyId"]
    assert {"Key": "team", "Value": "web"} in pair["Tags"]
    assert answer["expiresAt"]
    assert Path(answer["privateKeyFile"]) == home.ssh / name
    assert answer["publicKey"] == public_half(home.ssh / name)
    assert "sealedPrivateKey" not in answer


@pytest.mark.parametrize(
    ("key_format", "heading"),
    [
        ("pkcs1", "-----BEGIN RSA PRIVATE KEY-----"),
        ("pkcs8", "-----BEGIN PRIVATE KEY-----"),
        ("openssh", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    ],
)
def test_formats(home: Home, key_format: str, heading: str) -> None:
    name = fresh_name()
    answer = json.loads(home.run("create", name, "--format", key_format, "--json").stdout)
    assert (home.ssh / name).read_text().startswith(heading + "\n")
    assert public_half(home.ssh / name) == answer["publicKey"]


@needs("puttygen")
def test_putty_reads_its_format(home: Home) -> None:
    name = fresh_name()
    answer = json.loads(home.run("create", name, "--format", "ppk", "--json").stdout)
    key = home.ssh / f"{name}.ppk"
    assert answer["privateKeyFile"] == str(key)
    printed = subprocess.run(["puttygen", key, "-L"], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == f"{answer['publicKey']} {name}"
    converted = home.folder / "converted"
    subprocess.run(["puttygen", key, "-O", "private-openssh-new", "-o", converted], check=True)
    assert public_half(converted) == answer["publicKey"]


def test_openssh_carries_the_name(home: Home) -> None:
    name = fresh_name()
    home.run("create", name, "--format", "openssh")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(home.ssh / name)], capture_output=True, text=True, check=True
    ).stdout
    assert shown.split()[2] == name


def test_an_existing_file_is_left_alone_and_nothing_is_ordered(home: Home, service: Served) -> None:
    name = fresh_name()
    home.ssh.mkdir()
    (home.ssh / name).write_text("precious")
    done = home.run("create", name, status=5)
    assert "exists, and is left alone" in done.stderr
    assert (home.ssh / name).read_text() == "precious"
    assert name not in key_pairs(service)
    assert home.pending() == []


@pytest.mark.parametrize("suffix", ["age", "jwe", "cms", "asc"])
def test_an_existing_envelope_is_left_alone_and_nothing_is_ordered(
    suffix: str, home: Home, service: Served
) -> None:
    """Which suffix it gets is known with the answer only."""
    name = fresh_name()
    file = home.folder / f"{name}.{suffix}"
    file.write_text("precious")
    recipient = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"
    done = home.run("create", name, "--recipient", recipient, status=5)
    assert f"{name}.{suffix} exists, and is left alone" in done.stderr
    assert file.read_text() == "precious"
    assert name not in key_pairs(service)
    assert home.pending() == []


def test_a_taken_name_is_said_with_another_one(home: Home) -> None:
    name = fresh_name()
    home.run("create", name)
    done = home.run("create", name, "--save", home.folder / "elsewhere", status=5)
    assert f"keypair create {name[:23]}_2" in done.stderr
    # A password in an address is not repeated.
    done = home.run("--url", "https://user:hunter2@keys.example.com", "config", "set", "token", "x", status=2)
    assert "hunter2" not in done.stderr
    # Typed as it is shown, it goes to the same function.
    done = home.run("--url", home.environment["KP_URL"], "create", name, "--save", "there", status=5)
    assert f"keypair --url {home.environment['KP_URL']} create {name[:23]}_2" in done.stderr
    assert not (home.folder / "elsewhere").exists()
    assert home.pending() == []


# ---------------------------------------------------------------- ssh-agent


@pytest.fixture
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with running_agent(tmp_path_factory.mktemp("agent")) as environment:
        yield environment


@needs("strace")
def test_the_agent_gets_the_key_and_no_file_does(home: Home, agent: dict[str, str]) -> None:
    name = fresh_name()
    trace = home.folder / "trace"
    command = ["strace", "-f", "-y", "-e", "trace=write,pwrite64,writev", "-s", "100000", "-o", str(trace)]
    done = subprocess.run(
        [*command, *home.command("create", name, "--agent", "--json")],
        env=home.variables | agent, cwd=home.folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert f"{answer['fingerprint']} {name} (RSA)" in listed(agent)
    assert [path.name for path in home.ssh.iterdir()] if home.ssh.exists() else [] == []
    assert home.pending() == []
    # The one write of the key is into the pipe of `ssh-add -`, which then tells the agent.
    writes = [line for line in trace.read_text().splitlines() if "PRIVATE KEY" in line]
    assert len(writes) == 1
    assert re.search(r"write\(\d+<pipe:", writes[0])
    files = [path for path in home.folder.rglob("*") if path.is_file() and path != trace]
    assert not [path for path in files if b"PRIVATE KEY" in path.read_bytes()]


@needs("faketime")
def test_the_agent_forgets_the_key_after_its_lifetime(home: Home) -> None:
    """A minute passes in less than a second for this agent."""
    name = fresh_name()
    # Debian's own is setgid, which keeps faketime out.
    copy = shutil.copy(str(shutil.which("ssh-agent")), home.folder / "ssh-agent")
    with running_agent(home.folder, "faketime", "-f", "+0 x100", program=copy) as agent:
        home.run("create", name, "--agent", "--lifetime", "60m", environment=agent)
        assert name in listed(agent)
        another = fresh_name()
        home.run("create", another, "--agent", "--lifetime", "1m", environment=agent)
        deadline = time.monotonic() + 30
        while another in listed(agent):
            assert time.monotonic() < deadline
        assert name in listed(agent)


def test_while_the_agent_gets_the_key_the_disk_does_not_hold_the_answer(home: Home) -> None:
    """The identity is in the state folder; with the envelope beside it, the key would be on the disk."""
    programs = home.folder / "bin"
    programs.mkdir()
    (programs / "ssh-add").write_text(
        '#!/bin/sh\n[ "$1" = -l ] || cat "$HOME"/.local/state/keypair/pending/*.json >"$HOME/seen"\n'
    )
    (programs / "ssh-add").chmod(0o755)
    home.run("create", fresh_name(), "--agent", environment={"PATH": f"{programs}:{home.variables['PATH']}"})
    seen = json.loads((home.folder / "seen").read_text())
    assert seen["identity"].startswith("AGE-SECRET-KEY-")
    assert seen["answer"] is None


def test_without_an_agent_nothing_is_ordered(home: Home, service: Served) -> None:
    name = fresh_name()
    done = home.run("create", name, "--agent", status=10)
    assert 'eval "$(ssh-agent)"' in done.stderr
    assert name not in key_pairs(service)


def test_a_public_key_that_is_there_is_not_overwritten(
    home: Home, service: Served, agent: dict[str, str]
) -> None:
    """It could be that of the user's own key: what is sealed to it later would not open."""
    home.ssh.mkdir(mode=0o700)
    own = home.ssh / "id_ed25519.pub"
    own.write_text("ssh-ed25519 AAAA alice@laptop\n")
    command = ("create", "id_ed25519", "--agent", "--host", "root@203.0.113.7", "--no-include")
    done = home.run(*command, environment=agent, status=5)
    assert "~/.ssh/id_ed25519.pub exists, and is left alone" in done.stderr
    assert own.read_text() == "ssh-ed25519 AAAA alice@laptop\n"
    assert home.pending() == []
    assert "id_ed25519" not in key_pairs(service)


# ---------------------------------------------------------------- ssh configuration


def test_ssh_by_name(home: Home) -> None:
    name = fresh_name()
    home.ssh.mkdir(mode=0o700)
    (home.ssh / "config").write_text("Host other\n    User me\n")
    done = home.run("create", name, "--host", "root@127.0.0.1:2222", "--include")
    assert done.stdout == f"ssh {name}\n"
    assert (home.ssh / "config").read_text() == "Include config.d/keypair\n\nHost other\n    User me\n"
    block = (home.ssh / "config.d" / "keypair").read_text()
    expected = f"Host {name}\n    HostName 127.0.0.1\n    User root\n    Port 2222\n"
    assert f"{expected}    IdentityFile ~/.ssh/{name}\n    IdentitiesOnly yes\n" in block
    another = fresh_name()
    home.run("create", another, "--host", "ubuntu@[2001:db8::7]:22")
    assert home.run("create", fresh_name(), "--host", "h", "--no-include").stdout.startswith("ssh k_")
    kept = (home.ssh / "config.d" / "keypair").read_text()
    assert block.strip() in kept
    assert f"Host {another}\n    HostName 2001:db8::7\n    User ubuntu\n    Port 22\n" in kept


@pytest.mark.parametrize("folder", ["o'brien", 'a "b" c', "100%", "back\\slash and blank"])
def test_ssh_understands_the_path(folder: str, home: Home) -> None:
    name = fresh_name()
    place = home.folder / folder
    place.mkdir()
    home.run("create", name, "--host", "root@127.0.0.1", "--save", place / name, "--no-include")
    config = home.ssh / "config.d" / "keypair"
    ssh = ["ssh", "-F", str(config), "-p", "1"]
    read = subprocess.run([*ssh, "-G", name], env=home.variables, capture_output=True, text=True, check=True)
    # ssh expands what begins with % later.
    assert f"\nidentityfile ~/{folder.replace('%', '%%')}/{name}\n" in read.stdout
    tried = subprocess.run([*ssh, name], env=home.variables, capture_output=True, text=True, check=False)
    assert "Connection refused" in tried.stderr


def test_a_configuration_that_cannot_be_read_is_left_alone(home: Home) -> None:
    """A socket, as root can read every file: reading it fails, and replacing it would not."""
    home.ssh.mkdir(mode=0o700)
    os.mknod(home.ssh / "config", stat.S_IFSOCK | 0o600)
    name = fresh_name()
    done = home.run("create", name, "--host", "h", "--include", status=10)
    assert "~/.ssh/config cannot be read" in done.stderr
    assert (home.ssh / "config").is_socket()
    # Without --include nothing depends on it.
    assert home.run("create", name, "--host", "h").stdout == f"ssh -F ~/.ssh/config.d/keypair {name}\n"


def test_what_others_wrote_into_the_file_of_hosts_stays(tmp_path: Path) -> None:
    config = SshConfig(tmp_path)
    config.add("one", parse_host("root@1.2.3.4"), tmp_path / "one")
    file = config.file
    mine = (
        b"# mine, by M\xfcller\nMatch host x\n    ProxyJump b\n\nHost one two\n    Port 1\n"
        b"Host\tthree\n    User me"
    )
    file.write_bytes(file.read_bytes() + b"\n" + mine)
    config.add("four", parse_host("root@1.2.3.5"), tmp_path / "four")
    config.add("one", parse_host("root@1.2.3.6"), tmp_path / "one")
    text = file.read_bytes()
    assert mine in text
    assert b"1.2.3.4" not in text
    blocks = [line for line in text.decode("latin-1").splitlines() if line.startswith("Host")]
    assert blocks == ["Host one", "Host one two", "Host\tthree", "Host four"]


def test_the_include_line_is_offered_and_not_forced(home: Home) -> None:
    name = fresh_name()
    done = home.run("create", name, "--host", "root@203.0.113.7")
    assert "Include config.d/keypair" in done.stderr
    assert done.stdout == f"ssh -F ~/.ssh/config.d/keypair {name}\n"
    assert not (home.ssh / "config").exists()
    shown = subprocess.run(
        ["ssh", "-G", "-F", str(home.ssh / "config.d" / "keypair"), name],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "hostname 203.0.113.7\n" in shown
    assert "user root\n" in shown


# ---------------------------------------------------------------- envelopes for others


def test_an_envelope_for_somebody_else_is_opened_with_age(home: Home) -> None:
    name = fresh_name()
    identity = home.folder / "identity.txt"
    subprocess.run(["age-keygen", "-o", str(identity)], check=True, capture_output=True)
    recipient = subprocess.run(
        ["age-keygen", "-y", str(identity)], check=True, capture_output=True, text=True
    ).stdout
    done = home.run("create", name, "--recipient", "-", stdin=recipient)
    assert done.stdout.startswith("keypair open ")
    assert recipient.strip() in done.stderr
    home.run("open", f"{name}.age", "-i", identity)
    assert public_half(home.folder / f"{name}.pem")


def test_a_public_key_file_with_windows_line_ends(home: Home) -> None:
    name = fresh_name()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home.folder / "id")], check=True)
    public = home.folder / "id.pub"
    public.write_bytes(b"\xef\xbb\xbf" + public.read_bytes().replace(b"\n", b"\r\n"))
    home.run("create", name, "--recipient", public)
    home.run("open", f"{name}.age", "-i", home.folder / "id")
    assert public_half(home.folder / f"{name}.pem")
