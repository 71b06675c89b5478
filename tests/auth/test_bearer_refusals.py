"""Tokens that are refused: all get the same response, and the audit line has the true cause."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bearer_attacks import CASES
from tests.support.bearer_forgeries import GOOD
from tests.support.bearer_function import Case, bearer_function, ec_token, ed_token, rsa_token, sent
from tests.support.function_under_test import RECIPIENT, V3, Answer, FunctionUnderTest, fresh_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path) -> FunctionUnderTest:
    return bearer_function(emulator, tmp_path)


def told(answer: Answer) -> tuple[object, ...]:
    """Return everything that a caller sees, except the id of the request."""
    return (
        answer.status,
        answer.headers,
        {name: value for name, value in answer.json.items() if name != "requestId"},
    )


def refused(function: FunctionUnderTest, event: dict[str, Any], reason: str) -> Answer:
    """Assert that `event` is refused, and that only the operator learns why."""
    before = function.create_calls()
    answer = function.call(event)
    assert function.create_calls() == before
    (line,) = function.audit_lines()
    assert (line["reason"], line["decision"], line["caller"]) == (reason, "refused", None)
    return answer


def body() -> dict[str, object]:
    return {"keyName": fresh_name(), "recipients": [str(RECIPIENT.to_public())]}


def test_the_table_is_long_and_without_duplicates() -> None:
    assert len(CASES) > 200
    assert len({case.title for case in CASES}) == len(CASES)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_a_bad_token_is_refused(
    function: FunctionUnderTest, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reference = refused(function, sent("Bearer x", body()), "bearer-malformed")
    function.forget_audit()
    answer = refused(function, sent(case.authorization, body()), case.reason)
    assert answer.status == 401
    assert told(answer) == told(reference)
    assert caplog.text == ""
    # Nothing of the token is in what is written down.
    parts = [part[:16] for part in (case.authorization or "").split(".") if len(part) >= 16]
    assert [part for part in parts if part in function.audit.getvalue() + answer.body] == []


@pytest.mark.parametrize("good", [rsa_token, ec_token, ed_token])
def test_the_tokens_that_the_cases_start_from_are_accepted(
    function: FunctionUnderTest, good: Callable[[], str]
) -> None:
    assert function.call(sent(f"Bearer {good()}", body())).status == 201
    function.delete_key_pairs()


def test_tokens_outside_the_header_are_ignored(function: FunctionUnderTest) -> None:
    """RFC 6750 also allows them in a form and in the query, but URLs end up in logs."""
    event = sent(None, {**body(), "access_token": GOOD}, Content_Type="application/x-www-form-urlencoded")
    event["queryString"] = {"access_token": GOOD}
    refused(function, event, "tc3-authorization")


def test_a_repeated_authorization_header(function: FunctionUnderTest) -> None:
    event = sent(f"Bearer {GOOD}", body())
    event["headers"]["authorization"] = event["headers"]["Authorization"]
    answer = function.call(event)
    assert (answer.status, answer.code) == (400, "malformed-request")
    assert function.audit_lines() == []


def test_the_cloud_apis_accept_no_tokens(function: FunctionUnderTest) -> None:
    event = {**sent(f"Bearer {GOOD}", function.v3_body()), "path": V3}
    answer = refused(function, event, "tc3-authorization")
    assert (answer.status, answer.code) == (200, "AuthFailure.SignatureFailure")
