"""Private keys for PuTTY: read by puttygen, and by plink to log in at an sshd."""

from __future__ import annotations

import getpass
import shutil
import subprocess
from typing import TYPE_CHECKING

import pyrage
import pytest

from tests.support.function_under_test import RECIPIENT, REST, FunctionUnderTest, fresh_name
from tests.support.web_sshd import GREETING, running_sshd

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("puttygen") is None, reason="putty-tools is not installed")


def issued(function: FunctionUnderTest, folder: Path) -> tuple[str, Path]:
    """Return a new public key, and the file with its private half."""
    name = fresh_name()
    answer = function.call(function.signed(REST, function.rest_body(keyName=name, privateKeyFormat="ppk")))
    assert answer.status == 201, answer.body
    sealed = answer.json["sealedPrivateKey"]
    assert f"-o {name}.ppk" in sealed["openWith"]
    file = folder / f"{name}.ppk"
    file.write_bytes(pyrage.decrypt(sealed["ciphertext"].encode(), [RECIPIENT]))
    public_key: str = answer.json["publicKey"]
    function.delete_key_pairs()
    return public_key, file


def test_puttygen_reads_it(function: FunctionUnderTest, tmp_path: Path) -> None:
    public_key, file = issued(function, tmp_path)
    assert file.read_text().startswith("PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nComment: ")

    def puttygen(*arguments: str) -> str:
        command = ["puttygen", str(file), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert puttygen("-L").split()[:2] == public_key.split()
    assert puttygen("-L").split()[2] == file.stem
    # It writes the private numbers as OpenSSH reads them.
    opened = tmp_path / "converted"
    puttygen("-O", "private-openssh", "-o", str(opened))
    command = ["ssh-keygen", "-y", "-f", str(opened)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert shown.split()[:2] == public_key.split()


def test_damage_is_noticed(function: FunctionUnderTest, tmp_path: Path) -> None:
    _, file = issued(function, tmp_path)
    text = file.read_text()
    at = text.index("Private-Lines") + 40
    file.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :])
    command = ["puttygen", str(file), "-O", "private-openssh", "-o", str(tmp_path / "converted")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, "MAC failed" in done.stderr) == (1, True)


def test_plink_logs_in_with_it(function: FunctionUnderTest, tmp_path: Path) -> None:
    public_key, file = issued(function, tmp_path)
    with running_sshd(tmp_path, public_key) as port:
        shown = ["ssh-keygen", "-l", "-f", str(tmp_path / "host.pub")]
        host_key = subprocess.run(shown, check=True, capture_output=True, text=True).stdout.split()[1]
        command = [
            "plink",
            "-batch",
            "-ssh",
            "-P",
            str(port),
            "-hostkey",
            host_key,
            "-i",
            str(file),
            "-noagent",
        ]
        address = f"{getpass.getuser()}@127.0.0.1"
        done = subprocess.run([*command, address, "true"], check=False, capture_output=True, text=True)
    assert done.stdout.strip() == GREETING, done.stderr
