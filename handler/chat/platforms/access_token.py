"""Caches the access token that a chat platform issues in exchange for the app's secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.scf.invocation import Clock

REFRESH_MARGIN_SECONDS = 300
"""A token is replaced this long before it expires."""


@dataclass
class AccessToken:
    """The token of one container; each container fetches its own."""

    clock: Clock
    text: str = field(default="", repr=False)
    refresh_at: float = 0.0
    """Seconds since 1970."""

    def get(self, fetch: Callable[[], tuple[str, int]]) -> str:
        """Return the token. `fetch` returns a new one and its lifetime in seconds."""
        if self.clock.now() >= self.refresh_at:
            self.text, lifetime = fetch()
            self.refresh_at = self.clock.now() + lifetime - REFRESH_MARGIN_SECONDS
        return self.text

    def drop(self) -> None:
        """Fetch a new token next time. A platform may revoke a token early."""
        self.refresh_at = 0.0
