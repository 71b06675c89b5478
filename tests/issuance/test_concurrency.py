"""The same request, sent many times at the same moment."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from handler.issuance.cleanup import RELEASED
from tests.support.function_under_test import (
    REST,
    Answer,
    FunctionUnderTest,
    TestClock,
    fresh_name,
)
from tests.support.function_worker import Served, serve_at_once
from tests.support.key_pairs_in_cloud import public_keys
from tests.support.opened_keys import opened
from tests.support.store_servers import HAS_REDIS62, HAS_VALKEY, running_redis62, running_valkey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

pytestmark = pytest.mark.process

PROCESSES = 8
EACH = 25


def store_url(kind: str, tmp_path: Path, cleanup: ExitStack) -> str:
    if kind == "sqlite":
        return f"sqlite:{tmp_path}/store"
    if kind == "valkey":
        if not HAS_VALKEY:
            pytest.skip("no wheel of Valkey for this Python")
        return cleanup.enter_context(running_valkey()).url
    if not HAS_REDIS62:
        pytest.skip("no wheel of Redis 6.2 for this Python")
    return cleanup.enter_context(running_redis62()).url


# A store in a file and one behind a network. Valkey has no wheel for the Python that is deployed.
@pytest.fixture(
    params=[
        pytest.param("sqlite", marks=pytest.mark.slow),
        pytest.param("valkey", marks=pytest.mark.interpreter),
        pytest.param("redis", marks=pytest.mark.exhaustive),
    ]
)
def shared(
    request: pytest.FixtureRequest, emulator: EmulatorProcess, tmp_path: Path
) -> Iterator[FunctionUnderTest]:
    """Yield a function in real time, with a store that other processes can share."""
    with ExitStack() as cleanup:
        settings = {"KEYPAIR_STORE": store_url(request.param, tmp_path, cleanup)}
        function = FunctionUnderTest(
            emulator, tmp_path / "policy.json", settings=settings, clock=TestClock(time.time())
        )
        yield function
        function.delete_key_pairs()


def only_answer(served: Served) -> Answer:
    """Return the only successful answer; all successful answers must be equal."""
    given = [answer.event for (answer,) in served.answers if answer.status == 201]
    assert given
    assert all(event == given[0] for event in given)
    return Answer(given[0])


def test_200_equal_requests_over_8_processes_make_one_key_pair(shared: FunctionUnderTest) -> None:
    event = shared.signed(REST, also_signed={"idempotency-key": '"deploy-1"'})
    before = shared.create_calls()
    shares = [[(event, 1)] * EACH] * PROCESSES

    first = serve_at_once(shared.environ, shares, threads=EACH)
    answer = only_answer(first)
    refused = Counter((one.status, one.code) for (one,) in first.answers if one.status != 201)
    assert set(refused) <= {(409, "request-in-flight")}, refused
    assert len(first.answers) == 200
    assert shared.create_calls() == before + 1
    assert public_keys(shared) == {answer.json["keyId"]: opened(answer)}
    decisions = Counter(decisions_of(first))
    assert decisions["issued"] == decisions["intent"] == 1
    assert decisions["refused"] == sum(refused.values())
    assert decisions["replayed"] == 199 - sum(refused.values())

    # Once it is finished everybody gets the same bytes.
    second = serve_at_once(shared.environ, shares[:2], threads=EACH)
    assert [one.event for (one,) in second.answers] == [answer.event] * 50
    assert shared.create_calls() == before + 1


def decisions_of(served: Served) -> Iterator[str]:
    for line in served.audit.splitlines():
        yield json.loads(line)["decision"]


def test_equal_requests_without_an_idempotency_key_are_one_request_by_their_signature(
    shared: FunctionUnderTest,
) -> None:
    event = shared.signed(REST)
    served = serve_at_once(shared.environ, [[(event, 1)] * 10] * 4, threads=10)
    answer = only_answer(served)
    assert {one.status for (one,) in served.answers} <= {201, 409}
    assert public_keys(shared) == {answer.json["keyId"]: opened(answer)}


def test_another_body_under_the_same_key_is_refused(shared: FunctionUnderTest) -> None:
    def event(name: str) -> dict[str, Any]:
        body = shared.rest_body(keyName=name)
        return shared.signed(REST, body, also_signed={"idempotency-key": '"deploy-1"'})

    names = [fresh_name(), fresh_name()]
    jobs = [(event(names[number % 2]), 1) for number in range(EACH - 1)]
    served = serve_at_once(shared.environ, [jobs] * PROCESSES, threads=EACH - 1)
    answer = only_answer(served)
    assert public_keys(shared) == {answer.json["keyId"]: opened(answer)}
    statuses: dict[str, Counter[int]] = {name: Counter() for name in names}
    for number, (one,) in enumerate(served.answers):
        statuses[names[number % 2]][one.status] += 1
    winner = answer.json["keyName"]
    (loser,) = set(names) - {winner}
    assert set(statuses[winner]) <= {201, 409}
    assert statuses[loser] == {422: 96}
    codes = {one.code for (one,) in served.answers if one.status == 422}
    assert codes == {"idempotency-key-reused"}


@pytest.mark.parametrize("fault", [None, {"kind": "cut"}, {"kind": "delay", "seconds": 0.2}], ids=str)
def test_two_instances_without_a_shared_store(
    function: FunctionUnderTest, fault: dict[str, object] | None
) -> None:
    """The unique names in the cloud decide. No instance mistakes the key pair of the other for its own."""
    function.clock.time = time.time()
    emulator = function.emulator
    rounds = 20
    events = [function.signed(REST) for _ in range(rounds)]
    if fault is not None:
        emulator.add_faults({**fault, "times": rounds // 2})
    shares = [[(event, 1) for event in events]] * 2
    served = serve_at_once(function.environ, shares, threads=4)
    emulator.control("DELETE", "/faults")

    # The description of the other one's key pair says that it was released.
    allowed = {(409, "request-in-flight"), (409, "name-taken")}
    if fault is not None:
        # Removed its own, of which it had no answer, and found that of the other one in its place.
        allowed.add((504, "outcome-unknown"))
    left = public_keys(function)
    given: list[str] = []
    for number in range(rounds):
        pair = [served.answers[number][0], served.answers[rounds + number][0]]
        winners = [one for one in pair if one.status == 201]
        losers = [(one.status, one.code) for one in pair if one.status != 201]
        assert len(winners) <= 1
        assert set(losers) <= allowed, losers
        for one in winners:
            given.append(one.json["keyId"])
            assert left[given[-1]] == opened(one)
    assert sorted(left) == sorted(given)
    assert {pair["Description"] for pair in emulator.key_pairs()} == {RELEASED}
    # With a fault both may step back for each other, but hardly ever.
    assert len(given) == rounds if fault is None else len(given) > 0
