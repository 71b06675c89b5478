"""The audit log: its schema as the document has it, one line whatever is in it, and nothing without it."""

from __future__ import annotations

import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler.audit import AuditTrail, Decision
from handler.chat.platforms.registry import PLATFORMS
from handler.errors import AuditUnavailable
from tests.support.function_under_test import REST, V3, FunctionUnderTest, TestClock
from tests.support.random_cases import examples

DOCUMENT = Path(__file__).parents[1] / "docs" / "audit.md"


def documented(heading: str) -> list[str]:
    """Return the names in the first column of the table in the document that begins with `heading`."""
    _, _, after = DOCUMENT.read_text(encoding="utf-8").partition(f"| {heading} | meaning |\n")
    rows = [line for line in after.partition("\n\n")[0].splitlines() if not line.startswith("|---")]
    return [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def trail(stream: io.StringIO, **given: Any) -> AuditTrail:  # noqa: ANN401  # handed through
    clock = TestClock().clock()
    known = {
        "request_id": "r-1",
        "endpoint": "rest",
        "remote_address": "203.0.113.7",
        "started": clock.monotonic(),
    }
    return AuditTrail(stream=stream, clock=clock, **{**known, **given})


def test_the_schema_is_the_documented_one(function: FunctionUnderTest) -> None:
    """Every field in every line, in the document's order."""
    good = function.signed(REST)
    for event in (
        good,
        good,
        function.signed(V3),
        function.signed(REST, caller="nobody"),
        function.signed(V3, "[]"),
        {"Type": "Timer"},
    ):
        function.call(event)
    function.environ = {}
    function.call(function.signed(REST))
    lines = function.audit_lines()
    assert [line["decision"] for line in lines] == (
        [
            "intent",
            "issued",
            "replayed",
            "intent",
            "issued",
            "refused",
            "refused",
            "intent",
            "swept",
            "failed",
        ]
    )
    assert {tuple(line) for line in lines} == {tuple(documented("field"))}
    assert {line["audit"] for line in lines} == {"keypair-function/1"}
    doors = re.search(r"\| `door` \| (.*) \|", DOCUMENT.read_text(encoding="utf-8"))
    assert doors is not None
    routes = [one for there in function.services.application().routes.values() for one in there]
    named = {route.audit_name for route in routes if route.audit_name}
    named |= {"form", *PLATFORMS, "sweeper"}
    assert {line["door"] for line in lines} <= named == set(re.findall(r"`([^`]+)`", doors[1]))


def test_the_decisions_are_the_documented_ones() -> None:
    assert documented("decision") == [decision.value for decision in Decision]


def policy_digest(function: FunctionUnderTest) -> str:
    return hashlib.sha256(function.policy_file.read_bytes()).hexdigest()[:16]


def test_an_issued_key_pair(function: FunctionUnderTest) -> None:
    body = function.rest_body(projectId=1234)
    event = function.signed(REST, body)
    answer = function.call(event, {"request_id": "r-1"})
    (key_pair,) = function.emulator.key_pairs()
    intent, issued = function.audit_lines()
    assert issued.pop("upstreamRequestId")
    assert issued.pop("policyDigest") == intent.pop("policyDigest") == policy_digest(function)
    assert issued == {
        "audit": "keypair-function/1",
        "time": "2026-11-24T12:00:00.000+00:00",
        "requestId": "r-1",
        "door": "rest",
        "decision": "issued",
        "reason": None,
        "caller": "demo",
        "keyName": body["keyName"],
        "region": "ap-guangzhou",
        "projectId": 1234,
        "recipients": answer.json["sealedPrivateKey"]["recipients"],
        "keyId": key_pair["KeyId"],
        "fingerprint": answer.json["fingerprint"],
        "remoteAddress": "203.0.113.7",
        "durationMs": 0,
        "checks": None,
        "owner": None,
        "upstreamCode": None,
        "upstreamMessage": None,
    }
    unknown = {"keyId": None, "fingerprint": None, "upstreamRequestId": None}
    assert intent == {**issued, **unknown, "decision": "intent"}


def test_before_a_proof_nobody_is_named(function: FunctionUnderTest) -> None:
    function.call(function.signed(REST, caller="nobody"), {"request_id": "r-1"})
    (line,) = function.audit_lines()
    told = {name: content for name, content in line.items() if content is not None}
    assert told == {
        "audit": "keypair-function/1",
        "time": "2026-11-24T12:00:00.000+00:00",
        "requestId": "r-1",
        "door": "rest",
        "decision": "refused",
        "reason": "tc3-caller",
        "remoteAddress": "203.0.113.7",
        "durationMs": 0,
        "policyDigest": policy_digest(function),
    }


def test_what_reaches_no_door_leaves_no_line(function: FunctionUnderTest) -> None:
    for event, status in (
        (None, 400),
        ({"httpMethod": "POST", "path": "/v1/other"}, 404),
        ({"httpMethod": "PUT", "path": REST}, 405),
        ({"httpMethod": "POST", "path": "/healthz"}, 405),
        ({"httpMethod": "GET", "path": "/healthz"}, 200),
    ):
        assert function.call(event).status == status
    assert function.audit.getvalue() == ""


# ---------------------------------------------------------------- one line of ASCII, whatever is in it

BREAKS = ["\u2028", "\u2029", "\x85", '"}{"audit":"keypair-function/1"', "\\n", "é" * 64, "\u202e", "\x9b31m"]
CONTROLS = ["\n", "\r", "\x00", "\x0b", "\x1b[2J", "\x7f", "\ud800"]


@pytest.mark.parametrize("remote_address", BREAKS)
def test_a_forged_address_stays_in_its_field(remote_address: str, function: FunctionUnderTest) -> None:
    function.call(function.signed(REST, caller="nobody", x_scf_remote_addr=remote_address))
    text = function.audit.getvalue()
    assert text.isascii()
    assert len(text.splitlines()) == 1
    assert json.loads(text)["remoteAddress"] == remote_address


@pytest.mark.parametrize("injected", BREAKS + CONTROLS)
@pytest.mark.parametrize("path", [REST, V3])
def test_what_a_verified_caller_chooses_stays_in_its_line(
    path: str, injected: str, function: FunctionUnderTest
) -> None:
    names = {"keyName": injected} if path == REST else {"KeyName": injected}
    body = function.rest_body(**names) if path == REST else function.v3_body(**names)
    function.call(function.signed(path, body, user_agent=injected))
    text = function.audit.getvalue()
    for line in text.splitlines():
        assert list(json.loads(line)) == documented("field")
    assert text.isascii()
    assert text.count("\n") == len(text.splitlines()) <= 1


anything = st.text(st.characters(exclude_categories=[]))


@settings(max_examples=examples(100), deadline=None, database=None, derandomize=True)
@given(request_id=anything, address=anything, reason=st.none() | anything, name=anything, caller=anything)
def test_any_text_is_one_line(
    request_id: str, address: str, reason: str | None, name: str, caller: str
) -> None:
    """Even where another part of the function let a text through that it should not have."""
    stream = io.StringIO(newline="")
    written = trail(stream, request_id=request_id, remote_address=address)
    written.note(key_name=name, caller=caller)
    written.note(recipients=(caller, name))
    written.write(Decision.REFUSED, reason)
    text = stream.getvalue()
    assert text.isascii()
    assert text.isprintable() is False  # the one line feed
    assert text[:-1].isprintable()
    assert text[-1] == "\n"
    line = json.loads(text)
    assert (line["requestId"], line["remoteAddress"], line["reason"]) == (request_id, address, reason)
    assert (line["keyName"], line["caller"], line["recipients"]) == (name, caller, [caller, name])


def test_a_fact_that_is_not_in_the_schema_is_not_written() -> None:
    stream = io.StringIO()
    written = trail(stream)
    written.note(private_key="secret")  # type: ignore[call-arg]  # which is how mypy refuses it
    written.write(Decision.ISSUED)
    assert "secret" not in stream.getvalue()


def test_the_duration_is_since_the_request_came_in() -> None:
    stream, time = io.StringIO(), TestClock()
    written = AuditTrail(stream, time.clock(), "r-1", "rest", "", time.time)
    time.sleep(1.2346)
    written.write(Decision.ISSUED)
    line = json.loads(stream.getvalue())
    assert (line["durationMs"], line["time"]) == (1235, "2026-11-24T12:00:01.234+00:00")


# ---------------------------------------------------------------- nothing without it


class Closing(io.StringIO):
    """A log that is closed once it has taken so many lines."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._left = lines
        self.taken: list[str] = []
        if not lines:
            self.close()

    def write(self, text: str) -> int:
        length = super().write(text)
        self.taken.append(text)
        return length

    def flush(self) -> None:
        super().flush()
        self._left -= 1
        if not self._left:
            self.close()


def test_a_closed_stream_is_an_error_of_its_own() -> None:
    closed = io.StringIO()
    closed.close()
    with pytest.raises(AuditUnavailable) as raised:
        trail(closed).write(Decision.ISSUED)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(("path", "status"), [(REST, 503), (V3, 200)])
@pytest.mark.parametrize(("lines", "creates"), [(0, 0), (1, 1)])
def test_no_key_pair_is_left_without_its_line(
    path: str, status: int, lines: int, creates: int, function: FunctionUnderTest
) -> None:
    """The log closes before the intent or before the release: 503, and the account is as it was."""
    before = function.create_calls()
    silent = FunctionUnderTest(function.emulator, function.policy_file, audit=Closing(lines))
    answer = silent.call(silent.signed(path))
    assert answer.status == status
    assert answer.code in {"audit-unavailable", "InternalError.AuditUnavailable"}
    assert answer.headers["Retry-After"] == "5"
    assert "AGE ENCRYPTED" not in answer.body
    assert function.create_calls() == before + creates
    assert function.emulator.key_pairs() == []
    assert isinstance(silent.audit, Closing)
    assert [json.loads(text)["decision"] for text in silent.audit.taken] == ["intent"][:lines]


def test_a_stored_answer_is_not_released_without_its_line(function: FunctionUnderTest) -> None:
    """Its key pair stays: it was given to its caller before."""
    silent = FunctionUnderTest(function.emulator, function.policy_file, audit=Closing(2))
    event = silent.signed(REST)
    assert silent.call(event).status == 201
    assert (silent.call(event).status, silent.call(event).json["code"]) == (503, "audit-unavailable")
    assert len(function.emulator.key_pairs()) == 1
