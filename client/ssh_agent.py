"""Puts private keys into ssh-agent without writing them to a disk."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from client.errors import LocalFailure, UsageProblem
from client.language import tr
from client.programs import find_program

if TYPE_CHECKING:
    from pathlib import Path


def check_options(*, agent: bool, save: Path | None, lifetime: str | None) -> None:
    """Raise UsageProblem for options that contradict each other."""
    if agent and save:
        raise UsageProblem(
            tr("{one} and {other} cannot be used together.", one="--agent", other="--save"),
            tr("Leave one of them out."),
        )
    if save and str(save) == "-":
        raise UsageProblem(
            tr("The private key is not written to standard output."), tr("Name a file after --save.")
        )
    if lifetime and not agent:
        raise UsageProblem(tr("--lifetime needs --agent."), tr("Add --agent, or leave it out."))


def require_agent() -> None:
    """Raise LocalFailure where no agent answers."""
    status = subprocess.run([_ssh_add(), "-l"], capture_output=True, check=False).returncode
    # ssh-add(1): 1 is an agent without keys, 2 is no agent.
    if status not in {0, 1}:
        start = "Start-Service ssh-agent" if sys.platform == "win32" else 'eval "$(ssh-agent)"'
        raise LocalFailure(tr("No ssh-agent is running."), tr("Start one: {command}", command=start))


def add_key(private_key: bytes, lifetime: int | None) -> None:
    """Add a key, for `lifetime` seconds or until the agent ends. Raises LocalFailure."""
    command = [_ssh_add(), "-q", *(["-t", str(lifetime)] if lifetime else []), "-"]
    done = subprocess.run(command, input=private_key, capture_output=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise LocalFailure(
            tr("ssh-add refuses the key: {reason}", reason=reason[-1] if reason else done.returncode),
            tr("Run the same command again, or save the key with --save PATH.")
            # https://github.com/PowerShell/Win32-OpenSSH/issues/2438
            + (" " + tr("On Windows leave --lifetime out.") if lifetime and sys.platform == "win32" else ""),
        )


def _ssh_add() -> str:
    found = find_program("ssh-add")
    if found is None:
        raise LocalFailure(tr("{name} is not installed.", name="ssh-add"), tr("Install the OpenSSH client."))
    return found
