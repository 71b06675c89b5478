"""Rate limits of callers and of failed attempts, in each store, and when the store fails."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler.auth.rate_limits import Allowance, Limiter, source_of
from handler.errors import RateLimited, StoreUnavailable
from handler.store.memory import MemoryStore
from handler.store.sqlite import SqliteStore
from tests.support.function_under_test import (
    MASTER,
    NOON,
    OTHER_MASTER,
    POLICY,
    REST,
    V3,
    FunctionUnderTest,
    TestClock,
)
from tests.support.random_cases import examples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess


def limited(emulator: EmulatorProcess, tmp_path: Path, **settings: str) -> FunctionUnderTest:
    policy: dict[str, Any] = copy.deepcopy(POLICY)
    policy["callers"]["demo"]["rate"] = "3/hour"
    policy["failed_rate"] = "2/minute"
    return FunctionUnderTest(emulator, tmp_path / "policy.json", policy=policy, settings=settings)


@pytest.fixture(params=["memory:", "sqlite"])
def function(emulator: EmulatorProcess, tmp_path: Path, request: pytest.FixtureRequest) -> FunctionUnderTest:
    store = request.param if request.param == "memory:" else f"sqlite:{tmp_path}/store"
    return limited(emulator, tmp_path, KEYPAIR_STORE=store)


def test_a_caller_is_limited_to_its_rate(function: FunctionUnderTest) -> None:
    created = function.create_calls()
    seen = []
    for _ in range(3):
        answer = function.call(function.signed(REST))
        seen.append((answer.status, answer.headers["RateLimit"], answer.headers["RateLimit-Policy"]))
    policy = '"caller";q=3;w=3600'
    assert seen == [
        (201, '"caller";r=2;t=1200', policy),
        (201, '"caller";r=1;t=2400', policy),
        (201, '"caller";r=0;t=3600', policy),
    ]
    function.forget_audit()
    refused = function.call(function.signed(REST))
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (429, "rate-limited", "1200")
    assert refused.json["title"] == "Too many requests."
    assert [(line["decision"], line["reason"], line["caller"]) for line in function.audit_lines()] == [
        ("refused", "rate-caller", "demo")
    ]
    assert function.create_calls() == created + 3
    # Another caller, and the same one a third of the time later, at the other door.
    other = function.call(function.signed(REST, caller="second"))
    assert (other.status, "RateLimit" in other.headers) == (201, False)
    function.clock.time += 1199
    sdk = function.call(function.signed(V3))
    assert (sdk.status, sdk.code, sdk.headers["Retry-After"]) == (200, "RequestLimitExceeded", "1")
    function.clock.time += 1
    assert function.call(function.signed(V3)).code is None
    function.delete_key_pairs()


def test_refused_requests_count_too(function: FunctionUnderTest) -> None:
    for number in range(3):
        answer = function.call(function.signed(REST, {"keyName": f"no-{number}"}))
        assert (answer.status, "RateLimit" in answer.headers) == (400, True)
    assert function.call(function.signed(REST)).status == 429


def test_a_replayed_request_is_not_counted(function: FunctionUnderTest) -> None:
    """Otherwise, whoever captured it could use up the caller's allowance."""
    first = function.signed(REST)
    answers = [function.call(first) for _ in range(9)]
    assert [answer.status for answer in answers] == [201] * 9
    assert ["RateLimit" in answer.headers for answer in answers] == [True] + [False] * 8
    function.clock.time += 1
    assert [function.call(function.signed(REST)).status for _ in range(3)] == [201, 201, 429]
    # One that was refused for its number is not let through by being sent again.
    late = function.signed(REST)
    assert [function.call(late).status for _ in range(2)] == [429, 429]
    assert function.call(first).status == 201
    function.delete_key_pairs()


def test_a_replayed_request_is_limited_by_itself(function: FunctionUnderTest) -> None:
    """Each of them may ask the cloud. Its sender has the whole allowance left but one."""
    event = function.signed(REST)
    answers = [function.call(event) for _ in range(62)]
    assert [answer.status for answer in answers] == [201] * 61 + [429]
    assert function.audit_lines()[-1]["reason"] == "rate-repeat"
    function.clock.time += 1
    other = function.signed(REST)
    assert function.call(other).headers["RateLimit"].startswith('"caller";r=1;')
    assert function.call(other).status == 201
    function.delete_key_pairs()


class Racing(MemoryStore):
    """A store that calls `meanwhile` before a request is marked as counted."""

    meanwhile: Callable[[], object] = bool

    def add(self, key: str, value: str, ttl: float) -> bool:
        if key.startswith("counted:"):
            meanwhile, self.meanwhile = self.meanwhile, bool
            meanwhile()
        return super().add(key, value, ttl)


def test_of_equal_requests_at_once_one_is_counted() -> None:
    clock = TestClock().clock()
    store = Racing(clock)
    limiter, allowance = Limiter(store, clock), Allowance.of("20/hour")
    store.meanwhile = lambda: limiter.take_once("caller", "x", allowance, "same")
    assert limiter.take_once("caller", "x", allowance, "same") is None
    assert limiter.take("caller", "x", allowance).left == 18


def test_what_is_given_back_does_not_outlive_its_time() -> None:
    now = TestClock()
    store = Racing(now.clock())
    limiter, allowance = Limiter(store, now.clock()), Allowance.of("1/hour")
    store.meanwhile = lambda: limiter.take_once("caller", "x", Allowance.of("2/hour"), "same")
    assert limiter.take_once("caller", "x", Allowance.of("2/hour"), "same") is None
    assert store.get("rate:caller:x") is not None
    now.time += 1801
    assert store.get("rate:caller:x") is None
    assert limiter.take("caller", "x", allowance).left == 0


def test_what_cannot_be_given_back_stays_counted() -> None:
    """Somebody else changes the counter all the time."""

    class Busy(Racing):
        free = True

        def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
            return self.free and super().replace(key, expected, value, ttl)

    clock = TestClock().clock()
    store = Busy(clock)
    limiter, allowance = Limiter(store, clock), Allowance.of("20/hour")

    def meanwhile() -> None:
        limiter.take_once("caller", "x", allowance, "same")
        store.free = False

    store.meanwhile = meanwhile
    assert limiter.take_once("caller", "x", allowance, "same") is None
    store.free = True
    assert limiter.take("caller", "x", allowance).left == 17


def test_requests_without_an_address_are_not_limited_together(function: FunctionUnderTest) -> None:
    """Otherwise, one of them could block the others."""
    bad = function.signed(REST, master=OTHER_MASTER, x_scf_remote_addr=None)
    assert [function.call(bad).status for _ in range(9)] == [401] * 9
    assert function.call(function.signed(REST, caller="second", x_scf_remote_addr=None)).status == 201
    function.delete_key_pairs()


def test_failed_attempts_from_one_address_are_limited(function: FunctionUnderTest) -> None:
    bad = function.signed(REST, master=OTHER_MASTER)
    assert [function.call(bad).status for _ in range(2)] == [401, 401]
    function.forget_audit()
    # From there nobody is listened to, not even with the right secret; from elsewhere everybody is.
    good = function.signed(REST, master=MASTER)
    answers = [function.call(bad), function.call(good)]
    assert [(a.status, a.code, a.headers["Retry-After"]) for a in answers] == [
        (429, "rate-limited", "30")
    ] * 2
    assert [(line["reason"], line["caller"]) for line in function.audit_lines()] == [
        ("rate-source", None)
    ] * 2
    elsewhere = {**good, "headers": {**good["headers"], "x-scf-remote-addr": "203.0.113.8"}}
    assert function.call(elsewhere).status == 201
    function.clock.time += 30
    assert function.call(good).status == 201
    function.delete_key_pairs()


def test_successful_attempts_do_not_count_as_failed(function: FunctionUnderTest) -> None:
    assert [function.call(function.signed(REST, caller="second")).status for _ in range(4)] == [201] * 4
    function.delete_key_pairs()


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:443", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:3:ffff:ffff:ffff:ffff", "2001:db8:1:3::"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", None),
        ("203.0.113", None),
        ("203.0.113.7, 198.51.100.1", None),
        ("203.0.113.7\n", None),
        ("localhost", None),
        ("fe80::1%eth0", None),
        ("x" * 64, None),
    ],
)
def test_sources(address: str, source: str | None) -> None:
    assert source_of(address) == source


class Down:
    """A store in which one operation fails, or in which another request is always faster."""

    shared = True

    def __init__(self, failing: str, text: str | None = None) -> None:
        self.failing = failing
        self.text = text

    def get(self, _key: str) -> str | None:
        self._may_fail("get")
        return self.text

    def add(self, _key: str, _value: str, _ttl: float) -> bool:
        self._may_fail("add")
        return False

    def replace(self, _key: str, _expected: str, _value: str, _ttl: float) -> bool:
        self._may_fail("replace")
        return False

    def _may_fail(self, operation: str) -> None:
        if operation == self.failing:
            raise StoreUnavailable("down")


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        (Down("get"), "down"),
        (Down("add"), "down"),
        (Down("replace", "1795521700.0"), "down"),
        (Down("", "1795521700.0"), "rate-contended"),
        (Down(""), "rate-contended"),
        (Down("", "nonsense"), "rate-unreadable"),
    ],
)
def test_a_request_that_cannot_be_counted_is_refused(store: Down, reason: str) -> None:
    limiter = Limiter(store, TestClock().clock())
    with pytest.raises(StoreUnavailable) as failed:
        limiter.take("caller", "x", Allowance.of("9/hour"))
    assert failed.value.reason == reason


def test_authentication_fails_while_the_store_is_down(emulator: EmulatorProcess, tmp_path: Path) -> None:
    function = limited(emulator, tmp_path, KEYPAIR_STORE=f"sqlite:{tmp_path}/no/folder/store")
    answer = function.call(function.signed(REST, caller="second"))
    assert (answer.status, answer.code) == (503, "store-unavailable")
    assert [line["reason"] for line in function.audit_lines()] == ["sqlite-unavailable"]


@pytest.mark.parametrize(("unit", "seconds"), [("minute", 60), ("hour", 3600), ("day", 86400)])
def test_all_of_an_allowance_at_once(unit: str, seconds: int) -> None:
    """Rounding thirds and sevenths of a period neither loses nor adds a request."""
    clock = TestClock(NOON + 0.1).clock()
    limiter = Limiter(MemoryStore(clock), clock)
    for requests in range(1, 61):
        allowance = Allowance.of(f"{requests}/{unit}")
        assert allowance == Allowance(requests, seconds)
        taken = [limiter.take("caller", str(requests), allowance) for _ in range(requests)]
        assert [standing.left for standing in taken] == list(reversed(range(requests)))
        with pytest.raises(RateLimited):
            limiter.take("caller", str(requests), allowance)


@given(
    rate=st.builds("{}/{}".format, st.integers(1, 50), st.sampled_from(["minute", "hour", "day"])),
    pauses=st.lists(st.floats(0, 4000), max_size=120),
)
@settings(max_examples=examples(50), deadline=None, database=None)
def test_never_more_than_the_rate_and_its_burst(rate: str, pauses: list[float]) -> None:
    allowance = Allowance.of(rate)
    clock = TestClock()
    limiter = Limiter(MemoryStore(clock.clock()), clock.clock())
    start, granted = clock.time, 0
    waits: list[int] = []
    for pause in pauses:
        clock.time += pause
        try:
            standing = limiter.take("caller", "x", allowance)
        except RateLimited as refused:
            wait = refused.retry_after or 0
            waits.append(wait)
            clock.time += wait  # the time that is told is enough
            limiter.check("caller", "x", allowance)
            clock.time -= wait
        else:
            granted += 1
            assert 0 <= standing.left < allowance.requests
            assert 0 < standing.reset <= allowance.period
    assert all(1 <= wait <= allowance.period / allowance.requests + 1 for wait in waits)
    passed = (clock.time - start) * allowance.requests / allowance.period
    assert granted <= allowance.requests + passed + 1
    assert granted >= min(allowance.requests, len(pauses))


def test_two_openings_of_a_shared_store_count_together(tmp_path: Path) -> None:
    clock = TestClock().clock()
    limiters = [Limiter(SqliteStore(tmp_path / "store", clock), clock) for _ in range(2)]
    left = [limiters[turn % 2].take("caller", "x", Allowance.of("4/day")).left for turn in range(4)]
    assert left == [3, 2, 1, 0]
    with pytest.raises(RateLimited):
        limiters[0].take("caller", "x", Allowance.of("4/day"))
