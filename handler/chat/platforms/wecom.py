"""WeCom: AI bots in API mode with a callback address.

https://developer.work.weixin.qq.com/document/path/100719 (messages), 101031 and 101138 (answers)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from handler.chat import messages
from handler.chat.platforms.base import Block, ImmediateResponse, Message
from handler.chat.platforms.platform_settings import PlatformSecret, require_settings
from handler.chat.platforms.wecom_callbacks import (
    BUSY,
    ORIGIN,
    Callbacks,
    EncodingAesKey,
    Envelopes,
    UserId,
    locale_of,
    plain_text,
)
from handler.errors import MalformedRequest, PlatformRefused, PlatformUnavailable, Unauthenticated
from handler.http.messages import json_response
from handler.http.strict_json import parse_json_object
from handler.settings import environment_config
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.chat.http_client import HttpClient
    from handler.chat.platforms.base import Reply
    from handler.chat.platforms.registry import PlatformContext
    from handler.http.messages import Request, Response
    from handler.scf.invocation import Deadline

CONTENT_LIMIT = 20480
"""Bytes of Markdown in one message."""

_NOT_WRITTEN = {"event", "stream"}


class _Part(BaseModel):
    """The fields that are used. WeCom sends more, and adds new ones."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class _From(_Part):
    userid: UserId


class _Text(_Part):
    content: str


class _Fields(_Part):
    msgid: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/=_-]{1,128}$")]
    aibotid: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    chattype: Literal["single", "group"]
    sender: _From = Field(alias="from")
    # SECURITY BOUNDARY: replies go to this address. It is signed, but it must still lead to WeCom.
    response_url: Annotated[
        str,
        StringConstraints(
            pattern=r"^https://qyapi\.weixin\.qq\.com/cgi-bin/aibot/response\?response_code=[A-Za-z0-9._~%+/=-]{1,1024}$"
        ),
    ]
    text: _Text | None = None
    """None for pictures, files and the like."""


class WeComSettings(BaseModel):
    """The environment variables of this platform."""

    model_config = environment_config("KEYPAIR_WECOM_")

    token: PlatformSecret = Field(repr=False, description="the Token of the WeCom AI bot, or nothing")
    aes_key: EncodingAesKey = Field(
        repr=False, description="the EncodingAESKey of the WeCom AI bot (43 characters), or nothing"
    )


def configured(variables: Mapping[str, str], context: PlatformContext) -> WeCom:
    """Return the platform; raise SettingsInvalid."""
    settings = require_settings(WeComSettings, variables)
    # 101033: for an AI bot of the company's own, the receive id at the end of a plaintext is empty.
    envelopes = Envelopes.of(settings.token, settings.aes_key, "")
    return WeCom(Callbacks(WeCom.name, envelopes, context.nonces, context.clock), context.http)


@dataclass(frozen=True)
class WeCom:
    """See `handler.chat.platforms.base.Platform`."""

    callbacks: Callbacks
    http: HttpClient

    name = "wecom"
    methods = ("GET", "POST")

    def parse_webhook(self, request: Request) -> Message | ImmediateResponse:
        """Return the message, or the response to a check of the address."""
        if request.method == "GET":
            return self.callbacks.echo(request.query)
        encrypted = _encrypted(request.unverified_body)
        message = parse_json_object(self.callbacks.verify_and_decrypt("POST", request.query, encrypted))
        if message.get("msgtype") in _NOT_WRITTEN:
            return ImmediateResponse(plain_text(""))
        try:
            fields = _Fields.model_validate(message)
        except ValidationError:
            raise MalformedRequest("wecom-fields") from None
        text = fields.text.content if fields.text else ""
        return Message(
            platform=self.name,
            tenant=fields.aibotid,
            user=fields.sender.userid,
            event_id=fields.msgid,
            text=text,
            locale=locale_of(text),
            # 101033: the response repeats the nonce of the request.
            reply_to=f"{request.query['nonce']} {fields.response_url.removeprefix(ORIGIN)}",
            is_direct=fields.chattype == "single",
        )

    def acknowledge(self, message: Message) -> Response:
        """Say that the command is being processed."""
        return self.respond(message, messages.working(message.locale))

    def respond(self, message: Message, reply: Reply) -> Response:
        """Return `reply` as a finished stream (101031), the only kind of response that carries text."""
        stream = {"id": message.event_id, "finish": True, "content": _rendered(reply)}
        said = json_response(200, {"msgtype": "stream", "stream": stream})
        envelopes = self.callbacks.envelopes
        encrypted = envelopes.seal(said.body.encode())
        timestamp, nonce = int(self.callbacks.clock.now()), message.reply_to.partition(" ")[0]
        signature = envelopes.signature(str(timestamp), nonce, encrypted)
        return json_response(
            200, {"encrypt": encrypted, "msgsignature": signature, "timestamp": timestamp, "nonce": nonce}
        )

    def fits(self, reply: Reply) -> bool:
        """Return whether `reply` fits into one message."""
        return len(_rendered(reply).encode()) <= CONTENT_LIMIT

    def deliver(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        """Post `reply` to the message's `response_url`, which accepts one post within an hour (101138)."""
        path = message.reply_to.partition(" ")[2]
        payload = {"msgtype": "markdown", "markdown": {"content": _rendered(reply)}}
        answer = self.http.post_json(ORIGIN, path, payload, deadline)
        errcode = _errcode(answer.body)
        if errcode in BUSY:
            raise PlatformUnavailable("wecom-busy")
        if not answer.ok or errcode != 0:
            raise PlatformRefused("wecom-refused")


def _encrypted(body: bytes) -> str:
    # Not authenticated yet: the signature covers the member `encrypt`, not the object around it.
    try:
        encrypted = parse_json_object(body).get("encrypt")
    except MalformedRequest:
        raise Unauthenticated("wecom-body") from None
    if not isinstance(encrypted, str):
        raise Unauthenticated("wecom-body")
    return encrypted


def _errcode(body: bytes) -> object:
    # Refusals have status 200.
    try:
        return parse_json_object(body).get("errcode")
    except MalformedRequest:
        return None


def _rendered(reply: Reply) -> str:
    return "\n".join(f"```\n{part.text}\n```" if isinstance(part, Block) else part for part in reply.parts)
