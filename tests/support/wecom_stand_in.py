"""WeCom's side: callbacks signed and encrypted by `wechatpy`, and what WeCom takes as an answer."""

from __future__ import annotations

import base64
import itertools
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wechatpy.enterprise.crypto import PrpCrypto  # type: ignore[import-untyped]  # ships no types
from wechatpy.utils import WeChatSigner  # type: ignore[import-untyped]  # ships no types

from tests.support.chat_function import ChatFunction, chat_policy, running_chat
from tests.support.chat_stand_in import Posted, StandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.function_under_test import Answer

TOKEN = "QDG6eK"
AES_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
BOT = "aibSNgUvAyMqzLvT2xXbHwPz"
USERS = {"zhangsan": "free", "lisi": "pinned", "wangwu": "slow"}
SETTINGS = {"KEYPAIR_WECOM_TOKEN": TOKEN, "KEYPAIR_WECOM_AES_KEY": AES_KEY}
ORIGIN = "https://qyapi.weixin.qq.com"
_ids = itertools.count(263014780)


def signature(token: str, *parts: str) -> str:
    signer = WeChatSigner()
    signer.add_data(token, *parts)
    return str(signer.signature)


def sealed(message: str, key: str = AES_KEY, receive_id: str = "") -> str:
    return bytes(PrpCrypto(base64.b64decode(key + "=")).encrypt(message, receive_id)).decode()


def wecom_takes() -> Callable[[Posted], tuple[int, bytes]]:
    """Take what WeCom takes at a `response_url`: Markdown, once."""
    used = set()

    def take(request: Posted) -> tuple[int, bytes]:
        assert re.fullmatch(r"/cgi-bin/aibot/response\?response_code=[A-Za-z0-9_-]+", request.path)
        assert request.path not in used
        used.add(request.path)
        assert request.headers["content-type"] == "application/json"
        assert set(request.payload) == {"msgtype", "markdown"}
        assert request.payload["msgtype"] == "markdown"
        assert set(request.payload["markdown"]) == {"content"}
        assert_markdown(request.payload["markdown"]["content"])
        return 200, b'{"errcode":0,"errmsg":"ok"}'

    return take


def assert_markdown(content: str) -> None:
    assert 0 < len(content.encode()) <= 20480, len(content.encode())
    assert content.count("```") % 2 == 0


def blocks(content: str) -> list[str]:
    """Return what stands in code blocks."""
    return re.findall(r"^```\n(.*?)\n```$", content, re.DOTALL | re.MULTILINE)


class WeCom:
    """WeCom's side: it signs and sends callbacks."""

    path = "/chat/wecom"

    def __init__(self, chat: ChatFunction, stand_in: StandIn) -> None:
        self.chat = chat
        self.stand_in = stand_in

    def message(self, text: str, user: str = "zhangsan", **changes: object) -> dict[str, Any]:
        """Return a message in the form of 100719."""
        return {
            "msgid": f"CAIQ{next(_ids)}/NGagIOAgAMgq4KM0AI=",
            "aibotid": BOT,
            "chattype": "single",
            "from": {"userid": user},
            "response_url": f"{ORIGIN}/cgi-bin/aibot/response?response_code=R{next(_ids)}_x-Y",
            "msgtype": "text",
            "text": {"content": text},
            **changes,
        }

    def query(self, encrypted: str, **changes: str | None) -> dict[str, str]:
        """Sign; None takes a parameter away, another value is signed where it may be."""
        timestamp = changes.pop("timestamp", None) or str(int(self.chat.function.clock.time))
        nonce = changes.pop("nonce", None) or str(next(_ids))
        token = changes.pop("token", None) or TOKEN
        query = {
            "msg_signature": signature(token, timestamp, nonce, encrypted),
            "timestamp": timestamp,
            "nonce": nonce,
            **changes,
        }
        return {name: value for name, value in query.items() if value is not None}

    def event(self, encrypted: str, **changes: str | None) -> dict[str, Any]:
        """Return the callback with what is encrypted already."""
        return {
            "httpMethod": "POST",
            "path": self.path,
            "queryString": self.query(encrypted, **changes),
            "headers": {"content-type": "application/json", "x-scf-remote-addr": "203.0.113.9"},
            "body": json.dumps({"encrypt": encrypted}),
        }

    def command(self, text: str, user: str = "zhangsan", **changes: object) -> dict[str, Any]:
        return self.event(sealed(json.dumps(self.message(text, user, **changes), ensure_ascii=False)))

    def handshake(self, encrypted: str, **changes: str | None) -> dict[str, Any]:
        query = {**self.query(encrypted, **changes), "echostr": encrypted}
        return {"httpMethod": "GET", "path": self.path, "queryString": query, "headers": {}}

    def heard(self, event: Mapping[str, Any], answer: Answer) -> str:
        """Return what an answer to a callback says, after WeCom's checks of it."""
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        reply = answer.json
        assert set(reply) == {"encrypt", "msgsignature", "timestamp", "nonce"}
        assert reply["nonce"] == event["queryString"]["nonce"]
        assert reply["timestamp"] == int(self.chat.function.clock.time)
        parts = (str(reply["timestamp"]), reply["nonce"], reply["encrypt"])
        assert reply["msgsignature"] == signature(TOKEN, *parts)
        assert len(base64.b64decode(reply["encrypt"])) % 32 == 0
        said = json.loads(PrpCrypto(base64.b64decode(AES_KEY + "=")).decrypt(reply["encrypt"], ""))
        assert set(said) == {"msgtype", "stream"}
        assert said["msgtype"] == "stream"
        assert set(said["stream"]) == {"id", "finish", "content"}
        assert said["stream"]["id"]
        assert said["stream"]["finish"] is True
        assert_markdown(said["stream"]["content"])
        return str(said["stream"]["content"])

    def at_once(self, text: str, user: str = "zhangsan", **changes: object) -> str:
        """Return the answer to a callback."""
        event = self.command(text, user, **changes)
        return self.heard(event, self.chat.send(event))

    def said(self, text: str, user: str = "zhangsan", **changes: object) -> str:
        """Return the last thing that a message leads to."""
        before = len(self.stand_in.posted)
        first = self.at_once(text, user, **changes)
        self.chat.work()
        posted = self.stand_in.posted[before:]
        return str(posted[-1].payload["markdown"]["content"]) if posted else first


@contextmanager
def running_wecom(emulator: EmulatorProcess, folder: Path, **more: Any) -> Iterator[WeCom]:  # noqa: ANN401  # handed through
    """Give a function with WeCom's bot, and a WeCom that takes its answers."""
    with (
        StandIn(wecom_takes()).serving() as stand_in,
        running_chat(
            emulator,
            folder,
            **{
                "policy": chat_policy("wecom", BOT, USERS),
                "settings": SETTINGS,
                "instead": {ORIGIN: stand_in.url},
                **more,
            },
        ) as chat,
    ):
        yield WeCom(chat, stand_in)


# https://developer.work.weixin.qq.com/document/path/90930
PUBLISHED = {
    "msg_signature": "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3",
    "timestamp": "1409659589",
    "nonce": "263014780",
    "echostr": "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ==",
}
