"""The local Function URL runs the events that the function sends to itself, as SCF does."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
import requests
from slack_sdk.signature import SignatureVerifier

from handler.cloud.scf import Scf
from handler.errors import CloudRefused
from handler.scf.invocation import Clock, Invocation
from scripts.cvm_emulator.signature import Credential
from scripts.function_url.instance import Returned
from scripts.function_url.invocations import Invocations
from tests.support.chat_function import CONTEXT, chat_policy
from tests.support.function_process import FunctionProcess, running_function
from tests.support.slack_stand_in import SECRET, TEAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess


@pytest.fixture(params=["memory:", "sqlite:"])
def served(
    request: pytest.FixtureRequest, emulator: EmulatorProcess, tmp_path: Path
) -> Iterator[FunctionProcess]:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(chat_policy("slack", TEAM, {"U1": "pinned"})))
    environment = {
        "KEYPAIR_REGION": "ap-guangzhou",
        "KEYPAIR_HOSTS": "keys.example.com",
        "KEYPAIR_MASTER_SECRET": "A" * 43,
        "KEYPAIR_CVM_ENDPOINT": emulator.cvm_endpoint,
        "KEYPAIR_SLACK_SIGNING_SECRET": SECRET,
        "KEYPAIR_STORE": request.param if request.param == "memory:" else f"sqlite:{tmp_path}/store",
        "TENCENTCLOUD_SECRETID": emulator.secret_id,
        "TENCENTCLOUD_SECRETKEY": emulator.secret_key,
    }
    with running_function(policy=policy, environment=environment) as process:
        yield process


def invoke(
    served: FunctionProcess, emulator: EmulatorProcess, event: dict[str, str], key: str | None = None
) -> None:
    environ = {
        "TENCENTCLOUD_SECRETID": emulator.secret_id,
        "TENCENTCLOUD_SECRETKEY": key or emulator.secret_key,
    }
    invocation = Invocation.begin(CONTEXT, environ, Clock())
    Scf("ap-guangzhou", served.info["scfEndpoint"]).invoke_again(json.dumps(event), invocation)


def until(happened: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < ends_at
        time.sleep(0.02)  # another process's log can only be looked at again


def test_an_event_runs_after_its_invoke_was_answered(
    served: FunctionProcess, emulator: EmulatorProcess
) -> None:
    invoke(served, emulator, {"Type": "Timer"})
    until(
        lambda: (
            [line["decision"] for line in served.audit_lines() if line.get("door") == "sweeper"][-1:]
            == ["swept"]
        )
    )
    invoke(served, emulator, {"Type": "Deferred", "message": "{}"})
    until(lambda: any(line.get("reason") == "deferred-form" for line in served.audit_lines()))


def test_who_cannot_sign_for_the_account_invokes_nothing(
    served: FunctionProcess, emulator: EmulatorProcess
) -> None:
    with pytest.raises(CloudRefused) as refused:
        invoke(served, emulator, {"Type": "Timer"}, key="another key")
    assert refused.value.reason == "invoke-AuthFailure"


class FailingAtFirst:
    """A function that cannot be run on its first event."""

    def __init__(self) -> None:
        self.events: list[Mapping[str, object]] = []

    def call(self, event: Mapping[str, object]) -> Returned:
        self.events.append(event)
        if len(self.events) == 1:
            raise ZeroDivisionError("at first")
        return Returned({})


def test_an_event_that_fails_holds_up_neither_the_next_one_nor_who_waits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    function = FailingAtFirst()
    invocations = Invocations(Credential("id", "key"))
    environ = {"TENCENTCLOUD_SECRETID": "id", "TENCENTCLOUD_SECRETKEY": "key"}
    events = [{"Type": "Timer", "Message": "1"}, {"Type": "Timer", "Message": "2"}]
    with invocations.serving(function):
        for event in events:
            invocation = Invocation.begin(CONTEXT, environ, Clock())
            Scf("ap-guangzhou", invocations.url).invoke_again(json.dumps(event), invocation)
        waiting = threading.Thread(target=invocations.settle, daemon=True)
        waiting.start()
        waiting.join(10)
        assert not waiting.is_alive()
    assert function.events == events
    assert "ZeroDivisionError: at first" in capsys.readouterr().err


def test_a_command_over_http(served: FunctionProcess) -> None:
    """Help only: nothing here may post to the true Slack."""
    body = urlencode(
        {
            "team_id": TEAM,
            "user_id": "U1",
            "trigger_id": "1.2.a",
            "text": "help",
            "response_url": "https://hooks.slack.com/commands/T1/1/x",
        }
    )
    timestamp = str(int(time.time()))
    signature = SignatureVerifier(SECRET).generate_signature(timestamp=timestamp, body=body)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": str(signature),
    }
    url = served.url + "/chat/slack"
    answer = requests.post(url, data=body, headers=headers, timeout=20)
    assert answer.status_code == 200
    assert answer.json()["text"].startswith("I create SSH key pairs")
    assert requests.post(url, data=body + "&x=1", headers=headers, timeout=20).status_code == 401
