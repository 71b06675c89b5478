"""For how long a signed timestamp is accepted."""

from __future__ import annotations

from handler.startup.records import dataclass


@dataclass(frozen=True)
class TimeWindow:
    """How far a timestamp may differ from the clock, in seconds."""

    past: float
    future: float

    def contains(self, timestamp: float, now: float) -> bool:
        """Return whether `timestamp` is acceptable at `now`; both in seconds since 1970."""
        return -self.future <= now - timestamp <= self.past

    @property
    def nonce_ttl(self) -> float:
        """Seconds to remember a nonce, so that it outlives the timestamp that it was sent with."""
        return self.future + self.past + 1


SIGNATURE_WINDOW = TimeWindow(past=300, future=300)
"""For signed requests: the same window as the cloud's own APIs."""
