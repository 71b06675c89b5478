"""A real sshd on a free port that takes one public key, and what it says to whoever logs in."""

from __future__ import annotations

import getpass
import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.token_issuer import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNPACKED = Path(__file__).parents[2] / ".venv" / "sshd"
"""Where `scripts/tools` puts the files of the package, which would start a service if it were installed."""
SSHD = next(
    (path for path in (Path("/usr/sbin/sshd"), _UNPACKED / "usr/sbin/sshd") if path.is_file()),
    _UNPACKED / "usr/sbin/sshd",
)
_HELPERS = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}
"""Programs that a newer sshd starts from fixed paths unless it is given others (sshd_config(5))."""
GREETING = "the key fits"

_CONFIGURATION = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
ForceCommand echo {greeting}
"""


@contextmanager
def running_sshd(folder: Path, public_key: str) -> Iterator[int]:
    """Run it as whoever runs the tests, whose account it lets into; give its port."""
    if os.geteuid() == 0:
        # Where an sshd of root puts its unprivileged part.
        Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"], check=True)
    (folder / "authorized_keys").write_text(public_key + "\n", encoding="utf-8")
    configuration = folder / "sshd_config"
    text = _CONFIGURATION.format(port=port, folder=folder, greeting=GREETING)
    for setting, program in _HELPERS.items():
        helper = _UNPACKED / "usr/lib/openssh" / program
        if SSHD.is_relative_to(_UNPACKED) and helper.is_file():
            text += f"{setting} {helper}\n"
    configuration.write_text(text, encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", configuration], stderr=log)
    try:
        _await_start(process, folder / "log")
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def _await_start(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while "Server listening" not in log.read_text(encoding="utf-8"):
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            assert time.monotonic() < deadline, "sshd does not start"
        else:
            raise AssertionError(log.read_text(encoding="utf-8"))


def log_in(commands: str, port: int, folder: Path) -> str:
    """Run the commands that the page shows, as they are but for the address; return what the server said."""
    chmod, ssh = commands.splitlines()
    options = (
        f"-p {port} -o UserKnownHostsFile={folder}/known_hosts -o StrictHostKeyChecking=accept-new "
        "-o IdentitiesOnly=yes -o BatchMode=yes -F none"
    )
    address = f"{getpass.getuser()}@127.0.0.1"
    typed = f"{chmod} && {ssh.replace('root@HOST', address).replace('ssh ', f'ssh {options} ', 1)}"
    done = subprocess.run(typed, shell=True, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S602  # what a person would paste
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
