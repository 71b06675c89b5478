"""The attacker uses a key that its issuer has withdrawn.

Has: the private key of a token issuer, whose loss was noticed: the issuer no longer publishes the public one.
Does: waits until SCF wakes an instance that it froze weeks ago. Its monotonic clock stood still.
Sees: the instance fetches the keys again, and the token is refused. If the issuer cannot be reached, 503.
"""

from __future__ import annotations

import pytest

from handler.auth.jwks import FetchedKeys
from handler.errors import IssuerUnavailable, Unauthenticated
from tests.support.bearer_function import EC, RSA
from tests.support.function_under_test import TestClock
from tests.support.token_issuer import jwk, key_server

OLD, NEW = jwk(RSA, kid="old"), jwk(EC, kid="new")
WEEKS = 14 * 24 * 3600.0


def test_an_instance_that_was_frozen_for_weeks() -> None:
    clock = TestClock()
    with key_server() as server:
        server.publish(OLD)
        keys = FetchedKeys("test", server.url, clock.clock())
        assert keys.key("old", "RS256") == OLD
        server.publish(NEW)
        clock.pause(WEEKS)
        with pytest.raises(Unauthenticated):
            keys.key("old", "RS256")


def test_an_issuer_that_is_blocked_meanwhile() -> None:
    clock = TestClock()
    with key_server() as server:
        server.publish(OLD)
        keys = FetchedKeys("test", server.url, clock.clock())
        assert keys.key("old", "RS256") == OLD
    clock.pause(WEEKS)
    with pytest.raises(IssuerUnavailable):
        keys.key("old", "RS256")


def test_a_wall_clock_that_is_set_back() -> None:
    clock = TestClock()
    with key_server() as server:
        server.publish(OLD)
        keys = FetchedKeys("test", server.url, clock.clock())
        assert keys.key("old", "RS256") == OLD
        server.publish(NEW)
        clock.time += 301
        clock.time, clock.paused = clock.time - WEEKS, -WEEKS
        with pytest.raises(Unauthenticated):
            keys.key("old", "RS256")
