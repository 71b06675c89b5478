"""DingTalk: an internal robot that receives messages over HTTP.

https://open.dingtalk.com/document/orgapp/receive-message and
https://open.dingtalk.com/document/orgapp/robot-reply-and-send-messages

SECURITY BOUNDARY: DingTalk signs only the time: neither the body nor the author. Anybody who obtains the two
headers of one request can say anything in anybody's name. These rules limit the damage:

- one pair of headers is valid for one body, for five minutes (DingTalk allows an hour);
- no recipient is taken from the text (`text_authenticated=False`): a key pair is sealed to the keys that the
  policy registers for its caller, so a forger gets at most ciphertext that somebody else can open;
- replies go only to DingTalk;
- without KEYPAIR_DINGTALK_APP_SECRET there is no endpoint.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from handler.auth.time_window import SIGNATURE_WINDOW
from handler.chat import messages
from handler.chat.platforms.base import Locale, Message
from handler.chat.platforms.platform_settings import PlatformSecret, require_settings
from handler.errors import MalformedRequest, PlatformRefused, PlatformUnavailable, Unauthenticated
from handler.http.messages import json_response, require_json
from handler.http.strict_json import parse_json_object
from handler.settings import environment_config
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.auth.nonces import Nonces
    from handler.chat.http_client import HttpClient
    from handler.chat.platforms.base import Reply
    from handler.chat.platforms.registry import PlatformContext
    from handler.http.messages import Request, Response
    from handler.scf.invocation import Clock, Deadline

ORIGIN = "https://oapi.dingtalk.com"
"""The only origin that a `sessionWebhook` may have."""
MESSAGE_LIMIT = 20_000
"""Bytes of a message, including its JSON."""
MIN_SESSION_SECONDS = 60
"""How long a `sessionWebhook` must still be valid, because a reply may take that long."""

# Temporary errors: system busy, and more than 20 messages in a minute.
_BUSY = {-1, 130101}
_TIMESTAMP = re.compile(r"[0-9]{1,14}")

# The company's administrator chooses userids: https://open.dingtalk.com/document/orgapp/user-information-creation
_Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.@-]{1,64}$")]


class _Text(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)

    content: str


class _Fields(BaseModel):
    """The members of a message that are used. DingTalk sends more."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", strict=True, hide_input_in_errors=True, alias_generator=to_camel
    )

    sender_corp_id: _Id
    sender_staff_id: _Id
    conversation_type: Literal["1", "2"]
    """1: direct chat, 2: group."""
    msg_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/=_-]{1,128}$")]
    # SECURITY BOUNDARY: replies go to this address, and no signature covers it.
    session_webhook: Annotated[
        str,
        StringConstraints(
            pattern=r"^https://oapi\.dingtalk\.com/robot/sendBySession\?session=[A-Za-z0-9_-]{1,256}$"
        ),
    ]
    session_webhook_expired_time: Annotated[int, Field(ge=0, lt=10**14)]
    """Milliseconds since 1970."""
    text: _Text | None = None
    """None for pictures, files and the like."""


class _Answer(BaseModel):
    """The response to a post. 0 means accepted; refusals have HTTP status 200 too."""

    errcode: int


class DingTalkSettings(BaseModel):
    """The environment variables of this platform."""

    model_config = environment_config("KEYPAIR_DINGTALK_")

    app_secret: PlatformSecret = Field(
        repr=False, description="the Client Secret (AppSecret) of the DingTalk app, or nothing"
    )


def configured(variables: Mapping[str, str], context: PlatformContext) -> DingTalk:
    """Return the platform; raise SettingsInvalid."""
    settings = require_settings(DingTalkSettings, variables)
    return DingTalk(settings.app_secret.encode(), context.http, context.nonces, context.clock)


@dataclass(frozen=True)
class DingTalk:
    """See `handler.chat.platforms.base.Platform`."""

    secret: bytes = field(repr=False)
    http: HttpClient
    nonces: Nonces
    clock: Clock

    name = "dingtalk"
    methods = ("POST",)

    def parse_webhook(self, request: Request) -> Message:
        """Return the message. Only its time is authenticated."""
        self._verify(request)
        require_json(request)
        fields = _fields(request.unverified_body)
        if self._milliseconds() > fields.session_webhook_expired_time - MIN_SESSION_SECONDS * 1000:
            raise MalformedRequest("dingtalk-session-ended")
        path = fields.session_webhook.removeprefix(ORIGIN)
        return Message(
            platform=self.name,
            tenant=fields.sender_corp_id,
            user=fields.sender_staff_id,
            event_id=fields.msg_id,
            text=fields.text.content if fields.text else "",
            # DingTalk does not send the user's language. Its users read Chinese.
            locale=Locale.ZH,
            reply_to=f"{fields.session_webhook_expired_time} {path}",
            is_direct=fields.conversation_type == "1",
            text_authenticated=False,
        )

    def _verify(self, request: Request) -> None:
        timestamp = request.headers.get("timestamp", "")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise Unauthenticated("dingtalk-timestamp")
        if not SIGNATURE_WINDOW.contains(int(timestamp) / 1000, self.clock.now()):
            raise Unauthenticated("dingtalk-time")
        signed = timestamp.encode() + b"\n" + self.secret
        own = base64.b64encode(hmac.digest(self.secret, signed, hashlib.sha256))
        given = request.headers.get("sign", "")
        if not hmac.compare_digest(given.encode(), own):
            raise Unauthenticated("dingtalk-sign")
        # SECURITY BOUNDARY: the headers fit any body. Here they are bound to the first body that uses them.
        body = hashlib.sha256(request.unverified_body).hexdigest()
        self.nonces.burn(self.name, timestamp, given, use=body, ttl=SIGNATURE_WINDOW.nonce_ttl)

    def _milliseconds(self) -> float:
        return self.clock.now() * 1000

    def acknowledge(self, message: Message) -> Response:
        """Say that the command is being processed."""
        return self.respond(message, messages.working(message.locale))

    def respond(self, message: Message, reply: Reply) -> Response:
        """Return `reply` as a message."""
        del message
        return json_response(200, _payload(reply))

    def fits(self, reply: Reply) -> bool:
        """Return whether DingTalk accepts `reply`."""
        return len(json.dumps(_payload(reply))) <= MESSAGE_LIMIT

    def deliver(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        """Post `reply` to the message's `sessionWebhook` while it is valid."""
        ends, path = message.reply_to.split(" ")
        if self._milliseconds() >= int(ends):
            raise PlatformRefused("dingtalk-session-ended")
        answer = self.http.post_json(ORIGIN, path, _payload(reply), deadline)
        try:
            errcode = _Answer.model_validate_json(answer.body).errcode
        except ValidationError:
            raise PlatformRefused("dingtalk-refused") from None
        if errcode in _BUSY:
            raise PlatformUnavailable("dingtalk-busy")
        if not answer.ok or errcode != 0:
            raise PlatformRefused("dingtalk-refused")


def _fields(body: bytes) -> _Fields:
    try:
        return _Fields.model_validate(parse_json_object(body))
    except ValidationError:
        raise MalformedRequest("dingtalk-fields") from None


def _payload(reply: Reply) -> Mapping[str, object]:
    # Not `markdown`: DingTalk's has no code blocks and would join the lines of an envelope.
    texts = (part.replace("`", '"') if isinstance(part, str) else part.text for part in reply.parts)
    return {"msgtype": "text", "text": {"content": "\n\n".join(texts)}}
