"""Bad requests to the endpoint of API v2: the response, the only audit line, and no key pair."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.function_under_test import OTHER_MASTER, POLICY, FunctionUnderTest
from tests.support.v2_attacks import (
    BY_SHA1,
    CALLERS,
    EVENT,
    GOOD,
    POSTED,
    UNAUTHENTICATED,
    WHOM,
    Bad,
    sent_with,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.v2_requests import V2Request

UNPROVEN = {"code": 4100, "codeDesc": "AuthFailure", "message": "The caller is not authenticated."}


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[FunctionUnderTest]:
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", policy={**POLICY, "callers": CALLERS})
    yield function
    function.delete_key_pairs()


def test_the_table_has_enough_cases() -> None:
    assert len(UNAUTHENTICATED) >= 100
    assert len({bad.title for bad in UNAUTHENTICATED}) == len(UNAUTHENTICATED)


@pytest.mark.slow
@pytest.mark.parametrize("bad", UNAUTHENTICATED, ids=lambda bad: bad.title)
def test_unauthenticated_requests(function: FunctionUnderTest, bad: Bad) -> None:
    calls = function.create_calls()
    answer = function.call(bad.event)
    assert (answer.status, answer.json) == (200, UNPROVEN)
    assert answer.headers["Content-Type"] == "application/json"
    (line,) = function.audit_lines()
    assert (line["decision"], line["reason"], line["door"]) == ("refused", bad.reason, "tencent-v2")
    assert line["caller"] is None
    assert function.create_calls() == calls


@pytest.mark.parametrize(
    "other", [replace(GOOD, wanted={**GOOD.wanted, "keyName": "other"}), POSTED, BY_SHA1]
)
def test_a_nonce_is_used_once(function: FunctionUnderTest, other: V2Request) -> None:
    assert function.call(EVENT).json["code"] == 0
    function.forget_audit()
    calls = function.create_calls()
    answer = function.call(other.event())
    assert (answer.status, answer.json) == (200, UNPROVEN)
    (line,) = function.audit_lines()
    assert (line["decision"], line["reason"]) == ("refused", "nonce-used")
    assert function.create_calls() == calls


def test_a_forged_request_burns_no_nonce(function: FunctionUnderTest) -> None:
    for event in (sent_with(keyName="evil"), replace(GOOD, master=OTHER_MASTER).event()):
        assert function.call(event).json == UNPROVEN
    assert function.call(EVENT).json["code"] == 0


MALFORMED = "The request is malformed."


@pytest.mark.parametrize(
    ("changes", "code", "message", "reason"),
    [
        ({"Action": None}, 4000, "This action is not supported.", "unknown-action"),
        ({"Action": "createKeyPair"}, 4000, "This action is not supported.", "unknown-action"),
        ({"Action": "DeleteKeyPairs"}, 4000, "This action is not supported.", "unknown-action"),
        ({"Version": "2017-03-12"}, 6100, None, "unknown-version"),
        ({"keyName": None}, 4000, f"{MALFORMED} keyName: required.", "fields"),
        ({"keyName": ""}, 4000, f"{MALFORMED} keyName: too-short.", "fields"),
        ({"keyName": "a" * 26}, 4000, f"{MALFORMED} keyName: too-long.", "fields"),
        ({"keyName": "web?Action=x"}, 4000, f"{MALFORMED} keyName: pattern.", "fields"),
        ({"keyName": "web\n"}, 4000, f"{MALFORMED} keyName: pattern.", "fields"),
        ({"KeyName": "web"}, 4000, f"{MALFORMED} KeyName: unknown.", "fields"),
        ({"Token": "x"}, 4000, f"{MALFORMED} Token: unknown.", "fields"),
        ({"projectId": "-1"}, 4000, f"{MALFORMED} projectId: integer.", "fields"),
        ({"projectId": "01"}, 4000, f"{MALFORMED} projectId: integer.", "fields"),
        ({"projectId": "9" * 19}, 4000, f"{MALFORMED} projectId: range.", "fields"),
        ({"Region": "Guangzhou"}, 4000, f"{MALFORMED} Region: pattern.", "fields"),
        ({"Region": ""}, 4000, f"{MALFORMED} Region: pattern.", "fields"),
        ({"recipients": WHOM}, 4000, f"{MALFORMED} recipients: array.", "fields"),
        ({"recipients": WHOM, "recipients.0": None}, 4000, f"{MALFORMED} recipients: array.", "fields"),
        ({"recipients.2": WHOM}, 4000, f"{MALFORMED} *: unknown.", "fields"),
        ({"recipients.00": WHOM}, 4000, f"{MALFORMED} *: unknown.", "fields"),
        ({"recipients.0": "ssh-dss AAAA"}, 4000, None, "recipient-ssh-type"),
        ({"clientToken": "a b"}, 4000, f"{MALFORMED} clientToken: pattern.", "fields"),
        ({"privateKeyFormat": "pem"}, 4000, f"{MALFORMED} privateKeyFormat: enumeration.", "fields"),
        ({"envelopeFormat": "zip"}, 4000, f"{MALFORMED} envelopeFormat: enumeration.", "fields"),
        ({"expiresIn": "soon"}, 4000, f"{MALFORMED} expiresIn: pattern.", "fields"),
        ({"keyName": "-----BEGIN PRIVATE KEY-----"}, 4000, None, "recipient-private-key"),
        ({"Region": "bj"}, 4102, "The policy does not grant this request.", "not-granted-region"),
        ({"projectId": "7"}, 4102, "The policy does not grant this request.", "not-granted-project"),
    ],
)
def test_refusals_after_authentication(
    function: FunctionUnderTest,
    changes: dict[str, str | None],
    code: int,
    message: str | None,
    reason: str,
) -> None:
    calls = function.create_calls()
    answer = function.call(replace(GOOD, changes=changes).event())
    assert (answer.status, answer.json["code"]) == (200, code)
    assert list(answer.json) == ["code", "codeDesc", "message"]
    assert message in (None, answer.json["message"])
    (line,) = function.audit_lines()
    assert (line["decision"], line["reason"], line["caller"]) == ("refused", reason, "demo")
    assert function.create_calls() == calls


def test_required_tags_cannot_be_sent(function: FunctionUnderTest) -> None:
    request = replace(
        GOOD,
        caller="restricted",
        changes={"keyName": "ci_web", "projectId": "1234", "Region": "ap-shanghai"},
    )
    assert function.call(request.event()).json["code"] == 4102
    assert function.audit_lines()[-1]["reason"] == "not-granted-required-tag"


def test_pinned_recipients(function: FunctionUnderTest) -> None:
    assert function.call(replace(GOOD, caller="pinned").event()).json["code"] == 4102
    assert function.audit_lines()[-1]["reason"] == "not-granted-own-recipients"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"httpMethod": "PUT"}, 405),
        ({"httpMethod": "HEAD"}, 405),
        ({"path": "/v2/index.php/"}, 404),
        ({"path": "/V2/index.php"}, 404),
        ({"path": "//v2/index.php"}, 404),
        ({"path": "/v2/index.php?x"}, 404),
        ({"queryString": {**GOOD.signed(), "keyName": ["web", "evil"]}}, 400),
    ],
)
def test_requests_that_do_not_reach_the_endpoint(
    function: FunctionUnderTest, changes: dict[str, object], status: int
) -> None:
    assert function.call({**EVENT, **changes}).status == status
    assert function.audit_lines() == []
