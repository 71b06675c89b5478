"""Jobs: events that the function sends to itself, for work that takes longer than a webhook may.

SECURITY BOUNDARY: a job acts on key pairs in a caller's name, and no longer carries the platform's
signature. It cannot come over HTTP (`handler.scf.events`). Its code, an HMAC under the master secret, stops
anybody else who may invoke the function directly.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from handler.auth.master_secret import MasterSecrets, Purpose
from handler.auth.time_window import TimeWindow
from handler.chat.platforms.base import Message
from handler.errors import Unauthenticated
from handler.scf.events import DEFERRED
from handler.scf.invocation import MAX_INVOCATION_SECONDS
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.scf.invocation import Clock

MAX_ROUNDS = 100
"""How often a job is rescheduled. JOB_TTL_SECONDS ends it sooner unless the time limit is very short."""
JOB_TTL_SECONDS = 1800.0
"""How long delivery is tried. Slack takes no reply after that; the other platforms do."""
_WINDOW = TimeWindow(past=JOB_TTL_SECONDS, future=60)
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
    """A message to process, and when it was received, in seconds since 1970."""

    message: Message
    since: int
    round: int = 0
    """How often the job was rescheduled."""


@dataclass(frozen=True)
class JobCodec:
    """Turns jobs into events and back."""

    master_secrets: MasterSecrets
    clock: Clock

    def start(self, message: Message) -> str:
        """Return the event of a new job for `message`, as JSON."""
        return self.encode(Job(message, int(self.clock.now())))

    def encode(self, job: Job) -> str:
        """Return the event of `job`, as JSON."""
        text, at, count = job.message.model_dump_json(), job.since, job.round
        code = self.master_secrets.sign(Purpose.JOB, _signed_text(text, at, count))
        event = {"Type": DEFERRED, "message": text, "at": at, "round": count, "code": code}
        return json.dumps(event, ensure_ascii=False)

    def decode(self, event: object) -> Job:
        """Return the job in an event; raise Unauthenticated unless this function made the event."""
        try:
            read = _Event.model_validate(event)
        except ValidationError:
            raise Unauthenticated("deferred-form") from None
        signed = _signed_text(read.message, read.at, read.round)
        if not self.master_secrets.matches(Purpose.JOB, signed, read.code):
            raise Unauthenticated("deferred-code")
        # SCF can keep an event for hours, and somebody who has seen one could send it again.
        if not _WINDOW.contains(read.at, self.clock.now()):
            raise Unauthenticated("deferred-time")
        return Job(Message.model_validate_json(read.message), read.at, read.round)

    def next_round(self, job: Job) -> Job | None:
        """Return the job to reschedule, or None if it is too old or was rescheduled too often."""
        ends_at = self.clock.now() + MAX_INVOCATION_SECONDS
        if ends_at - job.since > JOB_TTL_SECONDS or job.round >= MAX_ROUNDS:
            return None
        return replace(job, round=job.round + 1)


def _signed_text(text: str, at: int, count: int) -> str:
    return f"{at}\n{count}\n{text}"
