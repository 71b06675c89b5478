"""No key is lost and none is left over, whichever step fails, with a store in memory and a shared one."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from handler.issuance.cleanup import RELEASED
from tests.support.fault_cases import CASES, EVERY_FAULT, MATRIX, MORE_CASES, NEVER_CERTAIN
from tests.support.faults import STORES, Case, Matrix, Outcome, shared_matrix
from tests.support.function_under_test import ESCROW, RECIPIENT
from tests.support.opened_keys import opened_text

if TYPE_CHECKING:
    import pyrage

    from tests.support.function_under_test import Answer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcfromtimestamp:DeprecationWarning"),
]

HAS_KEY = "caller has the key"
NOTHING = "nothing left"
UNTAGGED = "the cloud lost the tags and the answer, left"
IN_USE = "in use, left"
NOT_OURS = "somebody else's, left"
TAKEN = "died before the answer, name stays taken"
"""The one limit of the memory store. docs/guarantees.md names it."""


@pytest.fixture(scope="module")
def matrix(pytestconfig: pytest.Config) -> Matrix:
    return shared_matrix(pytestconfig)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        matrix = EVERY_FAULT if metafunc.config.getoption("--every-fault") else MATRIX
        rows = [pytest.param(case, store, id=f"{store}: {case.name}") for case, store in matrix]
        metafunc.parametrize(("case", "store"), rows)


def test_no_key_is_lost_and_none_is_left_over(matrix: Matrix, case: Case, store: str) -> None:
    verdict(matrix.outcome(case, store))


def test_the_cases_are_many_and_distinct() -> None:
    assert len(CASES) + len(MORE_CASES) >= 800
    assert len({(case.name, store) for case, store in EVERY_FAULT}) == len(EVERY_FAULT)
    # A normal run tries each fault, each step with both kinds of store, and each conduct.
    assert {case.name for case, _ in MATRIX} >= {case.name for case in CASES if not case.conduct}
    steps = {case.step for case in CASES if not case.conduct}
    assert steps <= {case.step for case, store in MATRIX if store == "memory"}
    assert steps <= {case.step for case, store in MATRIX if store != "memory"}
    conducts = {(case.conduct, case.fault) for case in CASES}
    assert {(case.conduct, case.fault) for case, _ in MATRIX} == conducts


def test_the_results_are_printed(matrix: Matrix, capsys: pytest.CaptureFixture[str]) -> None:
    results: Counter[tuple[str, str]] = Counter()
    for outcome in matrix.outcomes:
        results[outcome.store, judged(outcome)] += 1
    with capsys.disabled():
        faults = len({outcome.case.name for outcome in matrix.outcomes})
        print(f"\n\nfault matrix: {len(matrix.outcomes)} cases ({faults} faults, {len(STORES)} stores)")  # noqa: T201  # wanted in the log of every run
        for (store, result), count in sorted(results.items()):
            print(f"  {store:8} {result:36} {count:4}")  # noqa: T201  # as above
    assert not [result for result in results if result[1] == "FAILED"]


def judged(outcome: Outcome) -> str:
    try:
        return verdict(outcome)
    except AssertionError:
        return "FAILED"


def verdict(outcome: Outcome) -> str:
    """Return the result of a case; fail if it is not an allowed one."""
    case = outcome.case
    assert outcome.foreign_after == outcome.foreign_before
    _check_each_answer(outcome)
    if outcome.given:
        _check_given(outcome)
        return HAS_KEY
    if case.taken:
        return NOT_OURS
    if case.bound:
        # The one key pair that is there is not to be deleted under the instance that uses it.
        assert [bool(pair["AssociatedInstanceIds"]) for pair in outcome.key_pairs] == [True]
        return IN_USE
    if case.conduct == "Tags dropped" and case.fault == "lost create":
        # Nothing shows whose key pair it is, and nobody knows its id.
        assert [pair["Tags"] for pair in outcome.key_pairs] == [[]]
        return UNTAGGED
    if outcome.instance_lost and outcome.key_pairs:
        # Its description says that somebody may have it, and the only claim that knew better is gone.
        (pair,) = outcome.key_pairs
        assert pair["Description"] == RELEASED
        assert outcome.retry.code == "name-taken"
        return TAKEN
    assert outcome.key_pairs == []
    # Nor is anybody locked out.
    assert outcome.settled is not None
    assert outcome.settled.status == 201
    return NOTHING


def _check_each_answer(outcome: Outcome) -> None:
    case = outcome.case
    answer = outcome.answers[0]
    if answer is not None and answer.status >= 300 and answer.status != 504:
        # It says that nothing was made, or that somebody is at work. Only a lie of the cloud makes it untrue.
        may_be_left = case.taken or case.bound or case.fault == "a refusal that is a lie"
        may_be_left |= answer.code == "request-in-flight"
        assert outcome.left_after_first == 0 or may_be_left
    if case.fault == NEVER_CERTAIN:
        assert [answer and answer.status for answer in outcome.answers] == [504, 504]
    answer = outcome.retry
    if answer.status == 201:
        assert not _died_at_work(outcome)
        return
    refusal = (answer.status, answer.code)
    if refusal == (409, "name-taken"):
        assert case.taken or case.bound or outcome.instance_lost
    else:
        # Somebody may be at work on it: whoever died, or whoever could not let go of the claim.
        assert refusal == (409, "request-in-flight")
        assert answer.headers["Retry-After"] == "5"
        assert not case.later
        assert case.deadly or case.fresh or case.step.startswith("store:") or case.conduct == "Tags dropped"


def _died_at_work(outcome: Outcome) -> bool:
    """Tell whether the holder of the record or the maker of the key pair may still be running."""
    case = outcome.case
    if not case.deadly or case.later:
        return False
    in_the_store = case.step.startswith("cloud:") and not outcome.instance_lost
    return in_the_store or case.step.startswith("look at the key:")


def _check_given(outcome: Outcome) -> None:
    """Assert that the caller's key pair exists and was recorded before its release."""
    if not outcome.instance_lost:
        assert len({answer.body for answer in outcome.given}) == 1
    answer = outcome.given[-1]
    (pair,) = outcome.key_pairs
    key_type, blob, _ = pair["PublicKey"].split()
    assert (answer.json["keyId"], answer.json["publicKey"]) == (pair["KeyId"], f"{key_type} {blob}")
    for identity in (RECIPIENT, ESCROW):
        assert opened(answer, identity) == f"{key_type} {blob}"
    for released in outcome.given:
        key_id = released.json["keyId"]
        assert {(key_id, "issued"), (key_id, "replayed")} & _decisions(outcome)


def opened(answer: Answer, identity: pyrage.x25519.Identity) -> str:
    """Open the sealed key as its owner does; return its public key."""
    return opened_text(answer.json["sealedPrivateKey"]["ciphertext"], identity)


def _decisions(outcome: Outcome) -> set[tuple[str, str]]:
    lines = []
    for text in outcome.audit.splitlines():
        try:
            line: dict[str, Any] = json.loads(text)
        except ValueError:
            continue  # cut by a fault
        lines.append(line)
    return {(line["keyId"], line["decision"]) for line in lines}
