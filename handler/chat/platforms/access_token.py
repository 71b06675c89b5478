"""The token that a chat platform's API gives out for a while, in exchange for the app's secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.scf.invocation import Clock

MARGIN = 300
"""Seconds before its end from which a token is not used any more."""


@dataclass
class AccessToken:
    """Of this container only: another one fetches its own."""

    clock: Clock
    text: str = field(default="", repr=False)
    good_until: float = 0.0

    def get(self, fetch: Callable[[], tuple[str, int]]) -> str:
        """Return the token; where none is good, `fetch` gives another, and the seconds that it lives."""
        if self.clock.now() >= self.good_until:
            self.text, life = fetch()
            self.good_until = self.clock.now() + life - MARGIN
        return self.text

    def drop(self) -> None:
        """Fetch another next time: a token may end early."""
        self.good_until = 0.0
