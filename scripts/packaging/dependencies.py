"""Installs the run-time dependencies for SCF's interpreter, whichever Python runs the build."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

# pip evaluates environment markers for the interpreter that it runs on, even with --python-version (on 3.11
# it leaves out what only 3.10 needs). So the markers are evaluated here, with pip's own parser.
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name

from scripts.packaging.authorities import spread
from scripts.packaging.errors import PackagingError

if TYPE_CHECKING:
    from collections.abc import Iterable

# SCF: CPython 3.10 on x86_64; manylinux2014 (glibc 2.17) runs on every image that SCF has used.
# https://cloud.tencent.com/document/product/583/56126
PLATFORM = "manylinux2014_x86_64"
PYTHON_VERSION = "3.10"
TARGET_MARKERS = {
    "implementation_name": "cpython",
    "implementation_version": "3.10.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.10.0",
    "python_version": PYTHON_VERSION,
    "sys_platform": "linux",
}

# What an installed package needs at run time: modules, and certifi's authorities. The rest of a wheel is type
# stubs, C headers, licences and notes.
KEPT_SUFFIXES = frozenset({".pem", ".py", ".so"})

# Patterns of paths ('*' also matches '/') that the function never needs, each with the reason.
EXCLUDED = {
    "bin/*": "command-line tools",
    "*.dist-info/*": "metadata: at run time only pydantic looks, for plug-ins, and there are none",
    "*/__main__.py": "command-line tools",
    "annotated_types/test_cases.py": "examples for the tests of others",
    "cffi/*": "makes bindings; cryptography loads the finished one through _cffi_backend alone",
    "joserfc/drafts/*": "drafts of algorithms; one needs PyCryptodome, which is not installed",
    "pycparser/*": "reads C declarations for cffi",
    "pydantic/deprecated/decorator.py": "a decorator of the old API, imported only by those who use it",
    "pydantic/experimental/*": "imported only by those who use them",
    "pydantic/mypy.py": "a plug-in of the type checker",
    "pydantic/v1/*": "the old API, imported only for classes written against it",
    "certifi/core.py": "looks for the file of the authorities; see REPLACED",
    "certifi/tests/*": "tests",
    "cryptography/fernet.py": "an envelope of its own, which nothing here uses",
    "cryptography/hazmat/primitives/twofactor/*": "one-time passwords",
    "jwt/help.py": "a report for bug trackers",
    "requests/help.py": "a report for bug trackers",
    "redis/asyncio/*": "the asynchronous client",
    "redis/client.py": "the client; handler.store.redis speaks over a bare connection",
    "redis/cluster.py": "clusters",
    "redis/commands/*": "the client's methods, one for each command",
    "redis/keyspace_notifications.py": "for the client",
    "redis/multidb/*": "for the client",
    "redis/sentinel.py": "for the client",
    "tencentcloud/*_async.py": "the asynchronous client; it needs httpx, which is not installed",
    "urllib3/contrib/pyopenssl.py": "for Pythons without TLS; it needs pyOpenSSL, which is not installed",
    "urllib3/contrib/socks.py": "SOCKS proxies; it needs PySocks, which is not installed",
    "urllib3/http2/connection.py": "HTTP/2; it needs h2, which is not installed",
    "urllib3/contrib/emscripten/*": "for Python inside a browser",
}

# Modules that are packed with another content, each with the reason.
REPLACED = {
    # It looks for the file with importlib.resources. requests and urllib3 take a folder as well.
    "certifi/__init__.py": """\
import os.path


def where():
    return os.path.join(os.path.dirname(__file__), "cacert")
""",
    # It looks for plug-ins in the metadata of all distributions, of which none is packed.
    "pydantic/plugin/_loader.py": "def get_plugins():\n    return ()\n",
    # It gives urllib3 and idna a second name, which nothing here uses, and imports idna for it.
    "requests/packages.py": "",
    # It imports the whole client before any module of the package.
    "redis/__init__.py": "",
    # It switches HTTP/2 on, which needs h2, and reads the metadata of that.
    "urllib3/http2/__init__.py": "",
}

AUTHORITIES = "certifi/cacert.pem"
"""Packed as a folder, `certifi/cacert`: OpenSSL would read the file whole for each connection."""

# Distributions that are pinned and not packed, each with the reason.
NEVER_PACKED = {
    "charset-normalizer": "requests guesses encodings with it; the function reads JSON",
    "idna": "for host names that are not ASCII; every host the function calls is",
}
FOR_REDIS = frozenset({"async-timeout", "redis"})
"""Distributions that only the store in a Redis server needs."""


@dataclass(frozen=True)
class Distribution:
    """A distribution that was installed, and the paths of what was kept of it."""

    name: str
    version: str
    license: str | None
    wheel_sha256: str
    requires: tuple[str, ...]
    files: tuple[str, ...]


def install_dependencies(
    requirements: Path, tree: Path, *, without: frozenset[str] = frozenset()
) -> list[Distribution]:
    """Install the packages that `requirements` pins by hash into the folder `tree`, without what never runs.

    Leaves out the distributions `without` as well. Returns the others.
    Raises PackagingError if pip refuses: a wrong hash, no wheel for SCF, no index.
    """
    with tempfile.TemporaryDirectory() as temporary:
        pinned = Path(temporary) / "requirements.txt"
        pinned.write_text(requirements_for_target(requirements.read_text("utf-8"), without), "utf-8")
        wheels = Path(temporary) / "wheels"
        report = _pip_install(pinned, wheels)
        for source in sorted(wheels.rglob("*")):
            path = source.relative_to(wheels)
            if source.is_file() and is_needed(path.as_posix()):
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                if path.as_posix() in REPLACED:
                    (tree / path).write_text(REPLACED[path.as_posix()], "utf-8")
                elif path.as_posix() == AUTHORITIES:
                    spread(source, tree / path.with_suffix(""))
                else:
                    shutil.copyfile(source, tree / path)
        return _distributions(wheels, report, tree)


def _distributions(wheels: Path, report: dict[str, Any], tree: Path) -> list[Distribution]:
    # https://pip.pypa.io/en/stable/reference/installation-report/
    digests = {
        canonicalize_name(item["metadata"]["name"]): item["download_info"]["archive_info"]["hashes"]["sha256"]
        for item in report["install"]
    }
    found = []
    for one in metadata.distributions(path=[str(wheels)]):
        name = canonicalize_name(one.metadata["Name"])
        licence = one.metadata["License-Expression"] or one.metadata["License"]
        found.append(
            Distribution(
                name=name,
                version=one.version,
                license=licence,
                wheel_sha256=digests[name],
                requires=tuple(map(_required_name, filter(_is_required, one.requires or ()))),
                files=tuple(name for file in one.files or () for name in _packed_as(file.as_posix(), tree)),
            )
        )
    return sorted(found, key=lambda one: one.name)


def _packed_as(path: str, tree: Path) -> Iterable[str]:
    if path == AUTHORITIES:
        return [file.relative_to(tree).as_posix() for file in (tree / path).with_suffix("").iterdir()]
    return [path] if is_needed(path) else []


def _is_required(text: str) -> bool:
    marker = Requirement(text).marker
    return marker is None or marker.evaluate(TARGET_MARKERS | {"extra": ""})


def _required_name(text: str) -> str:
    return canonicalize_name(Requirement(text).name)


def is_needed(path: str) -> bool:
    """Tell whether the installed file `path` ('/'-separated, relative) is worth deploying."""
    return Path(path).suffix in KEPT_SUFFIXES and not any(fnmatchcase(path, pattern) for pattern in EXCLUDED)


def requirements_for_target(text: str, without: frozenset[str] = frozenset()) -> str:
    """Return the hashed requirements that apply on SCF and are packed, without their markers."""
    lines = []
    for line in text.replace("\\\n", " ").splitlines():
        pin, *hashes = line.split("--hash=")
        if not pin.strip() or pin.startswith("#"):
            continue
        requirement = Requirement(pin.strip())
        if requirement.name in {*NEVER_PACKED, *without}:
            continue
        if requirement.marker is None or requirement.marker.evaluate(dict(TARGET_MARKERS)):
            options = (f"--hash={digest.strip()}" for digest in hashes)
            lines.append(" ".join([f"{requirement.name}{requirement.specifier}", *options]))
    return "\n".join(lines) + "\n"


def _pip_install(requirements: Path, target: Path) -> dict[str, Any]:
    """Install and return pip's report."""
    report = target.with_name("report.json")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    # Installing a wheel runs none of its code; a source distribution would run its set-up here.
    pip += ["--only-binary=:all:", "--require-hashes", "--no-deps", "--no-compile"]
    pip += ["--python-version", PYTHON_VERSION, "--implementation", "cp", "--platform", PLATFORM]
    pip += ["--target", str(target), "--requirement", str(requirements), "--report", str(report)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PackagingError(f"pip could not install {requirements.name}:\n{done.stderr.strip()}")
    installed: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return installed
