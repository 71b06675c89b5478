"""Where the client keeps its files."""

from __future__ import annotations

import os
from pathlib import Path

_APPLICATION = "keypair"


def config_file() -> Path:
    """Return the path of the profiles."""
    from platformdirs import user_config_path

    return user_config_path(_APPLICATION, appauthor=False) / "config.toml"


def state_folder() -> Path:
    """Return the folder for unfinished requests, and for secrets on a machine without a keyring."""
    from platformdirs import user_state_path

    return user_state_path(_APPLICATION, appauthor=False)


def local_profile() -> Path:
    """Return the path of the profile that `scripts/serve --emulator` writes for `keypair --local`."""
    return state_folder() / "local.json"


def ssh_folder() -> Path:
    """Return the folder in which ssh looks for keys."""
    return Path.home() / ".ssh"


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter, with its parents; return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix":
        path.chmod(0o700)
    return path


def shown(path: Path) -> str:
    """Return a path as people write it: `~` for the home folder."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except ValueError:
        return str(path)
