"""Where the function's code is and what runs it: this repository, or an unpacked deployment package."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.python310 import HOW_TO_GET_ONE


class CodeUnusable(Exception):
    """The package, or the Python to run it with, is unusable; `str()` says what to do."""


@dataclass(frozen=True)
class CodeRoot:
    """What an instance runs: `command` (interpreter and flags), in folder `root`, with the file `index`."""

    command: tuple[str, ...]
    root: Path
    index: str


def source_code() -> CodeRoot:
    """Return the code of this repository, run by this Python with its packages."""
    root = Path(__file__).resolve().parents[2]
    return CodeRoot((sys.executable, "-X", "utf8"), root, "./handler/index.py")


@contextmanager
def unpacked(package: Path, python: Path | None) -> Iterator[CodeRoot]:
    """Unpack a deployment package into a read-only folder, for a `python` that sees no other packages.

    Raises CodeUnusable if the file is not a zip or there is no `python`: packages are built for 3.10.
    """
    if python is None:
        raise CodeUnusable(HOW_TO_GET_ONE)
    # -I and -S: no environment variables and no site-packages; the package must bring all it needs.
    command = (*_bound_by_permissions(), str(python), "-I", "-S", "-B", "-X", "utf8")
    with tempfile.TemporaryDirectory(prefix="function-code-") as folder:
        root = Path(folder).resolve()
        try:
            with zipfile.ZipFile(package) as archive:
                archive.extractall(root)
        except (OSError, zipfile.BadZipFile) as error:
            raise CodeUnusable(f"{package}: cannot unpack this package: {error}") from error
        _set_writable(root, writable=False)
        try:
            yield CodeRoot(command, root, "./index.py")
        finally:
            _set_writable(root, writable=True)


def _set_writable(root: Path, *, writable: bool) -> None:
    for path in (root, *root.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | stat.S_IWUSR if writable else mode & ~0o222)


def _bound_by_permissions() -> tuple[str, ...]:
    """Return a command prefix that makes 'read-only' hold for root too, if possible."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        return ()
    prefix = (setpriv, "--bounding-set=-dac_override", "--inh-caps=-dac_override")
    works = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
    return prefix if works else ()
