"""CMS and OpenPGP envelopes, opened by `openssl` and `gpg`, which have the keys."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from client.errors import LocalFailure, NotOpened, UsageProblem
from client.language import tr
from client.programs import find_program

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST = 65536
"""Bytes. A private key of RSA-4096 has 3,300."""


def open_cms(envelope: str, files: list[Path]) -> bytes:
    """Open an envelope with `openssl`; it asks for a passphrase itself. Raises NotOpened, LocalFailure."""
    if not files:
        raise UsageProblem(
            tr("A CMS envelope is opened with the private key that it was sealed to."),
            tr("Name it: keypair open FILE --identity key.pem"),
        )
    openssl = _program("openssl")
    version = subprocess.run([openssl, "version"], capture_output=True, text=True, check=False).stdout
    if not re.match(r"OpenSSL [3-9]", version):
        raise LocalFailure(
            tr("{version} cannot open CMS envelopes of this kind.", version=version.strip() or openssl),
            tr("Install OpenSSL 3 and put it first on PATH (macOS: brew install openssl@3)."),
        )
    for file in files:
        done = subprocess.run(
            [openssl, "cms", "-decrypt", "-inform", "PEM", "-inkey", str(file)],
            input=envelope.encode(),
            capture_output=True,
            check=False,
        )
        # SECURITY BOUNDARY: openssl prints the text before it has verified it; only the status tells.
        if done.returncode == 0:
            return done.stdout
    raise NotOpened(
        tr("The envelope is sealed to another key, or damaged."),
        tr("Name the key that it was sealed to: keypair open FILE --identity KEY"),
    )


def open_openpgp(envelope: str) -> bytes:
    """Open an envelope with `gpg`, which finds the key and asks for its passphrase. Raises NotOpened."""
    done = subprocess.run(
        # A message of a kilobyte may be packed so that it grows to any size.
        [_program("gpg"), "--quiet", "--batch", "--max-output", str(_LARGEST), "--decrypt"],
        input=envelope.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NotOpened(
            tr("gpg cannot open the envelope: {reason}", reason=reason[-1] if reason else done.returncode),
            tr("Check that `gpg --list-secret-keys` shows the key that it was sealed to."),
        )
    return done.stdout


def _program(name: str) -> str:
    found = find_program(name)
    if found is None:
        raise LocalFailure(
            tr("{name} is not installed.", name=name),
            tr("Install it, or ask for an envelope to an age or SSH key."),
        )
    return found
