"""WeCom's side of a self-built app: XML callbacks, sealed by `wechatpy`, and a stand-in of the API."""

from __future__ import annotations

import itertools
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.support.chat_function import PUBLIC_URL, chat_policy, running_chat
from tests.support.chat_stand_in import Posted, StandIn
from tests.support.wecom_stand_in import AES_KEY, ORIGIN, TOKEN, WeCom, sealed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.chat_function import ChatFunction
    from tests.support.emulator_process import EmulatorProcess

CORP_ID = "wx5823bf96d3bd56c7"
AGENT_ID = "1000002"
SECRET = "PdDcN-ZjInXNsvNuzlPl55qZrLL_JvDvcIp3wZNtabc"
USERS = {"zhangsan": "free", "lisi": "pinned", "wangwu": "slow"}
STRANGER = "zhaoliu"
SETTINGS = {
    "KEYPAIR_WECOMAPP_TOKEN": TOKEN,
    "KEYPAIR_WECOMAPP_AES_KEY": AES_KEY,
    "KEYPAIR_WECOMAPP_CORP_ID": CORP_ID,
    "KEYPAIR_WECOMAPP_AGENT_ID": AGENT_ID,
    "KEYPAIR_WECOMAPP_SECRET": SECRET,
}
_NUMBERS = ("CreateTime", "MsgId", "AgentID")
_ids = itertools.count(7234567890123456)


def xml(fields: Mapping[str, object]) -> str:
    """Return what 90239 shows: numbers bare, and all else in CDATA sections."""
    elements = [f"<{name}>{_inside(name, str(value))}</{name}>" for name, value in fields.items()]
    return "<xml>" + "\n".join(elements) + "</xml>"


def _inside(name: str, value: str) -> str:
    return value if name in _NUMBERS else f"<![CDATA[{value.replace(']]>', ']]]]><![CDATA[>')}]]>"


def enveloped(encrypted: str, corp_id: str = CORP_ID, agent_id: str = AGENT_ID) -> str:
    """Return the body of a callback, as in 90930."""
    elements = {"ToUserName": corp_id, "AgentID": agent_id, "Encrypt": encrypted}
    inside = "".join(f"   <{name}><![CDATA[{value}]]></{name}>\n" for name, value in elements.items())
    return f"<xml> \n{inside}</xml>"


def closed(message: str, receive_id: str = CORP_ID, key: str = AES_KEY) -> str:
    return sealed(message, key, receive_id)


@dataclass
class Api:
    """What WeCom's message API takes, and what it says to the rest."""

    tokens: int = 0
    life: int = 7200
    payloads: list[Mapping[str, Any]] = field(default_factory=list)
    """Of the messages that were shown to somebody."""

    @property
    def token(self) -> str:
        """The one token that is good."""
        return f"HS7L+pSjhI/54x_U-{self.tokens}="

    def shown(self) -> list[str]:
        return [payload["text"]["content"] for payload in self.payloads]

    def revoke_token(self) -> None:
        self.tokens += 1

    def respond(self, request: Posted) -> tuple[int, bytes]:
        assert request.path.count("?") == 1
        address = urlsplit(request.path)
        query = parse_qs(address.query, strict_parsing=True)
        if address.path == "/cgi-bin/gettoken":
            assert request.payload is None
            assert query == {"corpid": [CORP_ID], "corpsecret": [SECRET]}
            self.tokens += 1
            return said(access_token=self.token, expires_in=self.life)
        assert address.path == "/cgi-bin/message/send"
        if query != {"access_token": [self.token]}:
            return said(40014, errmsg="invalid access_token")
        payload = request.payload
        self._check(payload)
        # 90236: userids are the same in capitals.
        if payload["touser"].lower() not in {*USERS, STRANGER}:
            return said(81013, errmsg="user & party & tag all invalid")
        if not (payload["enable_duplicate_check"] and payload in self.payloads):
            self.payloads.append(payload)
        return said(invaliduser="", invalidparty="", invalidtag="", unlicenseduser="", msgid="xxxx")

    def _check(self, payload: Mapping[str, Any]) -> None:
        assert set(payload) == {
            "touser", "msgtype", "agentid", "text", "safe", "enable_duplicate_check",
            "duplicate_check_interval",
        }  # fmt: skip
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_@.-]*", payload["touser"])
        assert payload["msgtype"] == "text"
        assert payload["agentid"] == int(AGENT_ID)
        assert set(payload["text"]) == {"content"}
        assert 0 < len(payload["text"]["content"].encode()) <= 2048
        assert payload["safe"] == 0
        assert payload["enable_duplicate_check"] in (0, 1)
        # WeCom takes up to four hours; for half of one, an answer is tried to be given.
        assert payload["duplicate_check_interval"] == 1800


def said(errcode: int = 0, **more: object) -> tuple[int, bytes]:
    return 200, json.dumps({"errcode": errcode, "errmsg": "ok", **more}).encode()


class WeComApp(WeCom):
    """It signs and sends callbacks of an app."""

    path = "/chat/wecomapp"

    def __init__(self, chat: ChatFunction, stand_in: StandIn, api: Api) -> None:
        super().__init__(chat, stand_in)
        self.api = api

    def message(self, text: str, user: str = "zhangsan", **changes: object) -> dict[str, Any]:
        """Return the elements of a text in the form of 90239."""
        return {
            "ToUserName": CORP_ID,
            "FromUserName": user,
            "CreateTime": int(self.chat.function.clock.time),
            "MsgType": "text",
            "Content": text,
            "MsgId": next(_ids),
            "AgentID": AGENT_ID,
            **changes,
        }

    def event(self, encrypted: str, **changes: str | None) -> dict[str, Any]:
        return {
            **super().event(encrypted, **changes),
            "headers": {"content-type": "text/xml", "x-scf-remote-addr": "203.0.113.9"},
            "body": enveloped(encrypted),
        }

    def command(self, text: str, user: str = "zhangsan", **changes: object) -> dict[str, Any]:
        return self.event(closed(xml(self.message(text, user, **changes))))

    def told(self, event: Mapping[str, Any]) -> list[str]:
        """Return the messages that come of a callback, which is answered with nothing."""
        before = len(self.api.payloads)
        answer = self.chat.send(event)
        assert (answer.status, answer.body) == (200, "")
        self.chat.work()
        return self.api.shown()[before:]

    def said(self, text: str, user: str = "zhangsan", **changes: object) -> str:
        """Return the one message that a text leads to; nobody else is written to."""
        (message,) = self.told(self.command(text, user, **changes))
        assert self.api.payloads[-1]["touser"] == user
        return message


@contextmanager
def running_app(emulator: EmulatorProcess, folder: Path, **more: Any) -> Iterator[WeComApp]:  # noqa: ANN401  # handed through
    """Give a function with a WeCom app, and an API that takes its answers."""
    api = Api()
    with (
        StandIn(api.respond).serving() as stand_in,
        running_chat(
            emulator,
            folder,
            **{
                "policy": chat_policy("wecomapp", CORP_ID, USERS),
                "settings": SETTINGS,
                "instead": {ORIGIN: stand_in.url},
                **more,
            },
        ) as chat,
    ):
        yield WeComApp(chat, stand_in, api)


def line(text: str, start: str) -> str:
    """Return the one line that begins so."""
    (found,) = [line for line in text.splitlines() if line.startswith(start)]
    return found


def picked_up(app: WeComApp, text: str) -> tuple[str, str]:
    """Return the name of the file that a message tells to fetch, and what it fetches."""
    fetch = line(text, "curl ")
    link = re.fullmatch(rf"curl -fsS -X POST -o (\w+\.\w+) {PUBLIC_URL}(/pickup/[A-Za-z0-9_-]{{43}})", fetch)
    assert link is not None
    answer = app.chat.send({"httpMethod": "POST", "path": link[2], "headers": {}})
    assert answer.status == 200
    return link[1], answer.body
