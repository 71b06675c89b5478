"""The command `keypair` as its users run it: a process, a home folder, a real function."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.function_process import ROOT
from tests.support.function_under_test import caller_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.function_process import FunctionProcess


def needs(tool: str) -> pytest.MarkDecorator:
    """Skip a test where a command is missing."""
    return pytest.mark.skipif(
        shutil.which(tool) is None, reason=f"{tool} is not here; scripts/test installs it"
    )


@dataclass(frozen=True)
class Home:
    """A user: a home folder, and what the environment says."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_caller(cls, folder: Path, function: FunctionProcess, **environment: str) -> Home:
        """Return the home of the function's caller `demo`."""
        return cls(folder, credentials(function) | environment)

    @property
    def ssh(self) -> Path:
        return self.folder / ".ssh"

    @property
    def state(self) -> Path:
        return self.folder / ".local" / "state" / "keypair"

    @property
    def variables(self) -> dict[str, str]:
        """The whole environment of a command."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "KP_KEYRING": "off",
            # A defect that only warns shows as well.
            "PYTHONWARNINGS": "error",
            **self.environment,
        }

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "client", *map(str, arguments)]

    def run(
        self,
        *arguments: str | Path,
        stdin: str = "",
        status: int | None = 0,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `keypair` with these arguments; its exit status has to be `status` unless that is None."""
        done = subprocess.run(
            self.command(*arguments),
            env={**self.variables, **(environment or {})},
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert status in (done.returncode, None), done.stdout + done.stderr
        return done

    def pending(self) -> list[str]:
        """Return the files of unfinished requests, and whatever else is left in their folder."""
        folder = self.state / "pending"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def credentials(function: FunctionProcess, caller: str = "demo") -> dict[str, str]:
    """Return the environment in which a caller signs in."""
    secret = function.info["secretKey"] if caller == "demo" else caller_secret(caller)
    return {"KP_URL": function.url, "KP_SECRET_ID": caller, "KP_SECRET_KEY": secret}


def with_command(home: Home, folder: Path) -> dict[str, str]:
    """Return an environment in which `keypair` is this checkout's."""
    folder.mkdir()
    command = folder / "keypair"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m client "$@"\n')
    command.chmod(0o755)
    return home.variables | {"PATH": f"{folder}:{home.variables['PATH']}"}


def public_half(private_key: Path) -> str:
    printed = subprocess.run(
        ["ssh-keygen", "-y", "-P", "", "-f", str(private_key)], check=True, capture_output=True, text=True
    ).stdout
    return " ".join(printed.split()[:2])


@contextmanager
def running_agent(folder: Path, *prefix: str, program: str | Path = "ssh-agent") -> Iterator[dict[str, str]]:
    """Run an agent, by way of the command `prefix`; give the environment in which it is found."""
    socket = folder / "agent"
    process = subprocess.Popen([*prefix, program, "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    while not socket.exists():
        assert process.poll() is None
    try:
        yield {"SSH_AUTH_SOCK": str(socket)}
    finally:
        process.terminate()
        process.wait()


def listed(agent: dict[str, str]) -> str:
    return subprocess.run(
        ["ssh-add", "-l"], env=os.environ | agent, capture_output=True, text=True, check=False
    ).stdout
