"""Faults on demand: what can go wrong between a caller and the API, one call at a time."""

import threading
from collections import deque
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from .answer import Answer, error_answer

Seconds = Annotated[float, Field(ge=0, le=600)]


class _Fault(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    action: Literal[
        "CreateKeyPair", "DescribeKeyPairs", "DeleteKeyPairs", "ImportKeyPair", "ModifyKeyPairAttribute"
    ]
    times: int = Field(default=1, ge=1)
    """How many calls of the action it affects."""
    after: Literal["before", "effect"] = "effect"
    """Whether the action takes effect before the fault."""

    def spoiled(self, answer: Answer) -> Answer:
        """Return the reply that replaces the answer."""
        return self._spoil(answer)

    def _spoil(self, answer: Answer) -> Answer:
        return answer


class Delay(_Fault):
    """A pause, before the action or between it and its answer."""

    kind: Literal["delay"]
    seconds: Seconds


class Cut(_Fault):
    """The connection closes without an answer."""

    kind: Literal["cut"]

    def _spoil(self, answer: Answer) -> Answer:
        return replace(answer, cut=True)


class HttpStatus(_Fault):
    """A gateway's page instead of the answer."""

    kind: Literal["http-status"]
    status: int = Field(ge=201, le=599)

    def _spoil(self, answer: Answer) -> Answer:
        page = b"<html><body>An error page on demand</body></html>"
        return replace(answer, body=page, status=self.status, content_type="text/html")


class Throttle(_Fault):
    """RequestLimitExceeded, which means that nothing was done."""

    kind: Literal["throttle"]
    after: Literal["before"] = "before"

    def _spoil(self, answer: Answer) -> Answer:
        return error_answer("RequestLimitExceeded", "Throttled on demand.", answer.request_id)


class ErrorCode(_Fault):
    """Any error code of the API."""

    kind: Literal["error"]
    code: str
    message: str = "An error on demand."
    after: Literal["before", "effect"] = "before"

    def _spoil(self, answer: Answer) -> Answer:
        return error_answer(self.code, self.message, answer.request_id)


class Redirect(_Fault):
    """307, which makes clients post the same body elsewhere."""

    kind: Literal["redirect"]
    location: str
    after: Literal["before", "effect"] = "before"

    def _spoil(self, answer: Answer) -> Answer:
        return replace(answer, body=b"", status=307, content_type="text/plain", location=self.location)


class ContentType(_Fault):
    """A Content-Type with which the official SDK does not recognise errors."""

    kind: Literal["content-type"]
    value: str = "application/json; charset=utf-8"
    after: Literal["effect"] = "effect"

    def _spoil(self, answer: Answer) -> Answer:
        return replace(answer, content_type=self.value)


class Truncate(_Fault):
    """Half of the body, with its true Content-Length or that of the whole."""

    kind: Literal["truncate"]
    honest: bool = True
    after: Literal["effect"] = "effect"

    def _spoil(self, answer: Answer) -> Answer:
        half = len(answer.body) // 2
        if self.honest:
            return replace(answer, body=answer.body[:half])
        return replace(answer, sent_bytes=half)


class Undecodable(_Fault):
    """A body that is not JSON."""

    kind: Literal["undecodable"]
    after: Literal["effect"] = "effect"

    def _spoil(self, answer: Answer) -> Answer:
        return replace(answer, body=b"\xff\xfe this is no JSON")


class Dribble(_Fault):
    """The body, one byte at a time."""

    kind: Literal["dribble"]
    milliseconds: float = Field(ge=0, le=60_000)
    after: Literal["effect"] = "effect"

    def _spoil(self, answer: Answer) -> Answer:
        return replace(answer, byte_seconds=self.milliseconds / 1000)


class _CreateFault(_Fault):
    """A wrong answer to an otherwise successful CreateKeyPair."""

    action: Literal["CreateKeyPair"]
    after: Literal["effect"] = "effect"


class Mismatch(_CreateFault):
    """The private half belongs to another key."""

    kind: Literal["mismatch"]


class Weak(_CreateFault):
    """RSA-1024."""

    kind: Literal["weak"]


class NoFinalNewline(_CreateFault):
    """The PEM block ends without a newline, as in recent examples from the field."""

    kind: Literal["no-final-newline"]


class SkeyComment(_CreateFault):
    """The comment of the public key looks as in the published example instead of being the key's ID."""

    kind: Literal["skey-comment"]


class OtherName(_CreateFault):
    """The answer names a key pair with another name."""

    kind: Literal["other-name"]
    name: str = "another_name"


class NoKeyPair(_CreateFault):
    """The answer has only its RequestId."""

    kind: Literal["no-keypair"]


class ExtraText(_CreateFault):
    """Text before and after the PEM block."""

    kind: Literal["extra-text"]


Fault = Annotated[
    Delay
    | Cut
    | HttpStatus
    | Throttle
    | ErrorCode
    | Redirect
    | ContentType
    | Truncate
    | Undecodable
    | Dribble
    | Mismatch
    | Weak
    | NoFinalNewline
    | SkeyComment
    | OtherName
    | NoKeyPair
    | ExtraText,
    Field(discriminator="kind"),
]


class FaultQueue:
    """Faults waiting for calls. Each action takes its own, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Fault] = deque()

    def add(self, faults: list[Fault]) -> None:
        """Append faults."""
        with self._lock:
            self._waiting.extend(faults)

    def take(self, action: str) -> Fault | None:
        """Take the fault for this call of the action, if any."""
        with self._lock:
            for position, fault in enumerate(self._waiting):
                if fault.action == action:
                    if fault.times > 1:
                        self._waiting[position] = fault.model_copy(update={"times": fault.times - 1})
                    else:
                        del self._waiting[position]
                    return fault
            return None

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._waiting.clear()

    def remaining(self) -> list[dict[str, object]]:
        """Return the waiting faults, as they were posted."""
        with self._lock:
            return [fault.model_dump(by_alias=True) for fault in self._waiting]
