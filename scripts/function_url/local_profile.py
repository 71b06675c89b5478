"""The profile by which `keypair --local` finds the function that runs on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from client.folders import local_profile
from scripts.info_file import read_info, write_info


@dataclass(frozen=True)
class LocalProfile:
    """Address, secret id and secret key."""

    url: str
    secret_id: str
    secret_key: str = field(repr=False)

    @contextmanager
    def published(self) -> Iterator[str | None]:
        """Keep the profile where the client looks for it, for the duration of the block.

        Of several functions the client finds the one that was started last, of those that still run. Yields
        the address of the one that it found until now.
        """
        path = local_profile()
        before = read_info(path)
        replaces = is_running(before.get("pid"))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = {
            "url": self.url,
            "secretId": self.secret_id,
            "secretKey": self.secret_key,
            "pid": os.getpid(),
        }
        write_info(path, content)
        try:
            yield str(before["url"]) if replaces else None
        finally:
            if read_info(path).get("pid") == os.getpid():
                if is_running(before.get("pid")):
                    write_info(path, before)
                else:
                    path.unlink(missing_ok=True)


def is_running(pid: object) -> bool:
    """Tell whether `pid` is a process that runs."""
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)  # POSIX kill(): signal 0 only looks
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
