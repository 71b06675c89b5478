"""What every chat platform has to be able to do, and what passes between it and the rest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from handler.auth.nonces import Nonces
    from handler.http.client import HttpClient
    from handler.http.messages import Request, Response
    from handler.scf.invocation import Clock, Deadline


class Locale(str, Enum):
    """The languages that the bot speaks."""

    EN = "en"
    ZH = "zh"


class Message(BaseModel):
    """What somebody wrote to the bot, as the platform vouches for it.

    `tenant` and `user` are the platform's ids. `event_id` is one that no other message of this user has, and
    that the platform's own retries share. `text` begins with `/keypair` if it is a command. `reply_to` is for
    the platform's own module: where the answer goes, in whatever words.
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
    """Whether nobody but the one who wrote reads what `answer` and `deliver` say."""
    text_authenticated: bool = True
    """Whether the platform's proof covers `text`; if not, no recipient is taken from there."""


@dataclass(frozen=True)
class ImmediateResponse:
    """A request by which the platform only tries whether somebody is here, and its answer."""

    response: Response


@dataclass(frozen=True)
class Block:
    """Text that is shown as it stands, in letters of one width."""

    text: str


@dataclass(frozen=True)
class Reply:
    """What the bot says: sentences, and blocks between them."""

    parts: tuple[str | Block, ...]
    has_key_pair: bool = False
    """Whether it gives a key pair: then nothing that was said of the same message before may hold it back."""


@dataclass(frozen=True)
class PlatformContext:
    """What a platform's module may need besides its settings."""

    http: HttpClient
    nonces: Nonces
    clock: Clock


class Platform(Protocol):
    """One chat platform. Its module is all that knows how it signs, writes and is written to."""

    @property
    def name(self) -> str:
        """As it stands in the path `/chat/NAME`, in the policy and in the audit line."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods of its requests."""

    def parse_webhook(self, request: Request) -> Message | ImmediateResponse:
        """Return what a request says, after proof over the raw body that the platform sent it.

        Raises Unauthenticated, or MalformedRequest where it is proven but not of the platform's form.
        """

    def acknowledge(self, message: Message) -> Response:
        """Return the answer to a request whose work goes on elsewhere."""

    def respond(self, message: Message, reply: Reply) -> Response | None:
        """Return an answer to the request itself that says `reply`, to the one who wrote only.

        Returns None where an answer of this platform cannot do that; then `deliver` says it.
        """

    def fits(self, reply: Reply) -> bool:
        """Tell whether `reply` can be delivered whole."""

    def deliver(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        """Say `reply` to the one who wrote `message`, and to nobody else, now; it fits.

        Raises PlatformUnavailable.
        """
