"""Feishu's side: messages encrypted and signed apart from the code under test, and its API as a stand-in."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from Crypto.Cipher import AES
from Crypto.Util.Padding import pad

from tests.support.chat_function import ChatFunction, chat_policy, running_chat
from tests.support.chat_stand_in import Posted, StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

ENCRYPT_KEY = "kudryavka-encrypt-key"
VERIFICATION_TOKEN = "rvaYgkND1iOiu5MM0E1rncYC6PLtF7JV"
APP_ID = "cli_9f5343c580712544"
APP_SECRET = "dskLLdkasdjlasdKK"
TENANT = "736588c9260f175e"
FREE = "ou_84aad35d084aa403a838cf73ee18467"
PINNED = "ou_7d8a6e6df7621556ce0d21922b676706"
SLOW = "ou_18eac85d35a26f989317ad4f02e8bbbb"
USERS = {FREE: "free", PINNED: "pinned", SLOW: "slow"}
SETTINGS = {
    "KEYPAIR_FEISHU_ENCRYPT_KEY": ENCRYPT_KEY,
    "KEYPAIR_FEISHU_VERIFICATION_TOKEN": VERIFICATION_TOKEN,
    "KEYPAIR_FEISHU_APP_ID": APP_ID,
    "KEYPAIR_FEISHU_APP_SECRET": APP_SECRET,
}
_TOKEN_PATH = "/open-apis/auth/v3/tenant_access_token/internal"
_SEND_PATH = "/open-apis/im/v1/messages?receive_id_type=open_id"
_ids = itertools.count(1)


def encrypted(plaintext: bytes, key: str = ENCRYPT_KEY) -> str:
    return encrypted_blocks(pad(plaintext, 16), key)


def encrypted_blocks(padded: bytes, key: str = ENCRYPT_KEY) -> str:
    iv = hashlib.md5(padded, usedforsecurity=False).digest()
    cipher = AES.new(hashlib.sha256(key.encode()).digest(), AES.MODE_CBC, iv)
    return base64.b64encode(iv + cipher.encrypt(padded)).decode()


def signature(timestamp: str, nonce: str, body: str, key: str = ENCRYPT_KEY) -> str:
    return hashlib.sha256((timestamp + nonce + key + body).encode("utf-8", "surrogatepass")).hexdigest()


def challenge(**changes: object) -> dict[str, Any]:
    return {
        "challenge": "ajls384kdjx98XX",
        "token": VERIFICATION_TOKEN,
        "type": "url_verification",
        **changes,
    }


def posted_text(payload: Mapping[str, Any]) -> str:
    """Return a message as a reader sees it; code blocks within fences."""
    ((_, post),) = json.loads(payload["content"]).items()
    elements = [element for paragraph in post["content"] for element in paragraph]
    return "\n".join(
        f"```\n{element['text']}\n```" if element["tag"] == "code_block" else element["text"]
        for element in elements
    )


@dataclass
class Api:
    """What Feishu's API takes, and what it says to the rest."""

    tokens: int = 0
    life: int = 7200
    messages: list[Mapping[str, Any]] = field(default_factory=list)
    """Payloads of the messages that were shown to somebody."""

    @property
    def token(self) -> str:
        """The one token that is good."""
        return f"t-g1044qeGEDXTB6NDJOGV4JQCYDGHRBARFTGT{self.tokens}"

    def shown(self) -> list[str]:
        return [posted_text(message) for message in self.messages]

    def revoke_token(self) -> None:
        self.tokens += 1

    def respond(self, request: Posted) -> tuple[int, bytes]:
        assert request.headers["content-type"] == "application/json"
        if request.path == _TOKEN_PATH:
            assert request.payload == {"app_id": APP_ID, "app_secret": APP_SECRET}
            assert "authorization" not in request.headers
            self.tokens += 1
            granted = {"code": 0, "msg": "ok", "tenant_access_token": self.token, "expire": self.life}
            return 200, json.dumps(granted).encode()
        assert request.path == _SEND_PATH
        if request.headers["authorization"] != f"Bearer {self.token}":
            return 400, b'{"code": 99991663, "msg": "Invalid access token for authorization."}'
        self._check(request)
        # A `uuid` that was used within the hour: the message is there already.
        if request.payload["uuid"] not in [message["uuid"] for message in self.messages]:
            self.messages.append(request.payload)
        return (
            200,
            b'{"code": 0, "msg": "success", "data": {"message_id": "om_dc13264520392913993dd051dba21dcf"}}',
        )

    def _check(self, request: Posted) -> None:
        assert int(request.headers["content-length"]) <= 30 * 1024
        payload = request.payload
        assert set(payload) == {"receive_id", "msg_type", "content", "uuid"}
        assert payload["receive_id"].startswith("ou_")
        assert payload["msg_type"] == "post"
        assert 0 < len(payload["uuid"]) <= 50
        ((language, post),) = json.loads(payload["content"]).items()
        assert language in ("zh_cn", "en_us")
        assert set(post) == {"content"}
        for paragraph in post["content"]:
            (element,) = paragraph  # a code block is a paragraph of its own
            assert set(element) == {"tag", "text"}
            assert element["tag"] == "code_block" or (
                element["tag"] == "text" and "\n" not in element["text"]
            )


class Feishu:
    """It encrypts, signs and sends events."""

    def __init__(self, chat: ChatFunction, stand_in: StandIn, api: Api) -> None:
        self.chat = chat
        self.stand_in = stand_in
        self.api = api

    def push(self, text: str, user: str = FREE) -> dict[str, Any]:
        """Return an event as in the description of im.message.receive_v1."""
        number = next(_ids)
        return {
            "schema": "2.0",
            "header": {
                "event_id": f"5e3702a84e847582be8db7fb{number:08}",
                "token": VERIFICATION_TOKEN,
                "create_time": "1795521599000",
                "event_type": "im.message.receive_v1",
                "tenant_key": TENANT,
                "app_id": APP_ID,
            },
            "event": {
                "sender": {
                    "sender_id": {
                        "union_id": "on_8ed6aa67826108097d9ee143816345",
                        "user_id": None,
                        "open_id": user,
                    },
                    "sender_type": "user",
                    "tenant_key": TENANT,
                },
                "message": {
                    "message_id": f"om_5ce6d572455d361153b7cb51{number:08}",
                    "create_time": "1795521599000",
                    "update_time": "1795521599000",
                    "chat_id": "oc_5ce6d572455d361153b7xx51da133945",
                    "chat_type": "p2p",
                    "message_type": "text",
                    "content": json.dumps({"text": text}, ensure_ascii=False),
                    "user_agent": "Mozilla/5.0 Lark/7.20",
                },
            },
        }

    def event(
        self,
        body: str,
        *,
        timestamp: str | None = None,
        nonce: str | None = None,
        key: str = ENCRYPT_KEY,
        **headers: str | None,
    ) -> dict[str, Any]:
        """Sign a body; None as a header takes it away."""
        timestamp = timestamp or str(int(self.chat.function.clock.time))
        nonce = nonce or f"{next(_ids):09}"
        sent: dict[str, str | None] = {
            "content-type": "application/json;charset=utf-8",
            "user-agent": "Go-http-client/1.1",
            "x-lark-request-timestamp": timestamp,
            "x-lark-request-nonce": nonce,
            "x-lark-signature": signature(timestamp, nonce, body, key),
            "x-scf-remote-addr": "203.0.113.9",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return {
            "httpMethod": "POST",
            "path": "/chat/feishu",
            "queryString": {},
            "headers": {name: value for name, value in sent.items() if value is not None},
            "body": body,
        }

    def unsigned(self, body: str) -> dict[str, Any]:
        """As Feishu sends its challenges."""
        return self.event(
            body, x_lark_signature=None, x_lark_request_timestamp=None, x_lark_request_nonce=None
        )

    def pushed(self, push: Mapping[str, Any], **how: Any) -> dict[str, Any]:  # noqa: ANN401  # handed through
        return self.event(json.dumps({"encrypt": encrypted(json.dumps(push).encode())}), **how)

    def message(self, text: str, user: str = FREE) -> dict[str, Any]:
        return self.pushed(self.push(text, user))

    def told(self, event: Mapping[str, Any]) -> str:
        """Return what the bot writes after an event."""
        before = len(self.api.messages)
        answer = self.chat.send(event)
        assert (answer.status, answer.json) == (200, {})
        self.chat.work()
        (message,) = self.api.messages[before:]
        return posted_text(message)

    def said(self, text: str, user: str = FREE) -> str:
        said = self.told(self.message(text, user))
        assert self.api.messages[-1]["receive_id"] == user
        return said


@contextmanager
def running_feishu(emulator: EmulatorProcess, folder: Path, **more: Any) -> Iterator[Feishu]:  # noqa: ANN401  # handed through
    """Give a function with Lark, which speaks English, and an API that takes its answers."""
    api = Api()
    with (
        StandIn(api.respond).serving() as stand_in,
        running_chat(
            emulator,
            folder,
            **{
                "policy": chat_policy("feishu", TENANT, USERS),
                "settings": {**SETTINGS, "KEYPAIR_FEISHU_ORIGIN": "https://open.larksuite.com"},
                "instead": {"https://open.larksuite.com": stand_in.url},
                **more,
            },
        ) as chat,
    ):
        yield Feishu(chat, stand_in, api)
