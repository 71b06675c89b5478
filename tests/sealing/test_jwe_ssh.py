"""Envelopes to ecdsa-sha2-… keys of SSH: opened with the OpenSSH key file, by the command in the answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretBytes

from handler.errors import RecipientRefused
from handler.sealing import Contents, prepare_sealer
from handler.sealing.recipient_problems import RecipientProblem
from tests.support.jwe_owners import protected
from tests.support.recipient_attacks import ecdsa_line, ssh_line

CONTENTS = Contents("skey-12345678", "web_1", "SHA256:fingerprint")
PEM = b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"


@pytest.mark.parametrize("bits", ["256", "384", "521"])
@pytest.mark.parametrize("several", [False, True])
def test_the_owner_opens_it(bits: str, several: bool, tmp_path: Path) -> None:  # noqa: FBT001  # a column
    identity = tmp_path / ".ssh" / "id_ecdsa"
    identity.parent.mkdir()
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-b", bits, "-N", "", "-C", "为 me", "-f", str(identity)]
    subprocess.run(command, check=True)
    public = identity.with_suffix(".pub").read_text()
    shown = subprocess.run(["ssh-keygen", "-l", "-f", identity], check=True, capture_output=True, text=True)
    fingerprint = shown.stdout.split()[1]
    sealer = prepare_sealer([public, *([ecdsa_line()] if several else [])], now=0.0)
    assert sealer.fingerprints[0] == fingerprint
    envelope = sealer.seal(SecretBytes(PEM), CONTENTS)
    if not several:
        assert {name: protected(envelope)[name] for name in ("alg", "kid")} == {
            "alg": "ECDH-ES",
            "kid": fingerprint,
        }
    (tmp_path / "web_1.jwe").write_text(envelope)
    # The python3 of these tests, which has jwcrypto.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {**os.environ, "HOME": str(tmp_path), "PATH": path}
    command = ["bash", "-c", sealer.open_with("web_1")]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "web_1.pem").read_bytes() == PEM


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (ssh_line(b"ecdsa-sha2-nistp256", b"nistp384", b"\x04" + bytes(64)), RecipientProblem.SSH_MALFORMED),
        (ssh_line(b"ecdsa-sha2-nistp256", b"nistp256"), RecipientProblem.SSH_MALFORMED),
        (
            ssh_line(b"ecdsa-sha2-nistp256", b"nistp256", b"\x02" + b"\x11" * 32),
            RecipientProblem.SSH_MALFORMED,
        ),
        (ssh_line(b"ecdsa-sha2-nistp256", b"nistp256", b"\x04" + b"\x11" * 64), RecipientProblem.EC_POINT),
        (ssh_line(b"ecdsa-sha2-nistp256", b"nistp256", b"\x00"), RecipientProblem.SSH_MALFORMED),
    ],
)
def test_keys_that_are_refused(line: str, problem: RecipientProblem) -> None:
    with pytest.raises(RecipientRefused) as refused:
        prepare_sealer([line], now=0.0)
    assert refused.value.problem is problem
