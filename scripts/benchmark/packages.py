"""Makes the packages that are compared, as they are deployed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from scripts.packaging.authorities import add
from scripts.packaging.dependencies import NEVER_PACKED, requirements_for_target

ROOT = Path(__file__).parents[2]
_PEERS = Path(__file__).with_name("peers")
# What the hour's handler depends on, each with its own dependencies.
_PEERS_NEED = (
    "annotated-types", "certifi", "charset-normalizer", "idna", "pydantic", "pydantic-core", "pyrage",
    "requests", "tencentcloud-sdk-python-common", "typing-extensions", "typing-inspection", "urllib3",
)  # fmt: skip


def ours(root: Path, folder: Path, policy: Path) -> int:
    """Build the package of the tree `root` with its own `scripts/build`, unpack it; return its bytes."""
    output = folder.with_suffix(".zip")
    command = [sys.executable, "-m", "scripts.packaging", "--output", str(output), "--policy", str(policy)]
    subprocess.run(command, cwd=root, env=_environ(root), check=True, stdout=subprocess.DEVNULL)
    with zipfile.ZipFile(output) as package:
        package.extractall(folder)
    return output.stat().st_size


def trust(package: Path, authority: Path) -> None:
    """Add an authority to those that a package trusts."""
    bundle = package / "certifi" / "cacert.pem"
    if bundle.exists():
        with bundle.open("a") as file:
            file.write(authority.read_text())
    else:
        add(bundle.with_suffix(""), authority.read_text())


def tree_of(revision: str, folder: Path) -> Path:
    """Write the tree of a git revision into `folder`."""
    folder.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder


def peers(folder: Path, python310: Path) -> dict[str, Path]:
    """Return the packages of the peers: name -> folder."""
    dependencies = folder / "dependencies"
    _install(dependencies)
    found = {}
    for name, source, compiled in (
        ("hour", "hour.py", False),
        ("hour with bytecode", "hour.py", True),
        ("bare calls", "bare.py", True),
        ("floor", "floor.py", True),
        ("floor in use", "floor_in_use.py", True),
    ):
        found[name] = folder / name.replace(" ", "-")
        shutil.copytree(dependencies, found[name])
        shutil.copyfile(_PEERS / source, found[name] / "index.py")
        if compiled:
            # As pip does without --no-compile, but marked so that no time stamp is compared.
            command = [str(python310), "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
            command.append(str(found[name]))
            subprocess.run(command, check=True)
    return found


def _install(target: Path) -> None:
    """Install what the peers need as people do: complete wheels, without bytecode."""
    text = (ROOT / "requirements/function.txt").read_text("utf-8").replace("\\\n", " ")
    pins = [line for line in text.splitlines() if line.partition("==")[0] in _PEERS_NEED]
    listed = target.with_suffix(".txt")
    listed.parent.mkdir(parents=True, exist_ok=True)
    left_out = [pin for pin in pins if pin.partition("==")[0] in NEVER_PACKED]
    listed.write_text("\n".join([requirements_for_target("\n".join(pins)), *left_out, ""]))
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile"]
    command += ["--no-deps", "--only-binary=:all:", "--python-version", "3.10", "--implementation", "cp"]
    command += ["--platform", "manylinux2014_x86_64", "--target", str(target), "-r", str(listed)]
    subprocess.run(command, check=True)


def _environ(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root)}
