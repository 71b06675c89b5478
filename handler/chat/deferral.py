"""Work that a webhook has no time for: an event that the function sends to itself.

SECURITY BOUNDARY: such an event asks for a key pair in somebody's name, and no platform's signature is on it
any more. It cannot come over HTTP (`handler.http.is_deferred`), and the code in it keeps out those who may
invoke the function by other ways but do not know its master secret.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from handler.chat.platform import Message
from handler.errors import Unauthenticated
from handler.http import DEFERRED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handler.invocation import Clock

LIFE = 1800.0
"""Seconds; no platform takes an answer later than that after a command of its own (Slack: 30 minutes)."""
_AHEAD = 60.0
"""Seconds by which the clock of another instance may be ahead."""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    Type: str
    message: str
    at: int
    code: str


@dataclass(frozen=True)
class Deferral:
    """Makes deferred events and opens its own; `master_secrets` as in `handler.settings`."""

    master_secrets: Sequence[bytes] = field(repr=False)
    clock: Clock

    def event(self, message: Message) -> str:
        """Return the event that carries `message`, as JSON."""
        text, at = message.model_dump_json(), int(self.clock.now())
        code = _code(self.master_secrets[0], text, at)
        return json.dumps({"Type": DEFERRED, "message": text, "at": at, "code": code}, ensure_ascii=False)

    def open(self, event: object) -> Message:
        """Return the message in an event that this function made; raise Unauthenticated."""
        try:
            read = _Event.model_validate(event)
        except ValidationError:
            raise Unauthenticated("deferred-form") from None
        codes = [_code(master, read.message, read.at) for master in self.master_secrets]
        given = read.code.encode("utf-8", "surrogatepass")
        if not any([hmac.compare_digest(given, code.encode()) for code in codes]):  # noqa: C419  # all compared
            raise Unauthenticated("deferred-code")
        # SCF keeps an event for hours if need be, and whoever has seen one could send it again.
        if not -_AHEAD <= self.clock.now() - read.at <= LIFE:
            raise Unauthenticated("deferred-time")
        return Message.model_validate_json(read.message)


def _code(master_secret: bytes, text: str, at: int) -> str:
    # The first line keeps this use of the master secret apart from the others (`tc3:`, `mark:`).
    signed = f"deferred:\n{at}\n{text}".encode("utf-8", "surrogatepass")
    return hmac.new(master_secret, signed, hashlib.sha256).hexdigest()
