"""Work left for later: who may ask for it, and that it is done once."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler.auth.master_secret import MasterSecrets
from handler.chat.command import TEXT_LIMIT
from handler.chat.jobs import JOB_TTL_SECONDS, MAX_ROUNDS, Job, JobCodec
from handler.chat.platforms.base import Locale, Message
from handler.errors import Unauthenticated
from handler.scf.invocation import MAX_INVOCATION_SECONDS
from tests.support.chat_function import CONTEXT, chat_policy
from tests.support.function_under_test import (
    MASTER,
    NOON,
    OTHER_MASTER,
    PREVIOUS_MASTER,
    FunctionUnderTest,
    TestClock,
)
from tests.support.random_cases import examples

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

MESSAGE = Message(
    platform="slack",
    tenant="T1",
    user="U1",
    event_id="1.2.a",
    text="x",
    locale=Locale.EN,
    reply_to="/commands/T1/1/x",
)


def codec(*masters: bytes, clock: TestClock | None = None) -> JobCodec:
    return JobCodec(MasterSecrets(masters or (MASTER,)), (clock or TestClock()).clock())


def event(message: Message = MESSAGE, master: bytes = MASTER) -> dict[str, Any]:
    """Return an event as the function makes it, read as SCF reads it."""
    parsed: dict[str, Any] = json.loads(codec(master).start(message))
    return parsed


def code(text: str, at: int, master: bytes = MASTER, count: int = 0) -> str:
    """Write down apart from the code under test what its code is."""
    return hmac.new(master, f"deferred:\n{at}\n{count}\n{text}".encode(), hashlib.sha256).hexdigest()


def test_an_event_carries_its_message() -> None:
    message = MESSAGE.model_copy(update={"text": "/keypair a 给 x"})
    made = event(message)
    assert made == {
        "Type": "Deferred",
        "message": message.model_dump_json(),
        "at": NOON,
        "round": 0,
        "code": code(message.model_dump_json(), NOON),
    }
    assert codec().decode(made) == Job(message, NOON)


def test_no_message_makes_a_larger_event_than_scf_takes() -> None:
    for character in '\x01\\"密🔑':
        message = MESSAGE.model_copy(update={"text": character * TEXT_LIMIT})
        assert len(codec().start(message).encode()) < 128 * 1024


def test_a_rescheduled_job_keeps_its_start() -> None:
    later = codec(clock=TestClock(NOON + 100))
    handed_on = json.loads(later.encode(codec().decode(event())))
    assert handed_on == event()
    assert later.decode(handed_on).since == NOON


@pytest.mark.parametrize(("seconds", "count", "good"), [
    (0, 0, True),
    (JOB_TTL_SECONDS - MAX_INVOCATION_SECONDS, 0, True),
    (JOB_TTL_SECONDS - MAX_INVOCATION_SECONDS + 1, 0, False),
    (0, MAX_ROUNDS - 1, True), (0, MAX_ROUNDS, False),
])  # fmt: skip
def test_a_job_that_is_too_old_or_rescheduled_too_often_ends(
    seconds: float, count: int, good: bool  # noqa: FBT001  # a parameter of the test
) -> None:  # fmt: skip
    later = codec(clock=TestClock(NOON + seconds)).next_round(Job(MESSAGE, NOON, count))
    assert later == (Job(MESSAGE, NOON, count + 1) if good else None)


def test_the_code_is_not_that_of_another_use_of_the_master_secret() -> None:
    made = event()
    other = hmac.new(MASTER, f"{NOON}\n{made['message']}".encode(), hashlib.sha256).hexdigest()
    with pytest.raises(Unauthenticated):
        codec().decode({**made, "code": other})


def test_an_event_from_before_a_rotation_is_still_opened() -> None:
    made = event(MESSAGE, PREVIOUS_MASTER)
    assert codec(MASTER, PREVIOUS_MASTER).decode(made).message.text == "x"
    with pytest.raises(Unauthenticated):
        codec(MASTER).decode(made)


@pytest.mark.parametrize(
    ("seconds", "good"), [(-61, False), (-60, True), (JOB_TTL_SECONDS, True), (JOB_TTL_SECONDS + 1, False)]
)
def test_a_job_expires(seconds: float, good: bool) -> None:  # noqa: FBT001  # a parameter of the test
    made = event()
    later = codec(clock=TestClock(NOON + seconds))
    if good:
        assert later.decode(made).message.text == "x"
    else:
        with pytest.raises(Unauthenticated) as refused:
            later.decode(made)
        assert refused.value.reason == "deferred-time"


GOOD = event(MESSAGE.model_copy(update={"text": "/keypair web_1"}))
FORGED = {
    "no code": {name: value for name, value in GOOD.items() if name != "code"},
    "no time": {name: value for name, value in GOOD.items() if name != "at"},
    "no message": {name: value for name, value in GOOD.items() if name != "message"},
    "more": {**GOOD, "caller": "root"},
    "empty code": {**GOOD, "code": ""},
    "code in capitals": {**GOOD, "code": GOOD["code"].upper()},
    "code that is no ASCII": {**GOOD, "code": "ß" * 64},
    "code that is half a character": {**GOOD, "code": "\ud800"},
    "code that is a number": {**GOOD, "code": 0},
    "code under another secret": {**GOOD, "code": code(GOOD["message"], NOON, OTHER_MASTER)},
    "other user": {**GOOD, "message": GOOD["message"].replace("U1", "U2")},
    "other text": {**GOOD, "message": GOOD["message"].replace("web_1", "web_2")},
    "other place of the answer": {**GOOD, "message": GOOD["message"].replace("/commands", "/comands")},
    "message that is an object": {**GOOD, "message": json.loads(GOOD["message"])},
    "no round": {name: value for name, value in GOOD.items() if name != "round"},
    "another round": {**GOOD, "round": 1},
    "later": {**GOOD, "at": NOON + 1},
    "earlier": {**GOOD, "at": NOON - 1},
    "time as text": {**GOOD, "at": str(NOON)},
    "time that is no whole number": {**GOOD, "at": NOON + 0.5},
    "time moved into the message": {**GOOD, "at": 0, "message": f"{NOON}\n{GOOD['message']}"},
}


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path) -> FunctionUnderTest:
    return FunctionUnderTest(
        emulator,
        tmp_path / "policy.json",
        policy=chat_policy("slack", "T1", {"U1": "pinned", "U2": "pinned"}),
        settings={"KEYPAIR_SLACK_SIGNING_SECRET": "x" * 32, "KEYPAIR_SCF_ENDPOINT": "http://127.0.0.1:9"},
    )


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_event_is_refused(function: FunctionUnderTest, what: str) -> None:
    before = function.create_calls()
    answer = function.call(FORGED[what], CONTEXT)
    assert answer.status == 401
    (line,) = function.audit_lines()
    assert (line["door"], line["decision"], line["caller"]) == ("deferred", "refused", None)
    assert line["reason"] in {"deferred-form", "deferred-code"}
    assert function.create_calls() == before


@pytest.mark.parametrize("name", ["httpMethod", "path", "headers", "body", "requestContext"])
def test_no_event_that_came_over_http_is_one(function: FunctionUnderTest, name: str) -> None:
    """Not even with the right code: each of these names alone says that it came over HTTP."""
    answer = function.call({**GOOD, name: {}}, CONTEXT)
    assert answer.status == 400
    assert function.audit_lines() == []


def test_what_is_posted_as_an_event_stays_a_body(function: FunctionUnderTest) -> None:
    body = json.dumps(GOOD)
    for path in ("/", "/chat/slack", "/v1/key-pairs"):
        answer = function.call({"httpMethod": "POST", "path": path, "headers": {}, "body": body}, CONTEXT)
        assert answer.code in {"unauthenticated", "AuthFailure.SignatureFailure"}
    doors = [(line["door"], line["decision"]) for line in function.audit_lines()]
    assert doors == [("tencent-v3", "refused"), ("slack", "refused"), ("rest", "refused")]


@pytest.mark.slow
@settings(max_examples=examples(100), deadline=None, database=None, derandomize=True)
@given(
    st.dictionaries(
        st.sampled_from(["Type", "message", "at", "round", "code", "x"]),
        st.one_of(st.none(), st.text(), st.integers(), st.just("Deferred"), st.just(GOOD["code"])),
    )
)
def test_nothing_made_up_is_opened(made_up: dict[str, object]) -> None:
    with pytest.raises(Unauthenticated):
        codec().decode(made_up)
