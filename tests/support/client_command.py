"""The command `keypair` as its users run it: a process, a home folder, a real function."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.function_process import ROOT
from tests.support.function_under_test import caller_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
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
