"""DingTalk's side: messages as it documents them, signed by openssl, and what it takes as an answer."""

from __future__ import annotations

import base64
import itertools
import json
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.chat_function import ChatFunction, chat_policy, running_chat
from tests.support.chat_stand_in import Posted, StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

SECRET = "Jf6hGx0nA1bT9-wQ2eR5yU8iO3pL7kDsZ_cVvXmM4NqBtHrY6gWjKuEoPaSdF1lC"
CORP = "ding7112a6c325a0edecee0f45d8e4f7c288"
USERS = {"030008551219215": "free", "manager4220": "pinned", "slow-one": "slow"}
FREE, PINNED, SLOW = USERS
WEBHOOK = "https://oapi.dingtalk.com/robot/sendBySession?session="
WORKING = "正在处理，结果只发给你一个人。"
_ids = itertools.count(1)


def sign(timestamp: str, secret: str = SECRET) -> str:
    """Sign as DingTalk documents it: base64 of HMAC-SHA256, under the secret, over time and secret."""
    digest = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"key:{secret}", "-binary"],
        input=f"{timestamp}\n{secret}".encode(),
        capture_output=True,
        check=True,
        timeout=20,
    ).stdout
    return base64.b64encode(digest).decode()


def dingtalk_takes(request: Posted) -> tuple[int, bytes]:
    """Take what DingTalk takes at a sessionWebhook."""
    assert re.fullmatch(r"/robot/sendBySession\?session=[0-9a-z]{32}", request.path), request.path
    assert request.headers["content-type"] == "application/json"
    assert 0 < int(request.headers["content-length"]) <= 20_000, request.headers["content-length"]
    assert set(request.payload) == {"msgtype", "text"}
    assert request.payload["msgtype"] == "text"
    assert set(request.payload["text"]) == {"content"}
    assert request.payload["text"]["content"].strip()
    return 200, b'{"errcode":0,"errmsg":"ok"}'


class DingTalk:
    """DingTalk's side: it signs the time, and sends messages."""

    def __init__(self, chat: ChatFunction, stand_in: StandIn) -> None:
        self.chat = chat
        self.stand_in = stand_in

    def now(self) -> int:
        """Return the time of the fake clock, in milliseconds."""
        return int(self.chat.function.clock.time * 1000)

    def message(self, said: str, user: str = FREE, **more: object) -> dict[str, object]:
        """Return a message to the robot; `more` exchanges members, and takes away those of None."""
        number = next(_ids)
        members = {
            "conversationId": "cid8tfOR+7uip234mJoPjImGsuJt4fHDZ7qaZmlW1GdaOk=",
            "chatbotCorpId": CORP,
            "chatbotUserId": "$:LWCP_v1:$5w23e+uJKMOAfM1Q7F2qA5s2a95g5UsN",
            "msgId": f"msg{number:012}oei2goecpf==",
            "senderNick": "杨过",
            "isAdmin": True,
            "senderStaffId": user,
            "sessionWebhookExpiredTime": self.now() + 5_400_000,
            "createAt": self.now() - 300,
            "senderCorpId": CORP,
            "conversationType": "1",
            "senderId": "$:LWCP_v1:$pTZor09tFmT3sHMgZEYEow==",
            "sessionWebhook": f"{WEBHOOK}{number:032x}",
            "text": {"content": f" {said}"},
            "robotCode": "dinguqpp3plqvllptchj",
            "msgtype": "text",
            **more,
        }
        return {name: member for name, member in members.items() if member is not None}

    def pair(self, offset: int = 0) -> dict[str, str]:
        """Return the two headers that prove a request; each call another time, or `offset` ms from now."""
        timestamp = str(self.now() + offset if offset else self.now() - next(_ids))
        return {"timestamp": timestamp, "sign": sign(timestamp)}

    def event(
        self, body: str, *, pair: dict[str, str] | None = None, content_type: str | None = None
    ) -> dict[str, Any]:
        return {
            "httpMethod": "POST",
            "path": "/chat/dingtalk",
            "queryString": {},
            "headers": {
                "content-type": content_type or "application/json; charset=utf-8",
                **(self.pair() if pair is None else pair),
                "x-scf-remote-addr": "203.0.113.9",
            },
            "body": body,
        }

    def command(self, text: str, user: str = FREE, **more: object) -> dict[str, Any]:
        return self.event(json.dumps(self.message(text, user, **more), ensure_ascii=False))

    def said(self, text: str, user: str = FREE) -> str:
        """Return the last thing that a message leads to."""
        before = len(self.stand_in.posted)
        answer = self.chat.send(self.command(text, user))
        assert answer.status == 200
        self.chat.work()
        posted = self.stand_in.posted[before:]
        return content(posted[-1].payload if posted else answer.json)


def content(payload: dict[str, Any]) -> str:
    """Return what a message says."""
    assert payload["msgtype"] == "text"
    return str(payload["text"]["content"])


def envelope_in(text: str) -> str:
    matched = re.search(
        r"-----BEGIN AGE ENCRYPTED FILE-----.*-----END AGE ENCRYPTED FILE-----", text, re.DOTALL
    )
    assert matched is not None
    return matched[0]


def names(dingtalk: DingTalk) -> list[str]:
    return [key_pair["KeyName"] for key_pair in dingtalk.chat.function.emulator.key_pairs()]


@contextmanager
def running_dingtalk(emulator: EmulatorProcess, folder: Path, **more: Any) -> Iterator[DingTalk]:  # noqa: ANN401  # handed through
    """Give a function with DingTalk, and a DingTalk that takes its answers."""
    with (
        StandIn(dingtalk_takes).serving() as stand_in,
        running_chat(
            emulator,
            folder,
            **{
                "policy": chat_policy("dingtalk", CORP, USERS),
                "settings": {"KEYPAIR_DINGTALK_APP_SECRET": SECRET},
                "instead": {"https://oapi.dingtalk.com": stand_in.url},
                **more,
            },
        ) as chat,
    ):
        yield DingTalk(chat, stand_in)
