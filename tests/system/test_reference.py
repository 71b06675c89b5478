"""Every command of docs/reference.md, run as it stands there, and its table of settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from handler.api.key_pairs import ListAnswer, OwnedAnswer
from handler.settings import Settings
from tests.support.chat_settings import all_chat_setting_names
from tests.support.command_line import TCCLI, caller_environment, policy_with
from tests.support.function_process import ROOT, FunctionProcess, running_function

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", REFERENCE, re.MULTILINE | re.DOTALL)


def block(containing: str) -> str:
    """Return the one code block with this text; another edit of the page shows here."""
    found: str
    [found] = [text for _, text in BLOCKS if containing in text]
    return found


@dataclass(frozen=True)
class Home:
    """A caller's home folder with an SSH key, and the function that is served to it."""

    folder: Path
    function: FunctionProcess
    recipient: str

    def run(self, *command: str, stdin: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
        # `scripts` as in a clone; what the commands write lands in the home folder.
        environment = {
            **caller_environment(self.function),
            "HOME": str(self.folder),
            "PATH": f"{TCCLI.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RECIPIENT": self.recipient,
            "TENCENTCLOUD_SECRET_ID": self.function.info["secretId"],
            "TENCENTCLOUD_SECRET_KEY": self.function.info["secretKey"],
            "TENCENTCLOUD_REGION": "ap-guangzhou",
        }
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            input=stdin,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        return done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("home")
    for name in ("docs", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    key = folder / ".ssh" / "id_ed25519"
    key.parent.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    recipient = key.with_suffix(".pub").read_text().strip()
    with running_function(emulator=True, policy=policy_with(folder, recipient)) as function:
        yield Home(folder, function, recipient)


def opens(home: Home, ciphertext: str) -> bool:
    opened = subprocess.run(
        ["age", "-d", "-i", home.folder / ".ssh" / "id_ed25519"],
        input=ciphertext.encode(),
        check=True,
        capture_output=True,
    )
    return opened.stdout.startswith(b"-----BEGIN RSA PRIVATE KEY-----")


def test_curl_and_open(home: Home) -> None:
    request, opening = block("docs/curl-client.sh web_1"), block("> web_1.pem")
    home.run("bash", "-euc", request + opening)
    private_key = home.folder / "web_1.pem"
    assert private_key.stat().st_mode & 0o777 == 0o600
    answer = json.loads((home.folder / "web_1.json").read_text())
    derived = home.run("ssh-keygen", "-y", "-f", str(private_key)).stdout
    assert " ".join(derived.split()[:2]) == answer["publicKey"]

    # Typed again, neither line touches what the first time left.
    before = private_key.read_bytes()
    home.run("bash", "-euc", request, status=1)
    home.run("bash", "-euc", opening, status=1)
    assert json.loads((home.folder / "web_1.json").read_text()) == answer
    assert private_key.read_bytes() == before
    # After a lost answer, the same order gets it.
    (home.folder / "web_1.json").unlink()
    home.run("bash", "-euc", request)
    assert json.loads((home.folder / "web_1.json").read_text()) == answer


def test_sdk(home: Home) -> None:
    # The SDK's datetime.utcfromtimestamp is deprecated from Python 3.12 on.
    printed = home.run(
        sys.executable, "-W", "ignore::DeprecationWarning", "-c", block("CommonClient(")
    ).stdout
    assert opens(home, printed)
    again = home.run(sys.executable, "-W", "ignore::DeprecationWarning", "-c", block("CommonClient(")).stdout
    assert again == printed  # the ClientToken: the same answer, not a second key pair


def test_tccli(home: Home) -> None:
    if not TCCLI.exists():
        pytest.skip("tccli is not here; scripts/test installs it")
    # tccli speaks HTTPS unless the endpoint says otherwise; the local URL is plain HTTP.
    command = block("tccli cvm").replace("${FUNCTION_URL#*://}", "$FUNCTION_URL")
    home.run("bash", "-euc", command)
    assert opens(home, (home.folder / "tccli_1.age").read_text())


def test_token(home: Home) -> None:
    """The policy of these tests knows no issuer: the command runs, and its token is none."""
    shown = home.run("bash", "-euc", f"TOKEN=e30.e30.e30; {block('Bearer $TOKEN')}").stdout
    assert json.loads(shown)["code"] == "unauthenticated"


def test_what_to_export(home: Home) -> None:
    exports = block("export FUNCTION_URL").replace("read -rsp 'Secret: ' ", "read -r ")
    shown = home.run(
        "bash", "-euc", f'{exports}echo "$FUNCTION_URL $SECRET_ID $SECRET_KEY $RECIPIENT"', stdin="typed\n"
    ).stdout
    assert shown == f"https://keys.example.com alice typed {home.recipient}\n"


def test_what_a_list_looks_like() -> None:
    """The fields of the example are those of a list of this function."""
    shown = json.loads(block('"keyPairs"'))
    assert shown.keys() == ListAnswer.model_json_schema(mode="serialization")["properties"].keys()
    (pair,) = shown["keyPairs"]
    assert pair.keys() == OwnedAnswer.model_json_schema(mode="serialization")["properties"].keys()


def test_all_blocks_are_covered() -> None:
    shown = [
        "export FUNCTION_URL",
        "docs/curl-client.sh web_1",
        "> web_1.pem",
        "CommonClient(",
        "tccli",
        "Bearer $TOKEN",
        '"keyPairs"',
    ]
    assert sorted(text for _, text in BLOCKS) == sorted(block(text) for text in shown)


def test_configuration_table_is_the_settings() -> None:
    documented = set(re.findall(r"^\| `(KEYPAIR_\w+)` \|", REFERENCE, re.MULTILINE))
    own = {str(field.alias) for field in Settings.model_fields.values()}
    assert documented == own | all_chat_setting_names()
