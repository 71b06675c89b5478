"""Every command of docs/opening.md, run as it stands there: the agent has the key, the disk does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import cms_owners, jwe_owners, pgp_owners
from tests.support.function_under_test import POLICY, REST, FunctionUnderTest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.emulator_process import EmulatorProcess

pytestmark = pytest.mark.process

DOC = (Path(__file__).parents[2] / "docs" / "opening.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", DOC, re.MULTILINE | re.DOTALL)


def command(containing: str) -> str:
    found: str
    [found] = [text for text in COMMANDS if containing in text]
    return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Give a test a home folder with an agent of its own."""
    (tmp_path / "gnupg").mkdir(mode=0o700)
    environment = {
        "HOME": str(tmp_path),
        "GNUPGHOME": str(tmp_path / "gnupg"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    started = subprocess.run(
        ["ssh-agent", "-s"], env=environment, check=True, capture_output=True, text=True
    ).stdout
    agent = dict(re.findall(r"^(SSH_\w+)=([^;]+);", started, re.MULTILINE))
    try:
        yield environment | agent
    finally:
        subprocess.run(["ssh-agent", "-k"], env=environment | agent, check=True, capture_output=True)


def age_identity(home: Path) -> str:
    key = home / ".ssh" / "id_ed25519"
    key.parent.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return key.with_suffix(".pub").read_text()


def jwk_identity(kind: str) -> Callable[[Path], str]:
    def make(home: Path) -> str:
        owner = jwe_owners.make_owner(kind)
        (home / "key.jwk").write_text(owner.key.export_private())
        return owner.public

    return make


def pem_identity(home: Path) -> str:
    return cms_owners.make_owner("P-256", home / "key.pem").text


def pgp_identity(home: Path) -> str:
    gpg = pgp_owners.Gpg(home / "gnupg")
    return gpg.public(gpg.make())


@pytest.mark.parametrize(
    "case",
    [
        (age_identity, "age", "age -d"),
        (jwk_identity("P-256"), "jwe", "jose jwe"),
        (jwk_identity("RSA"), "jwe", "jwcrypto"),
        (jwk_identity("X25519"), "jwe", "jwcrypto"),
        (pem_identity, "cms", "openssl cms"),
        (pgp_identity, "asc", "gpg"),
    ],
    ids=["age", "jwe", "jwe-rsa", "jwe-x25519", "cms", "openpgp"],
)
def test_the_agent_gets_the_key(
    case: tuple[Callable[[Path], str], str, str],
    home: dict[str, str],
    emulator: EmulatorProcess,
    tmp_path: Path,
) -> None:
    identity, suffix, used = case
    policy = {name: value for name, value in POLICY.items() if name != "escrow"}
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", policy=policy)
    function.clock.time = time.time()  # PGP keys are made by the true clock
    recipient = identity(tmp_path)
    answer = function.call(function.signed(REST, function.rest_body(recipients=[recipient])))
    assert answer.status == 201, answer.body
    (tmp_path / f"web_1.{suffix}").write_text(answer.json["sealedPrivateKey"]["ciphertext"])
    before = sorted(tmp_path.rglob("*.pem"))

    def run(text: str) -> str:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=tmp_path,
            env=home,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    try:
        run(command(used))
        assert answer.json["fingerprint"] in run("ssh-add -l")
        assert sorted(tmp_path.rglob("*.pem")) == before
    finally:
        function.delete_key_pairs()
        subprocess.run(["gpgconf", "--kill", "all"], env=home, check=True)


def test_all_commands_are_covered() -> None:
    used = {"age -d", "jose jwe", "jwcrypto", "openssl cms", "gpg"}
    assert {command(text) for text in used} == set(COMMANDS)
