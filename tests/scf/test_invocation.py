"""One invocation: what it reads from its context, its deadline and its credentials."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler.scf.invocation import (
    DEFAULT_TIME_LIMIT,
    MAX_INVOCATION_SECONDS,
    Credentials,
    Deadline,
    Function,
    Invocation,
)
from tests.support.emulator_process import running_emulator
from tests.support.function_under_test import REST, V3, FunctionUnderTest, TestClock
from tests.support.random_cases import examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

text = st.text(st.characters(exclude_categories=[]), max_size=70)
scalar = st.none() | st.booleans() | st.integers() | st.floats() | text
value = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3)
)
contexts = value | st.fixed_dictionaries(
    {}, optional={"request_id": value, "time_limit_in_ms": st.integers() | value}
)


@settings(max_examples=examples(100), deadline=None, database=None, derandomize=True)
@given(context=contexts)
@pytest.mark.slow
def test_any_context_makes_an_invocation(context: object) -> None:
    invocation = Invocation.begin(context, {}, TestClock().clock())
    assert re.fullmatch(r"[A-Za-z0-9-]{1,64}", invocation.request_id)
    assert 0 < invocation.deadline.remaining() <= MAX_INVOCATION_SECONDS


class Context(dict[str, object]):
    """SCF's context, of which every other field is none of the function's business (583/9210)."""

    def get(self, key: str, default: object = None) -> object:
        assert key in {
            "request_id", "time_limit_in_ms",
            "function_name", "namespace", "function_version", "tencentcloud_region",
        }  # fmt: skip
        return super().get(key, default)

    def __getitem__(self, key: str) -> object:
        raise AssertionError(key)


def test_nothing_else_in_the_context_is_touched() -> None:
    context = Context(request_id="id-1", time_limit_in_ms=3000, environ="a secret", environment="a secret")
    invocation = Invocation.begin(context, {}, TestClock().clock())
    assert (invocation.request_id, invocation.deadline.remaining()) == ("id-1", 3.0)
    assert "a secret" not in repr(invocation)


def test_the_function_is_known_by_what_the_context_says() -> None:
    context = {
        "function_name": "keypair-function-prod",
        "namespace": "default",
        "function_version": "$LATEST",
        "tencentcloud_region": "ap-guangzhou",
    }
    clock = TestClock().clock()
    known = Function("keypair-function-prod", "default", "$LATEST", "ap-guangzhou")
    assert Invocation.begin(context, {}, clock).function == known
    nonsense = {"function_name": "a/b", "namespace": 7, "function_version": "x" * 65}
    assert Invocation.begin(nonsense, {}, clock).function == Function("", "", "", "")


def test_remaining_time_becomes_negative() -> None:
    time_ = TestClock()
    deadline = Deadline(time_.clock(), time_.time + 2)
    remaining = []
    for _ in range(3):
        remaining.append(deadline.remaining())
        time_.sleep(1.5)
    assert remaining == [2.0, 0.5, -1.0]


def test_the_environment_is_not_shown() -> None:
    environ = {"TENCENTCLOUD_SECRETID": "the-id", "TENCENTCLOUD_SECRETKEY": "the-secret-key"}
    invocation = Invocation.begin(None, environ, TestClock().clock())
    assert invocation.credentials() == Credentials("the-id", "the-secret-key")
    assert "the-" not in repr(invocation)
    assert DEFAULT_TIME_LIMIT <= MAX_INVOCATION_SECONDS


@pytest.mark.parametrize(("path", "code"), [(REST, "out-of-time"), (V3, "InternalError.OutOfTime")])
def test_with_too_little_time_no_key_pair_is_made(path: str, code: str, function: FunctionUnderTest) -> None:
    before = function.create_calls()
    event = function.signed(path)
    answer = function.call(event, {"time_limit_in_ms": 1000})
    assert (answer.code, answer.headers["Retry-After"]) == (code, "1")
    assert function.create_calls() == before
    # The same request, given time.
    assert function.call(event, {"time_limit_in_ms": 15000}).code is None
    assert function.create_calls() == before + 1


@pytest.fixture(scope="module")
def function_with_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionUnderTest]:
    """Give a function whose cloud asks for a role's temporary credentials."""
    folder: Path = tmp_path_factory.mktemp("token")
    with running_emulator(token="token-of-the-role") as emulator:
        yield FunctionUnderTest(emulator, folder / "policy.json")


@pytest.mark.parametrize(
    "name", ["TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY", "TENCENTCLOUD_SESSIONTOKEN"]
)
@pytest.mark.process
def test_each_renewed_credential_counts_at_once(name: str, function_with_token: FunctionUnderTest) -> None:
    """SCF renews all three between invocations; the cloud would refuse an old one."""
    function = function_with_token
    good = {**function.environ, "TENCENTCLOUD_SESSIONTOKEN": "token-of-the-role"}
    statuses = []
    for environ in (good, {**good, name: "expired"}, good, {**good, name: "expired"}):
        function.environ = environ
        answer = function.call(function.signed(REST))
        statuses.append((answer.status, answer.code))
    function.environ = good
    assert statuses == [(201, None), (502, "cloud-refused")] * 2
