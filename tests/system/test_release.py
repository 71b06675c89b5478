"""`scripts/release` builds the wheel and the package of a commit, and refuses anything else."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from scripts.python310 import find_python310
from tests.support.function_process import ROOT

if TYPE_CHECKING:
    from pathlib import Path


[VERSION] = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=release", "-c", "user.email=release@example.com"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of this tree, with whatever is not committed yet, and a section for its version."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    folder = tmp_path / "clone"
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
            target.chmod((ROOT / name).stat().st_mode)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    changelog = folder / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    changelog.write_text(text.replace("## Unreleased", f"## {VERSION} - 2026-11-26"), encoding="utf-8")
    git(folder, "init", "--quiet")
    (folder / ".git" / "info" / "exclude").write_text(".venv\n", encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", f"Release {VERSION}")
    return folder


def release(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "scripts" / "release"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_what_is_no_release_is_refused(clone: Path) -> None:
    assert release(clone, "--help").returncode == 2
    (clone / "README.md").write_text("changed", encoding="utf-8")
    assert release(clone).stderr == "scripts/release: there are changes that are not committed\n"
    git(clone, "checkout", "--quiet", "README.md")
    (clone / "CHANGELOG.md").write_text("## Unreleased\n", encoding="utf-8")
    assert release(clone).stderr == f"scripts/release: CHANGELOG.md has no section for {VERSION}\n"


@pytest.mark.slow
def test_a_release_is_a_wheel_and_a_package(clone: Path) -> None:
    if find_spec("setuptools") is None:
        pytest.skip("setuptools is not here")
    if find_python310() is None:
        pytest.skip("no Python 3.10 here, for which the package is built")
    digests = []
    for _ in range(2):
        done = release(clone)
        assert done.returncode == 0, done.stderr
        digests.append((clone / "dist" / "SHA256SUMS").read_text(encoding="utf-8"))
    assert digests[0] == digests[1]
    rows = [line.split() for line in digests[0].splitlines()]
    listed = {name: digest for digest, name in rows}
    assert sorted(listed) == [
        f"keypair-function-{VERSION}.cdx.json",
        f"keypair-function-{VERSION}.zip",
        f"keypair_function-{VERSION}-py3-none-any.whl",
    ]
    for name, digest in listed.items():
        assert hashlib.sha256((clone / "dist" / name).read_bytes()).hexdigest() == digest
    dist = clone / "dist"
    bill = json.loads((dist / f"keypair-function-{VERSION}.cdx.json").read_bytes())
    assert bill["metadata"]["component"]["hashes"][0]["content"] == listed[f"keypair-function-{VERSION}.zip"]
    assert verify(dist) == 0
    (dist / f"keypair-function-{VERSION}.zip").write_bytes(b"another")
    assert verify(dist) != 0


def verify(dist: Path) -> int:
    """Run the commands of docs/release.md."""
    text = (ROOT / "docs" / "release.md").read_text(encoding="utf-8")
    commands = re.search(r"```sh\n(.*?)```", text.partition("## Verify a package")[2], re.DOTALL)
    assert commands
    return subprocess.run(
        ["sh", "-ec", commands[1]], cwd=dist.parent, check=False, capture_output=True
    ).returncode
