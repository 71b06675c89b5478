"""How many random cases the tests try; RANDOM_EVENTS=20000 in the environment makes it more."""

from __future__ import annotations

import os

NORMAL_EVENTS = 1500
EVENTS = int(os.environ.get("RANDOM_EVENTS", NORMAL_EVENTS))
"""The random events of tests/api/test_random_events.py."""


def examples(normal: int) -> int:
    """Return how many examples another test tries, if it tries `normal` in a normal run."""
    return max(1, normal * EVENTS // NORMAL_EVENTS)
