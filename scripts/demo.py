"""The main job once, on this machine alone: a local CVM, the function, one key pair sealed and opened.

The function is called with the official SDK, over HTTP, as an internal tool would call it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from scripts.info_file import NotStarted, await_info

KEY_NAME = "demo_1"
_START_SECONDS = 60


def main() -> int:
    """Run the demo; return 0 if the key was opened and belongs to the public one."""
    with tempfile.TemporaryDirectory(prefix="keypair-demo-") as folder:
        return _demo(Path(folder))


def _demo(folder: Path) -> int:
    info_file = folder / "info.json"
    log = folder / "serve.log"
    command = [sys.executable, "-m", "scripts.function_url", "--emulator", "--info", str(info_file)]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as served:
        try:
            info = await_info(served, info_file, seconds=_START_SECONDS)
            return _issue_and_open(folder, info)
        except NotStarted:
            print(log.read_text(), file=sys.stderr)
            raise
        finally:
            served.terminate()


def _issue_and_open(folder: Path, info: dict[str, Any]) -> int:
    identity, recipient = _new_identity(folder)
    print(f"1. A caller makes a key of its own; the public half is\n   {recipient}\n")

    response = _create_key_pair(info, recipient)
    pair = response["KeyPair"]
    print(f"2. It asks the function at {info['url']} for a key pair, signing as {info['secretId']!r}:")
    print(f"   key id       {pair['KeyId']}")
    print(f"   key name     {pair['KeyName']}")
    print(f"   public key   {pair['PublicKey'][:56]}...")
    print(f"   fingerprint  {response['Fingerprint']}\n")

    print("3. The private key comes sealed; this is all that leaves the function:")
    lines = pair["PrivateKey"].splitlines()
    print(
        "\n".join(f"   {line}" for line in [*lines[:3], f"... {len(lines) - 4} more lines ...", lines[-1]]),
        "\n",
    )

    private_key = folder / f"{KEY_NAME}.pem"
    opener = _open(pair["PrivateKey"], identity, private_key)
    print(f"4. The caller opens it: {opener}")
    found, prover = _public_half(private_key)
    same = found == pair["PublicKey"]
    print(f"   {prover} {'gives the same public key' if same else 'GIVES ANOTHER PUBLIC KEY'}.\n")

    audit = [
        json.loads(line) for line in Path(info["auditLog"]).read_text().splitlines() if '"audit":' in line
    ]
    print("5. The audit log has one line for the intent and one for the issue:")
    for line in audit:
        print(f"   {line['time']}  {line['decision']:7} caller {line['caller']}, key {line['keyId'] or '-'}")
    return 0 if same else 1


def _new_identity(folder: Path) -> tuple[Path, str]:
    identity = folder / "identity.txt"
    if shutil.which("age-keygen"):
        subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
        text = identity.read_text().splitlines()
        return identity, text[1].removeprefix("# public key: ")
    import pyrage

    made = pyrage.x25519.Identity.generate()
    identity.write_text(f"{made}\n")
    return identity, str(made.to_public())


def _create_key_pair(info: dict[str, Any], recipient: str) -> dict[str, Any]:
    # The SDK's datetime.utcfromtimestamp is deprecated from Python 3.12 on.
    warnings.simplefilter("ignore", DeprecationWarning)
    from tencentcloud.common.common_client import CommonClient
    from tencentcloud.common.credential import Credential
    from tencentcloud.common.profile.client_profile import ClientProfile
    from tencentcloud.common.profile.http_profile import HttpProfile

    http = HttpProfile(protocol="http", endpoint=info["url"].removeprefix("http://").rstrip("/"))
    client = CommonClient(
        "cvm",
        "2017-03-12",
        Credential(info["secretId"], info["secretKey"]),
        "ap-guangzhou",
        ClientProfile(httpProfile=http),
    )
    order = {"KeyName": KEY_NAME, "ProjectId": 0, "Recipients": [recipient]}
    response: dict[str, Any] = client.call_json("CreateKeyPair", order)["Response"]
    return response


def _open(ciphertext: str, identity: Path, private_key: Path) -> str:
    private_key.touch(mode=0o600)
    if shutil.which("age"):
        command = ["age", "-d", "-i", str(identity)]
        opened = subprocess.run(command, input=ciphertext.encode(), check=True, capture_output=True).stdout
        private_key.write_bytes(opened)
        return "age -d -i identity.txt"
    import pyrage

    secret = identity.read_text().splitlines()[-1]
    private_key.write_bytes(pyrage.decrypt(ciphertext.encode(), [pyrage.x25519.Identity.from_str(secret)]))
    return "with pyrage, since age is not installed here"


def _public_half(private_key: Path) -> tuple[str, str]:
    if shutil.which("ssh-keygen"):
        command = ["ssh-keygen", "-y", "-f", str(private_key)]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return " ".join(printed.split()[:2]), "ssh-keygen -y"
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key(private_key.read_bytes(), password=None).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(), "cryptography"


if __name__ == "__main__":
    sys.exit(main())
