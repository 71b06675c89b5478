"""Hundreds of requests over a network that loses, delays and repeats messages; then one sweep."""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from handler.issuance.cleanup import ORPHAN_AGE, RELEASED
from handler.scf.invocation import Deadline, Invocation
from tests.support.chaos_proxy import running_chaos_proxy
from tests.support.emulator_process import running_emulator
from tests.support.function_under_test import REST, FunctionUnderTest, TestClock, fresh_name
from tests.support.function_worker import Job, serve_at_once
from tests.support.key_pairs_in_cloud import create, lines, public_keys
from tests.support.opened_keys import opened

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcfromtimestamp:DeprecationWarning"),
]

FOREIGN = 10
PROCESSES = 2
THREADS = 6
REMOVAL = 5.0
"""Seconds of an invocation that are kept for the removal of what it created; the rest is for the create."""
WORTH_ANOTHER_TRY = {
    "outcome-unknown",
    "cloud-unreachable",
    "out-of-time",
    "cloud-answer-invalid",
    "request-in-flight",  # the try before still holds its lease
}


@pytest.mark.parametrize("requests", [400, pytest.param(2000, marks=pytest.mark.exhaustive)])
def test_nothing_is_lost_nothing_is_left_and_nothing_else_is_touched(tmp_path: Path, requests: int) -> None:
    seed = int(os.environ.get("SOAK_SEED", random.SystemRandom().getrandbits(32)))
    sys.stdout.write(f"\nSOAK_SEED={seed}\n")
    with running_emulator(quota=2 * requests) as emulator:
        function = FunctionUnderTest(
            emulator,
            tmp_path / "policy.json",
            settings={"KEYPAIR_STORE": f"sqlite:{tmp_path}/store"},
            clock=TestClock(time.time()),
        )
        patience = max(3.0, 5 * slowest_undisturbed(function))
        foreign = [create(emulator, {"team": "core"} if number % 2 else {}) for number in range(FOREIGN)]
        foreign_before = emulator.key_pairs()
        jobs = requests_of(function, seed, requests, [name for _, name in foreign])

        start = time.monotonic()
        with running_chaos_proxy(emulator.cvm_endpoint, seed=seed, late=patience + 0.5) as proxy:
            environment = {
                **function.environ,
                "KEYPAIR_CVM_ENDPOINT": proxy.url,
                "TIME_LIMIT_IN_MS": str(int((patience + REMOVAL) * 1000)),
            }
            shares = [jobs[number::PROCESSES] for number in range(PROCESSES)]
            served = serve_at_once(environment, shares, threads=THREADS)
        seconds = time.monotonic() - start

        statuses = Counter(tries[-1].code or tries[-1].status for tries in served.answers)
        before = public_keys(function)
        removed = sweep_later(function)
        after = public_keys(function)

        given = [answer for tries in served.answers for answer in tries if answer.status == 201]
        told = (
            f"SOAK_SEED={seed}: {len(served.answers)} requests, {sum(map(len, served.answers))} tries in "
            f"{seconds:.0f} s with a patience of {patience:.1f} s; at the last try {dict(statuses)}; "
            f"fates {dict(proxy.fates)}; key pairs before the sweep {len(before)}, "
            f"removed {dict(removed)}, after {len(after)}, given {len(given)}"
        )
        sys.stdout.write(told + "\n")

        assert len(served.answers) == requests, told
        # Every answer has a reason that its caller can do something with.
        assert set(statuses) <= {201, "name-taken", *WORTH_ANOTHER_TRY}, told
        reasons = {line["reason"] for line in lines(served.audit) if line["decision"] == "failed"}
        expected = {"cloud-unreachable", "out-of-time", "create-never-certain"}
        expected |= {f"modify-Client{what}Error" for what in ("Network", "Read", "Decode")}
        assert reasons <= expected, (reasons, told)
        for (event, _), tries in zip(itertools.chain(*shares), served.answers, strict=True):
            if tries[-1].code == "name-taken":
                assert json.loads(event["body"])["keyName"] in {name for _, name in foreign}, told
        assert len(given) > requests * 0.7, told
        lost = [answer.json["keyId"] for answer in given if after.get(answer.json["keyId"]) != opened(answer)]
        assert lost == [], told
        given_ids = {answer.json["keyId"] for answer in given}
        assert len(given_ids) == len(given), told
        described = {pair["KeyId"] for pair in emulator.key_pairs() if pair["Description"] == RELEASED}
        assert described == given_ids, told
        foreign_ids = {key_id for key_id, _ in foreign}
        assert set(after) - foreign_ids - given_ids == set(), told
        assert [pair for pair in emulator.key_pairs() if pair["KeyId"] in foreign_ids] == foreign_before, told
        # Chaos did happen, and left something for the sweeper.
        assert len(proxy.fates) == 12, told
        assert removed["removed"] > 0, told


def slowest_undisturbed(function: FunctionUnderTest) -> float:
    """Return the seconds that a request takes on this machine now, among as many others as in the soak."""
    shares = [[(function.signed(REST), 1) for _ in range(2 * THREADS)] for _ in range(PROCESSES)]
    served = serve_at_once(function.environ, shares, threads=THREADS)
    function.delete_key_pairs()
    served_lines = map(json.loads, served.audit.splitlines())
    return float(max(line.get("durationMs", 0) for line in served_lines)) / 1000


def requests_of(function: FunctionUnderTest, seed: int, count: int, taken: list[str]) -> list[Job]:
    """Return the requests. Half have an idempotency key, and half are retried once."""
    chance = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
    jobs: list[Job] = []
    for number in range(count):
        name = taken[number] if number < len(taken) else fresh_name()
        signed: dict[str, Any] = {}
        if chance.random() < 0.5:
            signed["also_signed"] = {"idempotency-key": f'"soak-{number}"'}
        event = function.signed(REST, function.rest_body(keyName=name), **signed)
        jobs.append((event, chance.choice((1, 2))))
    chance.shuffle(jobs)
    return jobs


def sweep_later(function: FunctionUnderTest) -> Counter[str]:
    """Sweep once, as `scripts/sweep` does, after every maker of a key pair has ended."""
    function.clock.time = time.time() + ORPHAN_AGE + 1
    clock = function.clock.clock()
    deadline = Deadline(clock, clock.monotonic() + 600)
    counts = function.services.sweeper.sweep(Invocation("sweep-1", deadline, function.environ))
    found = lines(function.audit.getvalue())
    assert [(one["decision"], one["reason"]) for one in found[1:-1]] == [("removed", "orphan")] * (
        len(found) - 2
    )
    return Counter(counts)
