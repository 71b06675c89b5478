"""Slack's side: commands signed by Slack's own SDK, and what Slack takes as an answer."""

from __future__ import annotations

import itertools
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from slack_sdk.signature import Clock as SlackClock
from slack_sdk.signature import SignatureVerifier

from tests.support.chat_function import ChatFunction, chat_policy, running_chat
from tests.support.chat_stand_in import Posted, StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TEAM = "T1DC2JH3J"
USERS = {"U2CERLKJA": "free", "U2PINNED": "pinned", "U2SLOW": "slow"}
_ids = itertools.count(1)


def slack_takes(request: Posted) -> tuple[int, bytes]:
    """Take what Slack takes at a response_url."""
    assert re.fullmatch(r"/commands/T[A-Z0-9]+/[0-9]+/[A-Za-z0-9]+", request.path), request.path
    assert request.headers["content-type"] == "application/json"
    assert set(request.payload) == {"response_type", "text"}
    assert request.payload["response_type"] == "ephemeral"
    text = request.payload["text"]
    assert 0 < len(text) <= 4000, len(text)  # a longer one is split
    assert text.count("```") % 2 == 0
    return 200, b"ok"


class Slack:
    """Slack's side: it signs and sends commands."""

    def __init__(self, chat: ChatFunction, stand_in: StandIn) -> None:
        self.chat = chat
        self.stand_in = stand_in

    def fields(self, text: str, user: str = "U2CERLKJA") -> dict[str, str]:
        number = next(_ids)
        return {
            "token": "xyzz0WbapA4vBCDEFasx0q6G",
            "team_id": TEAM,
            "team_domain": "testteamnow",
            "channel_id": "G8PSS9T3V",
            "channel_name": "foobar",
            "user_id": user,
            "user_name": "roadrunner",
            "command": "/keypair",
            "text": text,
            "response_url": f"https://hooks.slack.com/commands/{TEAM}/{number}/96rGlfmibIGlgcZRskXaIFfN",
            "trigger_id": f"{number}.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        }

    def event(
        self, body: str, *, timestamp: str | None = None, secret: str = SECRET, **headers: str | None
    ) -> dict[str, Any]:
        timestamp = timestamp or str(int(self.chat.function.clock.time))
        signature = SignatureVerifier(secret, SlackClock()).generate_signature(timestamp=timestamp, body=body)
        sent: dict[str, str | None] = {
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "x-slack-request-timestamp": timestamp,
            "x-slack-signature": signature,
            "x-scf-remote-addr": "203.0.113.9",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return {
            "httpMethod": "POST",
            "path": "/chat/slack",
            "queryString": {},
            "headers": {name: value for name, value in sent.items() if value is not None},
            "body": body,
        }

    def command(self, text: str, user: str = "U2CERLKJA") -> dict[str, Any]:
        return self.event(urlencode(self.fields(text, user)))

    def said(self, text: str, user: str = "U2CERLKJA") -> str:
        """Return the last thing that a command leads to."""
        before = len(self.stand_in.posted)
        answer = self.chat.send(self.command(text, user))
        assert answer.status == 200
        assert answer.json["response_type"] == "ephemeral"
        self.chat.work()
        posted = self.stand_in.posted[before:]
        return str((posted[-1].payload if posted else answer.json)["text"])


@contextmanager
def running_slack(emulator: EmulatorProcess, folder: Path, **more: Any) -> Iterator[Slack]:  # noqa: ANN401  # handed through
    """Give a function with Slack, and a Slack that takes its answers."""
    with (
        StandIn(slack_takes).serving() as stand_in,
        running_chat(
            emulator,
            folder,
            **{
                "policy": chat_policy("slack", TEAM, USERS),
                "settings": {"KEYPAIR_SLACK_SIGNING_SECRET": SECRET},
                "instead": {"https://hooks.slack.com": stand_in.url},
                **more,
            },
        ) as chat,
    ):
        yield Slack(chat, stand_in)
