"""WeCom: messages to a self-built app (自建应用) of the company's own.

https://developer.work.weixin.qq.com/document/path/90238 and 90239 (messages), 91039 (access token) and 90236
(answers); 96466 and 96467 say of 90238 and 90239 the same for apps that somebody else has built.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handler.chat.platforms.base import PlatformContext, Reply
    from handler.http.fetch import HttpResponse
    from handler.http.messages import Request, Response
    from handler.scf.invocation import Deadline

CONTENT_LIMIT = 2048
"""Bytes of text in one message; WeCom cuts what is longer (90236)."""

_TOKEN_PATH = "/cgi-bin/gettoken?"  # noqa: S105  # a path
_SEND_PATH = "/cgi-bin/message/send?"
# 90313: of a wrong, an invalid and an expired token, which WeCom may end early (91039).
_TOKEN_ENDED = {40001, 40014, 42001}
_OTHER_ADDRESS = 60020
"""The function's address is not among those that WeCom is told to trust (90313)."""
_DUPLICATE_INTERVAL = 1800
"""Seconds for which WeCom takes an equal request once; also how long an answer is tried to be given."""
_LINE = 500
"""Characters; as many as four bytes each fit into a message."""

# SECURITY BOUNDARY: anybody can send a body, so no parser reads it. The letters that are taken out of it are
# signed. What stands around them (90930: receiver and app) is not, and is in the ciphertext as well.
_ENCRYPT = re.compile(rb"<Encrypt><!\[CDATA\[([A-Za-z0-9+/=]*)\]\]></Encrypt>")


class _Part(BaseModel):
    """What counts; WeCom sends more, and adds some now and then."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)


class _Fields(_Part):
    corp_id: str = Field(alias="ToUserName")
    agent_id: str = Field(alias="AgentID")
    # SECURITY BOUNDARY: it is written to whom this names; `@all` or `a|b` (90236) would be others as well.
    user_id: UserId = Field(alias="FromUserName")
    message_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}$")] = Field(alias="MsgId")
    content: str = Field(alias="Content")


class _Said(_Part):
    """An answer of the API: `errcode` is 0 where it has done what it was asked for."""

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
        """Return what somebody wrote to the app; events, pictures and the like are let pass."""
        if request.method == "GET":
            return self.callbacks.echo(request.query)
        encrypted = _ENCRYPT.findall(request.unverified_body)
        if len(encrypted) != 1:
            raise Unauthenticated("wecomapp-body")
        elements = _elements(self.callbacks.opened("POST", request.query, encrypted[0].decode()))
        if elements.get("MsgType") != "text":
            return ImmediateResponse(plain_text(""))
        try:
            fields = _Fields.model_validate(elements)
        except ValidationError:
            raise MalformedRequest("wecomapp-fields") from None
        # Another app of the company may have been given the same Token and EncodingAESKey.
        if (fields.corp_id, fields.agent_id) != (self.settings.corp_id, self.settings.agent_id):
            raise Unauthenticated("wecomapp-app")
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
        """Say nothing, and so keep WeCom from sending the message again, three times, every five seconds."""
        del message
        return plain_text("")

    def respond(self, message: Message, reply: Reply) -> None:
        """Return None: it takes a message of its own."""

    def fits(self, reply: Reply) -> bool:
        """Tell whether `reply` can be told in messages of which none is cut."""
        return all(_fits(text) for text in _texts(reply))

    def deliver(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        """Write to the user, in as many messages as it takes.

        Of a key pair's messages WeCom shows equal ones once in half an hour, by `enable_duplicate_check`
        (90236): neither a lost answer nor one that fails in the middle doubles any. What gives no key pair
        is said again: whoever asks for help twice wants it twice.
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
            said = self._sent(payload, deadline)
            if said.errcode in _TOKEN_ENDED:
                self.access_token.drop()
                said = self._sent(payload, deadline)
            if said.errcode == _OTHER_ADDRESS:
                raise PlatformRefused("wecomapp-address")
            if said.errcode != 0 or said.invaliduser or said.unlicenseduser:
                raise PlatformRefused("wecomapp-refused")

    def _sent(self, payload: Mapping[str, object], deadline: Deadline) -> _Said:
        # The API knows no other place for the token. No part of this module says where it has posted.
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
    """Return name -> text of what is in `xml`; raise MalformedRequest.

    WeCom is proven to have sent it, but what somebody wrote is a part of it: a name that stands there twice
    could be theirs. It has to begin with its root, before which a document type would be to declare entities.
    """
    if not xml.startswith(b"<xml>"):
        raise MalformedRequest("wecomapp-xml")
    try:
        root = ET.fromstring(xml.decode())  # noqa: S314  # proven, and without a document type
    except (UnicodeDecodeError, ET.ParseError):
        raise MalformedRequest("wecomapp-xml") from None
    elements = {child.tag: child.text or "" for child in root}
    if len(elements) != len(root):
        raise MalformedRequest("wecomapp-twice")
    return elements


def _said(answer: HttpResponse) -> _Said:
    """Return what the API says.

    Raises PlatformUnavailable where it is busy, and PlatformRefused for what is no answer of the API.
    """
    try:
        said = _Said.model_validate_json(answer.body)
    except ValidationError:
        raise PlatformRefused("wecomapp-refused") from None
    if said.errcode in BUSY:
        raise PlatformUnavailable("wecomapp-busy")
    if answer.status != 200:  # noqa: PLR2004  # HTTP
        raise PlatformRefused("wecomapp-refused")
    return said


def _fits(text: str) -> bool:
    return len(text.encode()) <= CONTENT_LIMIT


def _texts(reply: Reply) -> list[str]:
    """Return `reply` as few messages, in plain text: the app's Markdown knows no blocks of several lines.

    No block is broken, so that one that does not fit stands in a message that does not.
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
            # Fingerprints of many recipients make a line that is longer than a message.
            yield from (
                piece
                for line in part.replace("`", '"').split("\n")
                for piece in textwrap.wrap(line, _LINE, break_on_hyphens=False)
            )
