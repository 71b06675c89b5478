"""Which stores all instances of a function share. What may be used once needs one of these.

SECURITY BOUNDARY: a nonce, a one-time token or a chat message that one instance has burned must be burned for
all. Otherwise each instance accepts it once more.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from handler.errors import SettingsInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SERVERS = frozenset({"redis", "rediss"})


class Host(Enum):
    """Where the function runs. The value names the kinds of stores that all of its instances share there."""

    SCF = _SERVERS
    """Instances come and go, and each has a memory and a file system of its own."""
    ONE_MACHINE = _SERVERS | {"sqlite"}
    """Processes of one machine or container, started by somebody else: they share its files."""
    ONE_PROCESS = _SERVERS | {"sqlite", "memory"}
    """`scripts/serve`: with a store in memory it runs one process, until it ends."""

    @classmethod
    def of(cls, environ: Mapping[str, str], scf_endpoint: str | None) -> Host:
        """Return where this process runs. Only `scripts/serve` has an API of SCF on this machine."""
        if scf_endpoint is not None and scf_endpoint.startswith("http://"):
            return cls.ONE_PROCESS
        # SCF sets it (583/30228).
        return cls.SCF if environ.get("TENCENTCLOUD_RUNENV") == "SCF" else cls.ONE_MACHINE

    def shares(self, store: str) -> bool:
        """Return whether all instances here see what one of them puts into the store with this URL."""
        return store.partition(":")[0] in self.value

    def require_shared(self, store: str, needs: Sequence[str]) -> None:
        """Raise SettingsInvalid if something needs a shared store (`needs` says what) and it is not one."""
        if not needs or self.shares(store):
            return
        also = "" if self is Host.SCF else ", or sqlite:/PATH if all of them run on this machine"
        raise SettingsInvalid(
            f"KEYPAIR_STORE: {needs[0]} needs a store that all instances share, redis:// or rediss://{also}"
        )
