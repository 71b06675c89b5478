"""The host names that a request may be signed for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PORT = re.compile(r":[0-9]+$")


def signed_hosts(hosts: Sequence[str]) -> list[str]:
    """Return the values that a client of these hosts may have signed: each with its port and without it.

    The Host header itself is never believed: with it, a signature made for another service that shares the
    secret would verify here. The Python SDK signs `name:port`, the Node SDK the name alone.
    """
    names = [name for host in hosts for name in (host, _PORT.sub("", host))]
    return list(dict.fromkeys(names))
