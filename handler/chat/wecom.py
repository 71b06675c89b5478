"""WeCom: AI bots in API mode that are called back at an address of ours.

https://developer.work.weixin.qq.com/document/path/100719 (messages), 101031 and 101138 (answers) and
101033 (signatures and encryption)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import unquote

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from handler.chat import words
from handler.chat.platform import Block, Handshake, Locale, Message
from handler.errors import MalformedRequest, PlatformUnavailable, SettingsInvalid, Unauthenticated
from handler.http import Response, json_response, parse_json_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.chat.outgoing import Outgoing
    from handler.chat.platform import Reply, Tools
    from handler.http import Request
    from handler.invocation import Clock, Deadline
    from handler.nonces import Nonces
    from handler.settings import Settings

ORIGIN = "https://qyapi.weixin.qq.com"
"""The one place that a `response_url` may lead to."""
CONTENT_LIMIT = 20480
"""Bytes of Markdown in one message."""
WINDOW = 300
"""Seconds for which a signature is good; WeCom prescribes none."""

_TIMESTAMP = re.compile(r"[0-9]{10}")
# SECURITY BOUNDARY: what is signed is joined without separators, so letters may wander from the ciphertext
# into the nonce under one signature. 64 of them would be whole blocks, and the rest would still decrypt.
_NONCE = re.compile(r"[A-Za-z0-9]{1,32}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_RANDOM = 16
_LENGTH = 4
_PADDED_TO = 32  # bytes, where AES itself would have 16
_NOT_WRITTEN = {"event", "stream"}
# WeCom does not tell the user's language.
_ENGLISH = re.compile(r"\b(?:help|for|in|expires)\b", re.ASCII | re.IGNORECASE)


class _Part(BaseModel):
    """What counts in a message; WeCom sends more, and adds some now and then."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class _From(_Part):
    # https://developer.work.weixin.qq.com/document/path/90195: all that a userid consists of.
    userid: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_@.-]{0,63}$")]


class _Text(_Part):
    content: str


class _Fields(_Part):
    msgid: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/=_-]{1,128}$")]
    aibotid: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    chattype: Literal["single", "group"]
    sender: _From = Field(alias="from")
    # SECURITY BOUNDARY: only WeCom signs, but what is posted here goes wherever this leads.
    response_url: Annotated[
        str,
        StringConstraints(
            pattern=r"^https://qyapi\.weixin\.qq\.com/cgi-bin/aibot/response\?response_code=[A-Za-z0-9._~%+/=-]{1,1024}$"
        ),
    ]
    text: _Text | None = None
    """None in pictures, files and the like."""


def configured(settings: Settings, tools: Tools) -> WeCom:
    """Return the platform; raise SettingsInvalid unless both of its settings are there."""
    token, key = settings.wecom_token, settings.wecom_aes_key
    if token is None or key is None:
        raise SettingsInvalid("KEYPAIR_WECOM_TOKEN and KEYPAIR_WECOM_AES_KEY: set both, or neither")
    # 101033: an AI bot of the company's own has no id to be named at the end of an envelope.
    envelopes = Envelopes(token.encode(), base64.b64decode(key + "="), b"")
    return WeCom(envelopes, tools.outgoing, tools.nonces, tools.clock)


@dataclass(frozen=True)
class Envelopes:
    """WeCom's encryption. It proves nothing: CBC can be changed underway, and only `signature` tells.

    `receive_id` ends each plaintext, so that what is for one receiver is not taken by another.
    """

    token: bytes = field(repr=False)
    key: bytes = field(repr=False)
    """Of AES-256; its first half is the initialisation vector, always."""
    receive_id: bytes

    def signature(self, timestamp: str, nonce: str, encrypted: str) -> str:
        """Return SHA-1 in hexadecimal; all arguments are ASCII."""
        parts = sorted((self.token, timestamp.encode(), nonce.encode(), encrypted.encode()))
        return hashlib.sha1(b"".join(parts)).hexdigest()  # noqa: S324  # WeCom's own choice

    def seal(self, message: bytes) -> str:
        """Return `message` encrypted, in Base64."""
        length = len(message).to_bytes(_LENGTH, "big")
        padder = PKCS7(_PADDED_TO * 8).padder()
        plain = secrets.token_bytes(_RANDOM) + length + message + self.receive_id
        encryptor = self._cipher().encryptor()
        return base64.b64encode(
            encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
        ).decode()

    def open(self, encrypted: str) -> bytes:
        """Return the message; whatever is wrong with the envelope, the error is the same Unauthenticated."""
        decryptor = self._cipher().decryptor()
        unpadder = PKCS7(_PADDED_TO * 8).unpadder()
        try:
            padded = decryptor.update(base64.b64decode(encrypted, validate=True)) + decryptor.finalize()
            plain = unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            raise Unauthenticated("wecom-envelope") from None
        start = _RANDOM + _LENGTH
        end = start + int.from_bytes(plain[_RANDOM:start], "big")
        # A plaintext without room for a length, and a message that is cut short, fail here as well.
        if len(plain) != end + len(self.receive_id) or plain[end:] != self.receive_id:
            raise Unauthenticated("wecom-envelope")
        return plain[start:end]

    def _cipher(self) -> Cipher[CBC]:
        return Cipher(AES(self.key), CBC(self.key[:16]))


@dataclass(frozen=True)
class WeCom:
    """See `handler.chat.platform.Platform`."""

    envelopes: Envelopes
    outgoing: Outgoing
    nonces: Nonces
    clock: Clock

    name = "wecom"
    methods = ("GET", "POST")

    def hear(self, request: Request) -> Message | Handshake:
        """Return what the message says."""
        if request.method == "GET":
            # Base64 has no '%'. That the platform decodes queries is documented nowhere.
            echo = self._proven("GET", request.query, unquote(request.query.get("echostr", "")))
            return Handshake(_text(echo.decode("utf-8", "replace")))
        message = parse_json_object(self._proven("POST", request.query, _encrypted(request.unverified_body)))
        if message.get("msgtype") in _NOT_WRITTEN:
            return Handshake(_text(""))
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
            locale=Locale.EN if _ENGLISH.search(text) else Locale.ZH,
            # 101033: an answer to the request repeats the nonce of the request.
            reply_to=f"{request.query['nonce']} {fields.response_url.removeprefix(ORIGIN)}",
            private=fields.chattype == "single",
        )

    def _proven(self, method: str, query: Mapping[str, str], encrypted: str) -> bytes:
        timestamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise Unauthenticated("wecom-timestamp")
        if abs(self.clock.now() - int(timestamp)) > WINDOW:
            raise Unauthenticated("wecom-time")
        if not _NONCE.fullmatch(nonce):
            raise Unauthenticated("wecom-nonce")
        if not _BASE64.fullmatch(encrypted):
            raise Unauthenticated("wecom-encrypted")
        own = self.envelopes.signature(timestamp, nonce, encrypted)
        given = query.get("msg_signature", "")
        if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), own.encode()):
            raise Unauthenticated("wecom-signature")
        # SECURITY BOUNDARY: the method is not signed. Without it here, whoever saw a message go by could send
        # it as a handshake, which is answered with what it decrypts to.
        use = hashlib.sha256(f"{method} {timestamp} {encrypted}".encode()).hexdigest()
        self.nonces.burn(self.name, nonce, use=use, ttl=2 * WINDOW)
        return self.envelopes.open(encrypted)

    def acknowledge(self, message: Message) -> Response:
        """Say that the work has begun."""
        return self.answer(message, words.working(message.locale))

    def answer(self, message: Message, reply: Reply) -> Response:
        """Say `reply`, as a stream (101031) that ends at once: no other kind of answer takes text."""
        stream = {"id": message.event_id, "finish": True, "content": _rendered(reply)}
        said = json_response(200, {"msgtype": "stream", "stream": stream})
        encrypted = self.envelopes.seal(said.body.encode())
        timestamp, nonce = int(self.clock.now()), message.reply_to.partition(" ")[0]
        signature = self.envelopes.signature(str(timestamp), nonce, encrypted)
        return json_response(
            200, {"encrypt": encrypted, "msgsignature": signature, "timestamp": timestamp, "nonce": nonce}
        )

    def fits(self, reply: Reply) -> bool:
        """Tell whether `reply` is one message."""
        return len(_rendered(reply).encode()) <= CONTENT_LIMIT

    def deliver(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        """Post `reply` to the message's `response_url`, which takes one within an hour (101138)."""
        path = message.reply_to.partition(" ")[2]
        payload = {"msgtype": "markdown", "markdown": {"content": _rendered(reply)}}
        answer = self.outgoing.post_json(ORIGIN, path, payload, deadline)
        if answer.status != 200 or _errcode(answer.body) != 0:  # noqa: PLR2004  # HTTP
            raise PlatformUnavailable("wecom-refused")


def _encrypted(body: bytes) -> str:
    # Nothing is proven yet: the signature covers what stands in this object, and not the object.
    try:
        encrypted = parse_json_object(body).get("encrypt")
    except MalformedRequest:
        raise Unauthenticated("wecom-body") from None
    if not isinstance(encrypted, str):
        raise Unauthenticated("wecom-body")
    return encrypted


def _errcode(body: bytes) -> object:
    # WeCom refuses with status 200.
    try:
        return parse_json_object(body).get("errcode")
    except MalformedRequest:
        return None


def _text(body: str) -> Response:
    return Response(200, body, "text/plain; charset=utf-8")


def _rendered(reply: Reply) -> str:
    return "\n".join(f"```\n{part.text}\n```" if isinstance(part, Block) else part for part in reply.parts)
