"""From an empty account to an opened private key: the real package, deployed as docs/deploy.md says."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from handler.settings import decode_secret
from scripts.deployment.smoke import HttpReply, ask
from scripts.python310 import find_python310
from tests.deployment.conftest import live_settings
from tests.support.function_process import ROOT
from tests.support.function_under_test import caller_secret, signature, utc_date

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deployment.conftest import CloudStandIn, Deployer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_python310() is None, reason="no Python 3.10 here, on which the package runs"),
]
POLICY = """
[callers.ops]
tc3 = true
operator = true
[[callers.ops.grants]]
names = ["*"]
regions = ["ap-guangzhou"]
own_recipients = true
"""


def test_one_apply_and_one_order_give_a_private_key_that_opens(
    deployer: Deployer, cloud: CloudStandIn, tmp_path: Path
) -> None:
    (tmp_path / "policy.toml").write_text(POLICY, "utf-8")
    for name in ("handler", "requirements", "pyproject.toml", "web"):
        (tmp_path / name).symlink_to(ROOT / name)
    deployer.environment |= {name: os.environ[name] for name in ("PATH", "HOME")}
    del deployer.environment["KEYPAIR_MASTER_SECRET"]

    assert deployer.run("apply", "--with-role", "--new-master-secret", "--print", "--yes") == 0, (
        deployer.error
    )
    url = deployer.out.rpartition("answers at ")[2].strip()
    assert "upload the code to cos://keypair-function-1250000000/" in deployer.out

    identity = tmp_path / "identity.txt"
    subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
    recipient = subprocess.run(
        ["age-keygen", "-y", identity], check=True, capture_output=True, text=True
    ).stdout.strip()
    secret = caller_secret("ops", decode_secret(live_settings(cloud)["KEYPAIR_MASTER_SECRET"]))
    ordered = subprocess.run(
        [ROOT / "docs" / "curl-client.sh", "web_1", recipient],
        env={"PATH": os.environ["PATH"], "FUNCTION_URL": url, "SECRET_ID": "ops", "SECRET_KEY": secret},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ordered.returncode == 0, ordered.stdout + ordered.stderr
    answer = json.loads(ordered.stdout)
    private_key = tmp_path / "key.pem"
    private_key.touch(mode=0o600)
    private_key.write_bytes(
        subprocess.run(
            ["age", "-d", "-i", identity],
            input=answer["sealedPrivateKey"]["ciphertext"].encode(),
            check=True,
            capture_output=True,
        ).stdout
    )
    printed = subprocess.run(
        ["ssh-keygen", "-y", "-f", private_key], check=True, capture_output=True, text=True
    )
    assert " ".join(printed.stdout.split()[:2]) == answer["publicKey"]

    ready = ask_readiness(url, secret)
    assert (ready.status, ready.json()) == (
        200,
        {
            "status": "ready",
            "checks": {"store": "ok", "role": "ok", "clock": "ok"},
            "policyDigest": ready_digest(deployer),
            "callers": 1,
        },
    )
    # The timer's event runs the sweeper of the same version.
    assert cloud.control("timer", trigger="sweep")["statusCode"] == 200
    assert deployer.run("logs", "--audit") == 0, deployer.error
    lines = [json.loads(line.partition("  ")[2]) for line in deployer.out.splitlines()]
    assert [line["decision"] for line in lines][-4:] == ["intent", "issued", "intent", "swept"]


def ready_digest(deployer: Deployer) -> str:
    """Return the policy's digest as `scripts/deploy status` tells it."""
    assert deployer.run("status") == 0, deployer.error
    return deployer.out.rpartition("policy ")[2].strip()[:16]


def ask_readiness(url: str, secret: str) -> HttpReply:
    now, host = int(time.time()), url.removeprefix("http://")
    headers: dict[str, Any] = {"Content-Type": "application/json", "X-TC-Timestamp": str(now)}
    signed = signature(
        secret,
        "/readyz",
        canonical_headers=f"content-type:application/json\nhost:{host}\n",
        signed_headers="content-type;host",
        body=b"{}",
        timestamp=now,
        service="cvm",
    )
    headers["Authorization"] = (
        f"TC3-HMAC-SHA256 Credential=ops/{utc_date(now)}/cvm/tc3_request, "
        f"SignedHeaders=content-type;host, Signature={signed}"
    )
    return ask("POST", f"{url}/readyz", b"{}", headers)
