"""Every command of the README, run as it stands there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handler.settings import Settings
from scripts.info_file import await_info
from tests.support.chat_settings import all_chat_setting_names
from tests.support.function_process import ROOT, FunctionProcess, clean_environment, running_function
from tests.system.test_end_to_end import TCCLI, caller_environment, policy_with

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block(containing: str) -> str:
    """Return the one code block with this text; another edit of the README shows here."""
    found: str
    [found] = [text for _, text in BLOCKS if containing in text]
    return found


@dataclass(frozen=True)
class Home:
    """A caller's home folder with an SSH key, and the function that is served to it."""

    folder: Path
    function: FunctionProcess
    recipient: str

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
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
        return subprocess.run(
            command, cwd=self.folder, env=environment, check=True, capture_output=True, text=True
        )


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
    home.run("bash", "-euc", block("docs/curl-client.sh web_1") + block("> web_1.age"))
    private_key = home.folder / "web_1.pem"
    assert private_key.stat().st_mode & 0o777 == 0o600
    answer = json.loads((home.folder / "web_1.json").read_text())
    derived = home.run("ssh-keygen", "-y", "-f", str(private_key)).stdout
    assert " ".join(derived.split()[:2]) == answer["publicKey"]


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
    printed = home.run("bash", "-euc", command).stdout
    assert opens(home, json.loads(printed))


def test_token(home: Home) -> None:
    """The policy of these tests knows no issuer: the command runs, and its token is none."""
    shown = home.run("bash", "-euc", f"TOKEN=e30.e30.e30; {block('Bearer $TOKEN')}").stdout
    assert json.loads(shown)["code"] == "unauthenticated"


def test_serve() -> None:
    [command] = block("scripts/serve --emulator").splitlines()
    with tempfile.TemporaryDirectory() as name:
        info = Path(name) / "info.json"
        # Where another test's port and file cannot be in the way.
        command = command.replace("/tmp/keypair-function.json", str(info))  # noqa: S108  # the README's
        arguments = command.replace("--port 8080", "--port 0").split()
        environment = {**clean_environment(), "PYTHON": sys.executable}
        with subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
            assert await_info(process, info, seconds=60)["secretId"] == "demo"
            process.send_signal(signal.SIGTERM)
        assert process.returncode == 0


def test_what_to_export(home: Home, tmp_path: Path) -> None:
    info = tmp_path / "info.json"
    info.write_text(json.dumps(home.function.info))
    exports = block("export FUNCTION_URL").replace("/tmp/keypair-function.json", str(info))  # noqa: S108
    shown = home.run(
        "bash", "-euc", exports + 'echo "$FUNCTION_URL $SECRET_ID $SECRET_KEY $RECIPIENT"'
    ).stdout
    secret = home.function.info["secretKey"]
    assert shown == f"http://127.0.0.1:8080 demo {secret} {home.recipient}\n"


def test_deploy_up_to_the_cloud() -> None:
    """Copying the policy and checking it work; handing over stops at the missing `scf` or settings."""
    copy, build, deploy = block("cp policy.example.toml").splitlines()
    assert copy.split("#")[0].split() == ["cp", "policy.example.toml", "policy.toml"]
    assert build.split()[0] == "scripts/build"  # tests/system/test_packaging.py
    assert deploy.split()[0] == "scripts/deploy"  # tests/system/test_deploy.py
    command = [sys.executable, "-m", "scripts.policy", "check", str(ROOT / "policy.example.toml")]
    checked = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert checked.stdout.endswith("policy.example.toml: ok\n")


def test_all_blocks_are_covered() -> None:
    shown = [
        "scripts/demo ",
        "scripts/serve",
        "cp policy",
        "export FUNCTION_URL",
        "docs/curl-client.sh web_1",
        "> web_1.age",
        "CommonClient(",
        "tccli",
        "Bearer $TOKEN",
    ]
    assert sorted(text for language, text in BLOCKS if language != "") == sorted(
        block(text) for text in shown
    )


def test_scripts_that_are_named_exist() -> None:
    for name in set(re.findall(r"scripts/(\w+)", README)):
        assert os.access(ROOT / "scripts" / name, os.X_OK), name


def test_configuration_table_is_the_settings() -> None:
    documented = set(re.findall(r"^\| `(KEYPAIR_\w+)` \|", README, re.MULTILINE))
    own = {str(field.alias) for field in Settings.model_fields.values()}
    assert documented == own | all_chat_setting_names()
