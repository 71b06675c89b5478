"""Instances of one function, and requests that are repeated at them."""

from __future__ import annotations

import calendar
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.support.function_under_test import (
    POLICY,
    RECIPIENT,
    REST,
    Answer,
    FunctionUnderTest,
    TestClock,
    fresh_name,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from handler.cloud.cvm import Cvm
    from handler.composition import Services
    from handler.scf.invocation import Credentials, Deadline
    from tests.support.emulator_process import EmulatorProcess

Fault = dict[str, object]
LOST: Fault = {"kind": "cut", "after": "before", "times": 3}
"""Three creates are lost before they take effect."""
REFUSED: Fault = {"kind": "error", "code": "InvalidProjectId.NotFound"}


@dataclass
class Instances:
    """Instances of one function with a common clock. Each has its own store by default."""

    emulator: EmulatorProcess
    folder: Path
    clock: TestClock

    def instance(self, *, policy: Mapping[str, Any] = POLICY, store: str = "memory:") -> FunctionUnderTest:
        return FunctionUnderTest(
            self.emulator,
            self.folder / f"{fresh_name()}.json",
            policy=policy,
            settings={"KEYPAIR_STORE": store},
            clock=self.clock,
        )

    @property
    def shared_store(self) -> str:
        return f"sqlite:{self.folder}/store"

    def aged(self, seconds: float) -> None:
        """Move the clock so that the only key pair is `seconds` old."""
        (pair,) = self.emulator.key_pairs()
        created = calendar.timegm(time.strptime(pair["CreatedTime"], "%Y-%m-%dT%H:%M:%SZ"))
        self.clock.time = created + seconds


@dataclass(frozen=True)
class Request:
    """One request, which can be signed and sent repeatedly."""

    name: str
    idempotency_key: str | None = "deploy-1"
    caller: str = "demo"
    recipients: tuple[str, ...] | None = (str(RECIPIENT.to_public()),)

    def to(self, function: FunctionUnderTest) -> Answer:
        body = function.rest_body(keyName=self.name, recipients=self.recipients)
        key = self.idempotency_key
        also = {} if key is None else {"idempotency-key": f'"{key}"'}
        return function.call(function.signed(REST, body, self.caller, also_signed=also))


def refused(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


def issued(answer: Answer) -> str:
    assert answer.status == 201, answer.body
    key_id: str = answer.json["keyId"]
    return key_id


def last_line(function: FunctionUnderTest) -> tuple[str, str | None]:
    line = function.audit_lines()[-1]
    return line["decision"], line["reason"]


def orphan(instances: Instances, request: Request, function: FunctionUnderTest | None = None) -> str:
    """Make a key pair whose response is lost and that the instance cannot look up."""
    instances.emulator.add_faults({"kind": "cut"}, {"action": "DescribeKeyPairs", "kind": "cut", "times": 99})
    assert refused(request.to(function or instances.instance())) == (504, "outcome-unknown")
    instances.emulator.control("DELETE", "/faults")
    (pair,) = instances.emulator.key_pairs()
    assert pair["Description"] == ""
    return str(pair["KeyId"])


def connected(instances: Instances, function: FunctionUnderTest, kind: type[Cvm]) -> Services:
    """Return the services of the function with another CVM client."""

    def connect(credentials: Credentials, region: str, deadline: Deadline) -> Cvm:
        return kind(credentials, region, deadline, jitter=float, endpoint=instances.emulator.cvm_endpoint)

    sound = function.services
    return replace(sound, connect=connect)
