"""The function invokes itself through the real SDK. A local Invoke checks the call as SCF does."""

from __future__ import annotations

import json
import logging
import queue
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from handler.cloud.scf import CALL_MINIMUM, Scf
from handler.errors import (
    CloudRefused,
    CloudUnreachable,
    KeyPairFunctionError,
    OutcomeUnknown,
    OutOfTime,
    SettingsInvalid,
)
from handler.scf.invocation import Invocation
from scripts.cvm_emulator.signature import Credential
from scripts.function_url.instance import Returned
from scripts.function_url.invocations import Invocations
from tests.support.chat_function import CONTEXT
from tests.support.function_under_test import TestClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CREDENTIALS = {"TENCENTCLOUD_SECRETID": "AKIDEXAMPLE", "TENCENTCLOUD_SECRETKEY": "a secret key"}
TOKEN = {"TENCENTCLOUD_SESSIONTOKEN": "a token"}


class Recorder:
    """A function that records its events."""

    def __init__(self) -> None:
        self.events: queue.Queue[Mapping[str, object]] = queue.Queue()

    def call(self, event: Mapping[str, object]) -> Returned:
        self.events.put(event)
        return Returned(None)


@pytest.fixture
def recorder() -> Iterator[tuple[Recorder, str]]:
    recorder, invocations = Recorder(), Invocations(Credential("AKIDEXAMPLE", "a secret key", "a token"))
    with invocations.serving(recorder):
        yield recorder, invocations.url


def invocation(
    credentials: Mapping[str, str] | None = None,
    clock: TestClock | None = None,
    **context: Any,  # noqa: ANN401  # handed through
) -> Invocation:
    given = {**CREDENTIALS, **TOKEN} if credentials is None else credentials
    return Invocation.begin({**CONTEXT, **context}, given, (clock or TestClock()).clock())


def refused(url: str, asked: Invocation, event: str = "{}") -> KeyPairFunctionError:
    with pytest.raises(KeyPairFunctionError) as raised:
        Scf("ap-guangzhou", url).invoke_again(event, asked)
    return raised.value


def test_the_event_runs_later(recorder: tuple[Recorder, str]) -> None:
    function, url = recorder
    Scf("ap-guangzhou", url).invoke_again(json.dumps({"Type": "Deferred", "密钥": 1}), invocation())
    assert function.events.get(timeout=20) == {"Type": "Deferred", "密钥": 1}


def test_the_configured_region_is_the_default(recorder: tuple[Recorder, str]) -> None:
    function, url = recorder
    Scf("ap-guangzhou", url).invoke_again("{}", invocation(tencentcloud_region=None))
    assert function.events.get(timeout=20) == {}


@pytest.mark.parametrize(
    ("given", "context", "event", "reason"),
    [
        ({**CREDENTIALS, "TENCENTCLOUD_SECRETKEY": "another"}, {}, "{}", "invoke-AuthFailure"),
        (CREDENTIALS, {}, "{}", "invoke-AuthFailure"),
        (None, {"function_name": "another"}, "{}", "invoke-ResourceNotFound"),
        (None, {"namespace": "another"}, "{}", "invoke-ResourceNotFound"),
        (None, {}, json.dumps("x" * 128 * 1024), "invoke-RequestTooLarge"),
    ],
)
def test_refusals_by_scf(
    recorder: tuple[Recorder, str],
    given: Mapping[str, str] | None,
    context: dict[str, Any],
    event: str,
    reason: str,
) -> None:
    function, url = recorder
    error = refused(url, invocation(given, **context), event)
    assert isinstance(error, CloudRefused)
    assert error.reason == reason
    assert error.upstream is not None
    assert error.upstream.request_id
    assert function.events.empty()


def test_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = refused(f"http://127.0.0.1:{unused.getsockname()[1]}", invocation())
    assert isinstance(error, CloudUnreachable)
    assert error.reason == "invoke-ClientNetworkError"


def test_no_call_is_begun_without_time(recorder: tuple[Recorder, str]) -> None:
    function, url = recorder
    clock = TestClock()
    asked = invocation(clock=clock)
    clock.time = asked.deadline.ends_at - CALL_MINIMUM + 0.01
    assert isinstance(refused(url, asked), OutOfTime)
    assert function.events.empty()


def test_credentials_are_those_of_the_invocation(recorder: tuple[Recorder, str]) -> None:
    with pytest.raises(SettingsInvalid):
        Scf("ap-guangzhou", recorder[1]).invoke_again("{}", invocation({}))


def test_the_event_is_not_logged(recorder: tuple[Recorder, str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Scf("ap-guangzhou", recorder[1]).invoke_again('{"a": "b"}', invocation())
    assert caplog.text == ""


def test_the_default_endpoint_is_that_of_the_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves this machine: a proxy records where the SDK wants to connect."""
    with socket.create_server(("127.0.0.1", 0)) as proxy, ThreadPoolExecutor() as pool:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        seen = pool.submit(_first_line, proxy)
        with pytest.raises(OutcomeUnknown) as unknown:
            Scf("ap-guangzhou").invoke_again("{}", invocation())
        assert unknown.value.reason == "invoke-unknown"
        # HTTP/1.0 up to Python 3.11, HTTP/1.1 from 3.12 on
        assert seen.result(20).rpartition(b" ")[0] == b"CONNECT scf.tencentcloudapi.com:443"


def _first_line(proxy: socket.socket) -> bytes:
    proxy.settimeout(20)
    connection, _ = proxy.accept()
    with connection:
        return connection.recv(4096).partition(b"\r\n")[0]
