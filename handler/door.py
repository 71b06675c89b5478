"""What every way into the function does: prove who calls, understand what they want, answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from handler.errors import KeyPairFunctionError
    from handler.http import Request, Response
    from handler.issuing import IssuedKeyPair
    from handler.order import KeyPairOrder


@dataclass(frozen=True)
class Proof:
    """Who calls, proven.

    `request_key` is a text that no other request of this caller has. `covers` names the headers (lower
    case) that the proof vouches for besides path and body.
    """

    caller_id: str
    request_key: str
    covers: frozenset[str]

    def idempotency_key(self, stated: str | None = None) -> str:
        """Return the key of a wish: what its caller `stated`, in any case, or else this one request."""
        # TC3 signs header values in lower case. Were 'a' and 'A' two keys, the signature would cover neither.
        return f"request:{self.request_key}" if stated is None else f"key:{stated.lower()}"


@dataclass(frozen=True)
class Wish:
    """What a caller wants, and the key under which the same wish gets the same answer."""

    order: KeyPairOrder
    idempotency_key: str


class Door(Protocol):
    """One way in."""

    @property
    def name(self) -> str:
        """The door's name, as it stands in the audit line."""

    def prove(self, request: Request, /) -> Proof:
        """Return who sent `request`, looking at the raw body only; raise Unauthenticated."""

    def understand(self, request: Request, proof: Proof) -> Wish:
        """Read the body of a proven request; raise RequestRefused."""

    def answer(self, issued: IssuedKeyPair) -> Response:
        """Return the same bytes for the same key pair."""

    def refuse(self, error: KeyPairFunctionError, request_id: str) -> Response:
        """Return `error` as this door's readers expect it."""
