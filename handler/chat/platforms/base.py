"""The protocol that every chat platform implements, and the values that it exchanges with the bot."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict

from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.http.messages import Request, Response
    from handler.scf.invocation import Deadline


class Locale(str, Enum):
    """The languages of the bot."""

    EN = "en"
    ZH = "zh"


class Message(BaseModel):
    """A message to the bot.

    `tenant` and `user` are the platform's ids. `event_id` is unique among the user's messages, and the same
    in the platform's retries. `text` begins with `/keypair` if it is a command. `reply_to` says where the
    reply goes, in a form that only the platform's module reads.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    platform: str
    tenant: str
    user: str
    event_id: str
    text: str
    locale: Locale
    reply_to: str
    is_direct: bool = True
    """Whether only the author reads what `respond` and `deliver` send."""
    text_authenticated: bool = True
    """Whether the platform's signature covers `text`. If not, it brings no recipient and deletes nothing."""


@dataclass(frozen=True)
class ImmediateResponse:
    """The response to a request that carries no message, such as a check of the address."""

    response: Response


@dataclass(frozen=True)
class Block:
    """Text that is shown unchanged, in a monospaced font."""

    text: str


@dataclass(frozen=True)
class Reply:
    """A reply of the bot: sentences, with blocks between them."""

    parts: tuple[str | Block, ...]
    has_key_pair: bool = False
    """Whether the reply carries a key pair. An earlier reply to the same message does not hold it back."""


class Platform(Protocol):
    """One chat platform. Only its module knows the platform's signatures and message formats."""

    @property
    def name(self) -> str:
        """The name in the path `/chat/NAME`, in the policy and in the audit log."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods that the platform uses."""

    def parse_webhook(self, request: Request) -> Message | ImmediateResponse:
        """Return the message in a request, after verifying the signature over the raw body.

        Raises Unauthenticated, or MalformedRequest if the signature is valid but the content is not.
        """

    def acknowledge(self, message: Message) -> Response:
        """Return the response to a message that a job processes."""

    def respond(self, message: Message, reply: Reply) -> Response | None:
        """Return an HTTP response that shows `reply` to the author only.

        Returns None if responses of this platform cannot do that; then `deliver` sends the reply.
        """

    def fits(self, reply: Reply) -> bool:
        """Return whether `reply` can be delivered completely."""

    def deliver(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        """Send `reply`, which fits, to the author of `message` and to nobody else.

        Raises PlatformUnavailable or PlatformRefused.
        """
