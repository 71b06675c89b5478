"""Slack: slash commands.

https://docs.slack.dev/interactivity/implementing-slash-commands and
https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import field
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from handler.auth.time_window import SIGNATURE_WINDOW
from handler.chat import messages
from handler.chat.platforms.base import Block, ImmediateResponse, Locale, Message
from handler.chat.platforms.platform_settings import PlatformSecret, require_settings
from handler.errors import MalformedRequest, PlatformRefused, Unauthenticated
from handler.http.messages import json_response
from handler.settings import environment_config
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.chat.http_client import HttpClient
    from handler.chat.platforms.base import Reply
    from handler.chat.platforms.registry import PlatformContext
    from handler.http.messages import Request, Response
    from handler.scf.invocation import Clock, Deadline

ORIGIN = "https://hooks.slack.com"
GOV_ORIGIN = "https://hooks.slack-gov.com"
"""The origins that a `response_url` may have: Slack and GovSlack."""
TEXT_LIMIT = 4000
"""Characters. Slack accepts 40,000, but splits anything longer than this into several messages."""

_TIMESTAMP = re.compile(r"[0-9]{1,11}")
_FORM = re.compile(r"application/x-www-form-urlencoded(?:\s*;\s*charset=utf-8)?", re.ASCII | re.IGNORECASE)
_FIELDS_LIMIT = 64
_SSL_CHECK = re.compile(rb"(?:^|&)ssl_check=1(?:&|$)")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")

_Id = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]{1,31}$")]


class _Fields(BaseModel):
    """The fields of a slash command that are used. Slack sends more, and adds new ones."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    team_id: _Id
    user_id: _Id
    trigger_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.]{1,128}$")]
    # SECURITY BOUNDARY: replies go to this address. It is signed, but it must still lead to Slack.
    response_url: Annotated[
        str,
        StringConstraints(pattern=r"^https://hooks\.slack(-gov)?\.com/[A-Za-z0-9_-][A-Za-z0-9_/-]{0,511}$"),
    ]
    text: str


class SlackSettings(BaseModel):
    """The environment variables of this platform."""

    model_config = environment_config("KEYPAIR_SLACK_")

    signing_secret: PlatformSecret = Field(
        repr=False, description="the Signing Secret of the Slack app, or nothing"
    )


def configured(variables: Mapping[str, str], context: PlatformContext) -> Slack:
    """Return the platform; raise SettingsInvalid."""
    settings = require_settings(SlackSettings, variables)
    return Slack(settings.signing_secret.encode(), context.http, context.clock)


@dataclass(frozen=True)
class Slack:
    """See `handler.chat.platforms.base.Platform`."""

    secret: bytes = field(repr=False)
    http: HttpClient
    clock: Clock

    name = "slack"
    methods = ("POST",)

    def parse_webhook(self, request: Request) -> Message | ImmediateResponse:
        """Return the message in a slash command, or the response to a check of the certificate."""
        # Slack sends it now and then, not always signed. The response says nothing.
        if _SSL_CHECK.search(request.unverified_body):
            return ImmediateResponse(json_response(200, {}))
        self._verify(request)
        if not _FORM.fullmatch(request.headers.get("content-type", "").strip()):
            raise MalformedRequest("slack-content-type")
        fields = _fields(request.unverified_body)
        return Message(
            platform=self.name,
            tenant=fields.team_id,
            user=fields.user_id,
            event_id=fields.trigger_id,
            # In Slack the command may have another name.
            text=f"/keypair {_unescaped(fields.text)}",
            # Slash commands do not contain the user's language.
            locale=Locale.ZH if _CHINESE.search(fields.text) else Locale.EN,
            # A path at Slack, a whole address at GovSlack.
            reply_to=fields.response_url.removeprefix(ORIGIN),
        )

    def _verify(self, request: Request) -> None:
        timestamp = request.headers.get("x-slack-request-timestamp", "")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise Unauthenticated("slack-timestamp")
        if not SIGNATURE_WINDOW.contains(int(timestamp), self.clock.now()):
            raise Unauthenticated("slack-time")
        signed = b"v0:" + timestamp.encode() + b":" + request.unverified_body
        own = "v0=" + hmac.new(self.secret, signed, hashlib.sha256).hexdigest()
        given = request.headers.get("x-slack-signature", "")
        if not hmac.compare_digest(given.encode(), own.encode()):
            raise Unauthenticated("slack-signature")

    def acknowledge(self, message: Message) -> Response:
        """Say that the command is being processed."""
        return self.respond(message, messages.working(message.locale))

    def respond(self, message: Message, reply: Reply) -> Response:
        """Return `reply` as an ephemeral message."""
        del message
        return json_response(200, _payload(reply))

    def fits(self, reply: Reply) -> bool:
        """Return whether Slack shows `reply` as one message."""
        return len(_rendered(reply)) <= TEXT_LIMIT

    def deliver(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        """Post `reply` to the command's `response_url`, which accepts five posts within 30 minutes."""
        origin = GOV_ORIGIN if message.reply_to.startswith(GOV_ORIGIN) else ORIGIN
        path = message.reply_to.removeprefix(origin)
        answer = self.http.post_json(origin, path, _payload(reply), deadline)
        if not answer.ok:
            raise PlatformRefused("slack-refused")


def _fields(body: bytes) -> _Fields:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_FIELDS_LIMIT,
        )
    except ValueError:
        raise MalformedRequest("slack-form") from None
    fields = dict(pairs)
    # With duplicate fields, two parsers may read different values.
    if len(fields) != len(pairs):
        raise MalformedRequest("slack-field-twice")
    try:
        return _Fields.model_validate(fields)
    except ValidationError:
        raise MalformedRequest("slack-fields") from None


def _payload(reply: Reply) -> Mapping[str, str]:
    # `ephemeral`: only the author sees it, and Slack does not store it.
    return {"response_type": "ephemeral", "text": _rendered(reply)}


def _rendered(reply: Reply) -> str:
    return "\n".join(
        f"```\n{_escaped(part.text)}\n```" if isinstance(part, Block) else _escaped(part)
        for part in reply.parts
    )


def _escaped(text: str) -> str:
    # https://docs.slack.dev/messaging/formatting-message-text: escape these three, in code blocks as well.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
