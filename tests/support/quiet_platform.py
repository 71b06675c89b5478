"""A chat platform that says nothing in its response, as Feishu does, and a bot on it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handler.chat.platforms.base import ImmediateResponse, Message, Reply
from handler.errors import PlatformRefused, PlatformUnavailable, Unauthenticated
from handler.http.messages import Response
from handler.http.strict_json import parse_json_object
from handler.scf.invocation import MAX_INVOCATION_SECONDS
from tests.support.chat_function import ChatFunction, chat_policy, running_chat
from tests.support.function_under_test import Answer, fresh_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from handler.http.messages import Request
    from handler.scf.invocation import Deadline
    from tests.support.emulator_process import EmulatorProcess

USERS = {"free": "free", "pinned": "pinned", "slow": "slow"}


@dataclass
class Quiet:
    """A platform whose answers say nothing, as Feishu's; its proof is a header."""

    said: list[tuple[str, Reply]] = field(default_factory=list)
    """User and reply."""
    deaf: int = 0
    """How many replies it does not take."""
    meanwhile: Callable[[], object] = bool
    """What happens each time."""
    refuses: bool = False
    """Whether it takes no reply, now and later."""
    tried: int = 0
    time_left: list[float] = field(default_factory=list)
    """For each reply, in seconds."""
    defect: bool = False

    name = "quiet"
    methods = ("GET", "POST")

    def parse_webhook(self, request: Request) -> Message | ImmediateResponse:
        if request.headers.get("x-proof") != "good":
            raise Unauthenticated("quiet-proof")
        if request.method == "GET":
            return ImmediateResponse(Response(200, request.query["echo"], "text/plain"))
        return Message.model_validate(parse_json_object(request.unverified_body))

    def acknowledge(self, message: Message) -> Response:
        del message
        return Response(200, "", "text/plain")

    def respond(self, message: Message, reply: Reply) -> Response | None:
        del message, reply
        return None

    def fits(self, reply: Reply) -> bool:
        if self.defect:
            raise ZeroDivisionError
        return len(reply.parts) < 20

    def deliver(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        self.time_left.append(deadline.remaining())
        assert deadline.remaining() > 0
        self.tried += 1
        if self.refuses:
            raise PlatformRefused("quiet-refuses")
        if self.deaf:
            self.deaf -= 1
            self.meanwhile()
            raise PlatformUnavailable("quiet-deaf")
        self.said.append((message.user, reply))


@dataclass
class Quietly:
    chat: ChatFunction
    platform: Quiet

    def message(self, text: str, user: str = "free", **more: object) -> dict[str, Any]:
        message = {
            "platform": "quiet", "tenant": "t", "user": user, "event_id": fresh_name(), "text": text,
            "locale": "en", "reply_to": user, **more,
        }  # fmt: skip
        return {
            "httpMethod": "POST",
            "path": "/chat/quiet",
            "headers": {"x-proof": "good"},
            "body": json.dumps(message),
        }

    def send(self, event: dict[str, Any]) -> Answer:
        answer = self.chat.send(event)
        self.chat.work()
        return answer

    def later(self, event: dict[str, Any]) -> Answer:
        """Send it when a minute has gone by: within that it costs no further invocation."""
        self.chat.function.clock.time += MAX_INVOCATION_SECONDS + 1
        return self.send(event)

    def tell(self, text: str, user: str = "free", **more: object) -> str:
        """Return how the last reply to a message begins."""
        answer = self.send(self.message(text, user, **more))
        assert (answer.status, answer.body) == (200, "")
        told, reply = self.platform.said[-1]
        assert told == user
        return str(reply.parts[0])

    def creates(self) -> int:
        return self.chat.function.create_calls()


@contextmanager
def running_quietly(emulator: EmulatorProcess, folder: Path, **more: Any) -> Iterator[Quietly]:  # noqa: ANN401  # handed through
    """Give a function with one more platform: a line in the table is all it takes."""
    platform = Quiet()
    given = {
        "policy": chat_policy("quiet", "t", USERS, keys_from={"place": "https://localhost/{user}.keys"}),
        "settings": {},
        "platforms": {"quiet": lambda _settings, _tools: platform},
        **more,
    }
    with running_chat(emulator, folder, **given) as chat:
        yield Quietly(chat, platform)
