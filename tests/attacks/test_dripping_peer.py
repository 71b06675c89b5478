"""The attacker answers the function's own requests as slowly as possible.

Has: a server that the function asks: an issuer's keys, users' keys, or the address of a chat platform.
Does: sends one byte after another and never ends, so that each request keeps a thread and a socket.
Sees: the connection end when the time is up. The function answers in time, and nothing is left behind.
"""

from __future__ import annotations

from handler.http.fetch import HttpRequest, fetch
from tests.support.slow_peer import assert_nothing_left, drip, open_sockets, peer


def test_many_requests_leave_nothing_behind() -> None:
    for _ in range(10):
        before = open_sockets()
        with peer(drip) as slow:
            assert fetch(HttpRequest(slow.url), seconds=0.1, limit=1000) is None
        assert_nothing_left(before)
