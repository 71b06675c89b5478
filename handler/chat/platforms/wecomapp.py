"""WeCom: messages to a self-built app (自建应用).

https://developer.work.weixin.qq.com/document/path/90238 and 90239 (messages), 91039 (access token) and 90236
(replies). 96466 and 96467 are the counterparts of 90238 and 90239 for third-party apps.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from handler.auth.time_window import SIGNATURE_WINDOW
from handler.chat.platforms.access_token import AccessToken
from handler.chat.platforms.base import Block, ImmediateResponse, Message
from handler.chat.platforms.platform_settings import require_settings
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
from handler.settings import environment_config
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handler.chat.platforms.base import Reply
    from handler.chat.platforms.registry import PlatformContext
    from handler.http.fetch import HttpResponse
    from handler.http.messages import Request, Response
    from handler.scf.invocation import Deadline

CONTENT_LIMIT = 2048
"""Bytes of text in one message. WeCom truncates longer texts (90236)."""

_TOKEN_PATH = "/cgi-bin/gettoken?"  # noqa: S105  # a path
_SEND_PATH = "/cgi-bin/message/send?"
# 90313: a wrong, an invalid and an expired token. WeCom may revoke tokens early (91039).
_TOKEN_REJECTED = {40001, 40014, 42001}
_UNTRUSTED_ADDRESS = 60020
"""The function's address is not on the list of trusted addresses (90313)."""
_DUPLICATE_INTERVAL = 1800
"""Seconds in which WeCom accepts an equal request once. Delivery is tried for the same time."""
_LINE = 500
"""Characters. Even with four bytes each, they fit into a message."""

# SECURITY BOUNDARY: anybody can send a body, so no XML parser reads it. The extracted text is signed. The
# receiver and app around it (90930) are not, but the ciphertext contains them as well.
_ENCRYPT = re.compile(rb"<Encrypt><!\[CDATA\[([A-Za-z0-9+/=]*)\]\]></Encrypt>")


class _Part(BaseModel):
    """The fields that are used. WeCom sends more, and adds new ones."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)


class _Fields(_Part):
    corp_id: str = Field(alias="ToUserName")
    agent_id: str = Field(alias="AgentID")
    # SECURITY BOUNDARY: replies go to this user; `@all` or `a|b` (90236) would reach others as well.
    user_id: UserId = Field(alias="FromUserName")
    message_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}$")] = Field(alias="MsgId")
    created_at: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,11}$")] = Field(alias="CreateTime")
    content: str = Field(alias="Content")


class _ApiResponse(_Part):
    """A response of the API. `errcode` is 0 on success."""

    errcode: int
    access_token: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,512}$")] | None = Field(
        default=None, repr=False
    )
    expires_in: int = 0
    invaliduser: str = ""
    unlicenseduser: str = ""


class WeComAppSettings(BaseModel):
    """The environment variables of this platform."""

    model_config = environment_config("KEYPAIR_WECOMAPP_")

    token: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,32}$")] = Field(
        repr=False, description="the Token of the WeCom app (letters and digits), or nothing"
    )
    aes_key: EncodingAesKey = Field(
        repr=False, description="the EncodingAESKey of the WeCom app (43 characters), or nothing"
    )
    corp_id: Annotated[str, StringConstraints(pattern=r"^w[wx][0-9a-z]{1,62}$")] = Field(
        description="the CorpID of the company of the WeCom app (ww…), or nothing"
    )
    agent_id: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,9}$")] = Field(
        description="the AgentId of the WeCom app (digits), or nothing"
    )
    secret: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,128}$")] = Field(
        repr=False, description="the Secret of the WeCom app, or nothing"
    )


def configured(variables: Mapping[str, str], context: PlatformContext) -> WeComApp:
    """Return the platform; raise SettingsInvalid."""
    settings = require_settings(WeComAppSettings, variables)
    envelopes = Envelopes.of(settings.token, settings.aes_key, settings.corp_id)
    callbacks = Callbacks(WeComApp.name, envelopes, context.nonces, context.clock)
    return WeComApp(settings, callbacks, context, AccessToken(context.clock))


@dataclass(frozen=True)
class WeComApp:
    """See `handler.chat.platforms.base.Platform`."""

    settings: WeComAppSettings
    callbacks: Callbacks
    context: PlatformContext
    access_token: AccessToken

    name = "wecomapp"
    methods = ("GET", "POST")

    def parse_webhook(self, request: Request) -> Message | ImmediateResponse:
        """Return the message. Events, pictures and the like are acknowledged and ignored."""
        if request.method == "GET":
            return self.callbacks.echo(request.query)
        encrypted = _ENCRYPT.findall(request.unverified_body)
        if len(encrypted) != 1:
            raise Unauthenticated("wecomapp-body")
        elements = _elements(self.callbacks.verify_and_decrypt("POST", request.query, encrypted[0].decode()))
        if elements.get("MsgType") != "text":
            return ImmediateResponse(plain_text(""))
        try:
            fields = _Fields.model_validate(elements)
        except ValidationError:
            raise MalformedRequest("wecomapp-fields") from None
        # Another app of the company may use the same Token and EncodingAESKey.
        if (fields.corp_id, fields.agent_id) != (self.settings.corp_id, self.settings.agent_id):
            raise Unauthenticated("wecomapp-app")
        # SECURITY BOUNDARY: the time in the query can be another part of what was signed; this one cannot.
        if not SIGNATURE_WINDOW.contains(int(fields.created_at), self.context.clock.now()):
            raise Unauthenticated("wecomapp-time")
        return Message(
            platform=self.name,
            tenant=fields.corp_id,
            user=fields.user_id,
            event_id=fields.message_id,
            text=fields.content,
            locale=locale_of(fields.content),
            reply_to=fields.user_id,
        )

    def acknowledge(self, message: Message) -> Response:
        """Return an empty response. Without it WeCom repeats the message three times, every five seconds."""
        del message
        return plain_text("")

    def respond(self, message: Message, reply: Reply) -> None:
        """Return None: replies are separate messages."""

    def fits(self, reply: Reply) -> bool:
        """Return whether `reply` can be sent in messages that WeCom does not truncate."""
        return all(_fits(text) for text in _texts(reply))

    def deliver(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        """Send `reply` to the author, in as many messages as needed.

        For a key pair, `enable_duplicate_check` (90236) makes WeCom show equal messages once in half an hour,
        so a lost response or a failure halfway causes no duplicates. Other replies may repeat: a user who
        asks for help twice gets it twice.
        """
        for text in _texts(reply):
            payload = {
                "touser": message.reply_to,
                "msgtype": "text",
                "agentid": int(self.settings.agent_id),
                "text": {"content": text},
                "safe": 0,
                "enable_duplicate_check": int(reply.has_key_pair),
                "duplicate_check_interval": _DUPLICATE_INTERVAL,
            }
            said = self._send(payload, deadline)
            if said.errcode in _TOKEN_REJECTED:
                self.access_token.drop()
                said = self._send(payload, deadline)
            if said.errcode == _UNTRUSTED_ADDRESS:
                raise PlatformRefused("wecomapp-address")
            if said.errcode != 0 or said.invaliduser or said.unlicenseduser:
                raise PlatformRefused("wecomapp-refused")

    def _send(self, payload: Mapping[str, object], deadline: Deadline) -> _ApiResponse:
        # The API accepts the token only in the query, so no log or error of this module contains the path.
        token = self.access_token.get(lambda: self._granted(deadline))
        path = _SEND_PATH + urlencode({"access_token": token})
        return _said(self.context.http.post_json(ORIGIN, path, payload, deadline))

    def _granted(self, deadline: Deadline) -> tuple[str, int]:
        path = _TOKEN_PATH + urlencode({"corpid": self.settings.corp_id, "corpsecret": self.settings.secret})
        said = _said(self.context.http.get(ORIGIN, path, deadline))
        if said.errcode != 0 or said.access_token is None:
            raise PlatformRefused("wecomapp-token-refused")
        return said.access_token, said.expires_in


def _elements(xml: bytes) -> Mapping[str, str]:
    """Return the elements of `xml`, name to text; raise MalformedRequest.

    WeCom is known to have sent it, but it contains user text, so a repeated element could come from the user.
    It must begin with the root element: a document type, which could declare entities, would come before.
    """
    if not xml.startswith(b"<xml>"):
        raise MalformedRequest("wecomapp-xml")
    try:
        root = ET.fromstring(xml.decode())  # noqa: S314  # authenticated, and without a document type
    except (UnicodeDecodeError, ET.ParseError):
        raise MalformedRequest("wecomapp-xml") from None
    elements = {child.tag: child.text or "" for child in root}
    if len(elements) != len(root):
        raise MalformedRequest("wecomapp-twice")
    return elements


def _said(answer: HttpResponse) -> _ApiResponse:
    """Return the API's response.

    Raises PlatformUnavailable if the API is busy, and PlatformRefused for an unexpected response.
    """
    try:
        said = _ApiResponse.model_validate_json(answer.body)
    except ValidationError:
        raise PlatformRefused("wecomapp-refused") from None
    if said.errcode in BUSY:
        raise PlatformUnavailable("wecomapp-busy")
    if not answer.ok:
        raise PlatformRefused("wecomapp-refused")
    return said


def _fits(text: str) -> bool:
    return len(text.encode()) <= CONTENT_LIMIT


def _texts(reply: Reply) -> list[str]:
    """Return `reply` in as few messages as possible, as plain text: the app's Markdown has no code blocks.

    Blocks are never split, so a block that does not fit makes a message that does not fit.
    """
    texts: list[str] = []
    for piece in _pieces(reply):
        if texts and _fits(joined := f"{texts[-1]}\n{piece}"):
            texts[-1] = joined
        else:
            texts.append(piece)
    return texts


def _pieces(reply: Reply) -> Iterator[str]:
    for part in reply.parts:
        if isinstance(part, Block):
            yield part.text
        else:
            # The fingerprints of many recipients can be longer than a message.
            yield from (
                piece
                for line in part.replace("`", '"').split("\n")
                for piece in textwrap.wrap(line, _LINE, break_on_hyphens=False)
            )
