"""Work that a webhook has no time for: an event that the function sends to itself.

SECURITY BOUNDARY: such an event asks for a key pair in somebody's name, and no platform's signature is on it
any more. It cannot come over HTTP (`handler.scf.events`), and the code in it keeps out those who may invoke
the function by other ways but do not know its master secret.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from handler.auth.master_secret import MasterSecrets, Purpose
from handler.auth.time_window import TimeWindow
from handler.chat.platforms.base import Message
from handler.errors import Unauthenticated
from handler.scf.events import DEFERRED
from handler.scf.invocation import MAX_INVOCATION_SECONDS

if TYPE_CHECKING:
    from handler.scf.invocation import Clock

ROUNDS = 100
"""How often what is left to do is handed on; within LIFE unless the function has little time for each."""
LIFE = 1800.0
"""Seconds for which an answer is tried to be given: Slack takes none later, and others that long at least."""
_WINDOW = TimeWindow(past=LIFE, future=60)
"""The clock of another instance may be a minute ahead."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    Type: str
    message: str
    at: int
    round: int
    code: str


@dataclass(frozen=True)
class Job:
    """What is left to do: a message, and when the function took it on, in seconds since 1970."""

    message: Message
    since: int
    round: int = 0
    """How often it was handed on since."""


@dataclass(frozen=True)
class JobCodec:
    """Makes deferred events and opens its own."""

    master_secrets: MasterSecrets
    clock: Clock

    def begin(self, message: Message) -> str:
        """Return an event that carries `message`, as JSON."""
        return self.event(Job(message, int(self.clock.now())))

    def event(self, deferred: Job) -> str:
        """Return the event of `deferred`, as JSON."""
        text, at, count = deferred.message.model_dump_json(), deferred.since, deferred.round
        code = self.master_secrets.sign(Purpose.JOB, _signed_text(text, at, count))
        event = {"Type": DEFERRED, "message": text, "at": at, "round": count, "code": code}
        return json.dumps(event, ensure_ascii=False)

    def open(self, event: object) -> Job:
        """Return what is in an event that this function made; raise Unauthenticated."""
        try:
            read = _Event.model_validate(event)
        except ValidationError:
            raise Unauthenticated("deferred-form") from None
        signed = _signed_text(read.message, read.at, read.round)
        if not self.master_secrets.matches(Purpose.JOB, signed, read.code):
            raise Unauthenticated("deferred-code")
        # SCF keeps an event for hours if need be, and whoever has seen one could send it again.
        if not _WINDOW.contains(read.at, self.clock.now()):
            raise Unauthenticated("deferred-time")
        return Job(Message.model_validate_json(read.message), read.at, read.round)

    def next(self, deferred: Job) -> Job | None:
        """Return what to hand on; None where it would be too old, or was handed on often enough."""
        if self.clock.now() + MAX_INVOCATION_SECONDS - deferred.since > LIFE or deferred.round >= ROUNDS:
            return None
        return replace(deferred, round=deferred.round + 1)


def _signed_text(text: str, at: int, count: int) -> str:
    return f"{at}\n{count}\n{text}"
