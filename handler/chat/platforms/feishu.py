"""Feishu, called Lark outside China: messages to the bot of a custom app.

https://open.feishu.cn/document/event-subscription-guide/event-subscriptions/event-subscription-configure-/
(signature, encryption, challenge), .../im-v1/message/events/receive and .../im-v1/message/create
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Annotated, Literal, TypeGuard, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from handler.auth.time_window import SIGNATURE_WINDOW
from handler.chat.platforms.access_token import AccessToken
from handler.chat.platforms.base import Block, ImmediateResponse, Locale, Message
from handler.chat.platforms.platform_settings import PlatformSecret, require_settings
from handler.errors import MalformedRequest, PlatformRefused, PlatformUnavailable, Unauthenticated
from handler.http.messages import json_response, require_json
from handler.http.strict_json import parse_json_object
from handler.settings import environment_config
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.chat.platforms.base import Reply
    from handler.chat.platforms.registry import PlatformContext
    from handler.http.fetch import HttpResponse
    from handler.http.messages import Request, Response
    from handler.http.strict_json import Json
    from handler.scf.invocation import Deadline

FEISHU = "https://open.feishu.cn"
"""Where replies go unless `KEYPAIR_FEISHU_ORIGIN` selects Lark."""
CONTENT_LIMIT = 29 * 1024
"""Bytes of `content` in a message of type `post`. The whole request may have 30 KB."""

_TOKEN_PATH = "/open-apis/auth/v3/tenant_access_token/internal"  # noqa: S105  # a path
_SEND_PATH = "/open-apis/im/v1/messages?receive_id_type=open_id"
_UUID_LENGTH = 50
# https://open.feishu.cn/document/server-docs/api-call-guide/frequency-control documents 400 or 429 with the
# first code; the second limits messages to one user or chat (.../im-v1/message/create).
_BUSY = {99991400, 230020}

# A fixed length: nothing separates timestamp and nonce under the signature, so digits could move across.
_TIMESTAMP = re.compile(r"[1-9][0-9]{9}")
_NONCE = re.compile(r"[\x21-\x7e]{1,128}")
_MENTION = re.compile(r"@_(?:user_[0-9]+|all)")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")

_TenantKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Part(BaseModel):
    """The fields that are used. Feishu sends more, and adds new ones."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)


class _Challenge(_Part):
    type: Literal["url_verification"]
    token: str
    challenge: Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{1,512}$")]


class _Header(_Part):
    event_type: Literal["im.message.receive_v1"]
    token: str
    app_id: str


class _SenderId(_Part):
    # Unlike `user_id`, it needs no permission and no administrator can reassign it.
    open_id: Annotated[str, StringConstraints(pattern=r"^ou_[A-Za-z0-9_-]{1,61}$")]


class _Sender(_Part):
    sender_id: _SenderId
    sender_type: Literal["user"]
    tenant_key: _TenantKey


class _Written(_Part):
    # Feishu's documentation says to recognise repeated events by this id; `event_id` may differ.
    message_id: Annotated[str, StringConstraints(pattern=r"^om_[A-Za-z0-9_-]{1,125}$")]
    chat_type: str
    message_type: str
    content: str


class _Event(_Part):
    sender: _Sender
    message: _Written


class _Push(_Part):
    version: Literal["2.0"] = Field(alias="schema")
    header: _Header
    event: _Event


class _Answered(_Part):
    code: int


class _Success(_Answered):
    code: Literal[0]


class _TokenResponse(_Success):
    tenant_access_token: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,2048}$")] = Field(
        repr=False
    )
    expire: int


_Response = TypeVar("_Response", bound=_Success)


class FeishuSettings(BaseModel):
    """The environment variables of this platform."""

    model_config = environment_config("KEYPAIR_FEISHU_")

    encrypt_key: PlatformSecret = Field(
        repr=False, description="the Encrypt Key of the Feishu app, or nothing"
    )
    verification_token: PlatformSecret = Field(
        repr=False, description="the Verification Token of the Feishu app, or nothing"
    )
    app_id: Annotated[str, StringConstraints(pattern=r"^cli_[a-z0-9]{1,64}$")] = Field(
        description="the App ID of the Feishu app (cli_…), or nothing"
    )
    app_secret: PlatformSecret = Field(repr=False, description="the App Secret of the Feishu app, or nothing")
    origin: Literal["https://open.feishu.cn", "https://open.larksuite.com"] = Field(
        default="https://open.feishu.cn",
        description="https://open.feishu.cn, or https://open.larksuite.com for Lark",
    )


def configured(variables: Mapping[str, str], context: PlatformContext) -> Feishu:
    """Return the platform; raise SettingsInvalid."""
    settings = require_settings(FeishuSettings, variables)
    return Feishu(settings, context, AccessToken(context.clock))


@dataclass(frozen=True)
class Feishu:
    """See `handler.chat.platforms.base.Platform`."""

    settings: FeishuSettings
    context: PlatformContext
    access_token: AccessToken

    name = "feishu"
    methods = ("POST",)

    def parse_webhook(self, request: Request) -> Message | ImmediateResponse:
        """Return the message, or the response to a challenge."""
        if "x-lark-signature" not in request.headers:
            return self._challenged(request.unverified_body)
        self._verify(request)
        require_json(request)
        said = self._opened(request.unverified_body)
        try:
            push = _Push.model_validate(said)
        except ValidationError:
            raise MalformedRequest("feishu-event") from None
        if not _same(push.header.token, self.settings.verification_token):
            raise Unauthenticated("feishu-token")
        if push.header.app_id != self.settings.app_id:
            raise Unauthenticated("feishu-app")
        return self._message(push.event)

    def _challenged(self, unverified_body: bytes) -> ImmediateResponse:
        """Answer the only request that Feishu does not sign, by which it checks a new address.

        SECURITY BOUNDARY: anybody can send this. The response only repeats the request's own text, and every
        error looks the same from outside. If a caller could distinguish bad padding from other errors, they
        could decrypt messages by asking often enough (CWE-649).
        """
        try:
            challenge = _Challenge.model_validate(self._opened(unverified_body))
        except (MalformedRequest, ValidationError):
            raise Unauthenticated("feishu-unsigned") from None
        if not _same(challenge.token, self.settings.verification_token):
            raise Unauthenticated("feishu-unsigned")
        return ImmediateResponse(json_response(200, {"challenge": challenge.challenge}))

    def _verify(self, request: Request) -> None:
        timestamp = request.headers.get("x-lark-request-timestamp", "")
        nonce = request.headers.get("x-lark-request-nonce", "")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise Unauthenticated("feishu-timestamp")
        if not SIGNATURE_WINDOW.contains(int(timestamp), self.context.clock.now()):
            raise Unauthenticated("feishu-time")
        if not _NONCE.fullmatch(nonce):
            raise Unauthenticated("feishu-nonce")
        signed = f"{timestamp}{nonce}{self.settings.encrypt_key}".encode() + request.unverified_body
        own = hashlib.sha256(signed).hexdigest()
        if not _same(request.headers["x-lark-signature"], own):
            raise Unauthenticated("feishu-signature")
        # The secret comes before the body under SHA-256, so others can append to the body (length extension).
        # What they append begins with the byte 0x80, which is not JSON after a brace; and the nonce is used.
        self.context.nonces.burn(self.name, nonce, use=own, ttl=SIGNATURE_WINDOW.nonce_ttl)

    def _opened(self, body: bytes) -> Mapping[str, Json]:
        said = parse_json_object(body)
        encrypted = said.get("encrypt")
        return (
            parse_json_object(decrypt(self.settings.encrypt_key, encrypted))
            if isinstance(encrypted, str)
            else said
        )

    def _message(self, event: _Event) -> Message:
        written = event.message
        text = _text(written.message_type, written.content)
        return Message(
            platform=self.name,
            # The sender's tenant: groups may contain people of other companies.
            tenant=event.sender.tenant_key,
            user=event.sender.sender_id.open_id,
            event_id=written.message_id,
            text=text,
            # Events do not contain the user's language, but Lark serves users outside China.
            locale=Locale.ZH if self.settings.origin == FEISHU or _CHINESE.search(text) else Locale.EN,
            reply_to=event.sender.sender_id.open_id,
            is_direct=written.chat_type == "p2p",
        )

    def acknowledge(self, message: Message) -> Response:
        """Return an empty response: Feishu does not show responses to users."""
        del message
        return json_response(200, {})

    def respond(self, message: Message, reply: Reply) -> None:
        """Return None: replies are separate messages."""

    def fits(self, reply: Reply) -> bool:
        """Return whether Feishu accepts `reply` as one message."""
        # The request is ASCII JSON, with six bytes for each Chinese character.
        return len(json.dumps(_content(reply, Locale.ZH))) <= CONTENT_LIMIT

    def deliver(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        """Send `reply` to the author directly, even if the message came from a group."""
        payload = {
            "receive_id": message.reply_to,
            "msg_type": "post",
            "content": _content(reply, message.locale),
            # Feishu accepts each uuid once in an hour, so a lost response causes no duplicate.
            "uuid": hashlib.sha256(f"{message.event_id} {reply.has_key_pair}".encode()).hexdigest()[
                :_UUID_LENGTH
            ],
        }
        if not self._send(payload, deadline):
            # The token may have been revoked, for example by a new secret. Try again with a fresh one.
            self.access_token.drop()
            if not self._send(payload, deadline):
                raise PlatformRefused("feishu-refused")

    def _granted(self, deadline: Deadline) -> tuple[str, int]:
        secret = {"app_id": self.settings.app_id, "app_secret": self.settings.app_secret}
        granted = _accepted(
            self.context.http.post_json(self.settings.origin, _TOKEN_PATH, secret, deadline), _TokenResponse
        )
        if granted is None:
            raise PlatformRefused("feishu-token-refused")
        return granted.tenant_access_token, granted.expire

    def _send(self, payload: Mapping[str, str], deadline: Deadline) -> bool:
        token = self.access_token.get(lambda: self._granted(deadline))
        headers = {"Authorization": f"Bearer {token}"}
        answer = self.context.http.post_json(
            self.settings.origin, _SEND_PATH, payload, deadline, headers=headers
        )
        return _accepted(answer, _Success) is not None


def decrypt(encrypt_key: str, encrypted: str) -> bytes:
    """Decrypt the member `encrypt`: Base64 of an initialisation vector and AES-256-CBC.

    Raises MalformedRequest.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES256
    from cryptography.hazmat.primitives.ciphers.modes import CBC
    from cryptography.hazmat.primitives.padding import PKCS7

    block = AES256.block_size // 8
    try:
        raw = base64.b64decode(encrypted, validate=True)
        key = AES256(hashlib.sha256(encrypt_key.encode()).digest())
        decryptor = Cipher(key, CBC(raw[:block])).decryptor()
        unpadder = PKCS7(AES256.block_size).unpadder()
        padded = decryptor.update(raw[block:]) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:  # invalid Base64, incomplete blocks or wrong padding
        raise MalformedRequest("feishu-encrypt") from None


def _text(message_type: str, content: str) -> str:
    """Return the text of a message; empty for pictures, files and the like."""
    if message_type not in ("text", "post"):
        return ""
    # JSON within JSON. A lone surrogate is refused here as well.
    said = parse_json_object(content.encode("utf-8", "surrogatepass"))
    text = _text_of_post(said) if message_type == "post" else said.get("text")
    if not isinstance(text, str):
        raise MalformedRequest("feishu-content")
    return _MENTION.sub(" ", text).strip()


def _text_of_post(post: Mapping[str, Json]) -> str | None:
    """Return the text of rich text, which Feishu makes of what people paste with formatting.

    https://open.feishu.cn/document/server-docs/im-v1/message-content-description/message_content: it has
    paragraphs of elements. Those without text, such as pictures and mentions, are left out.
    """
    title, paragraphs = post.get("title"), post.get("content")
    if not isinstance(paragraphs, list):
        return None
    lines = [title] if isinstance(title, str) and title else []
    for paragraph in paragraphs:
        elements = paragraph if isinstance(paragraph, list) else []
        texts = [element.get("text") for element in elements if _has_text(element)]
        lines.append("".join(text for text in texts if isinstance(text, str)))
    return "\n".join(lines)


def _has_text(element: Json) -> TypeGuard[dict[str, Json]]:
    return isinstance(element, dict) and element.get("tag") in ("text", "a", "code_block", "md")


def _content(reply: Reply, locale: Locale) -> str:
    """Return `reply` as rich text. Feishu reads no markup in it and shows blocks unchanged."""
    paragraphs: list[list[Mapping[str, str]]] = []
    for part in reply.parts:
        if isinstance(part, Block):
            paragraphs.append([{"tag": "code_block", "text": part.text}])
        else:
            paragraphs += [[{"tag": "text", "text": line}] for line in part.replace("`", '"').split("\n")]
    language = "zh_cn" if locale is Locale.ZH else "en_us"
    return json.dumps({language: {"content": paragraphs}}, ensure_ascii=False)


def _accepted(answer: HttpResponse, form: type[_Response]) -> _Response | None:
    """Return Feishu's response if it accepted the request, else None. Refusals may have status 200 too.

    Raises PlatformUnavailable if there were too many requests.
    """
    try:
        if _Answered.model_validate_json(answer.body).code in _BUSY:
            raise PlatformUnavailable("feishu-busy")
        return form.model_validate_json(answer.body) if answer.ok else None
    except ValidationError:
        return None


def _same(given: str, own: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), own.encode())
