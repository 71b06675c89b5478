"""Who works on a request, and what came of it: the same request gives the same answer.

A claim only moves forward: claimed -> creating -> sealed, or -> undone, or -> unknown. A record is never
deleted by this function, for deleting one lets a repeated request make a second key pair; it ends by its
time to live.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from handler.errors import IdempotencyKeyReused, OutcomeUnknown, RequestInFlight, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.invocation import Clock
    from handler.store.base import Store

TTL = 24 * 3600
"""Seconds for which a claim, and so an answer, is kept."""


class State(str, Enum):
    """How far a claim has come."""

    CLAIMED = "claimed"
    """Nothing has been asked of the cloud."""
    CREATING = "creating"
    """CreateKeyPair may have been called."""
    SEALED = "sealed"
    """Done; `answer` is what the caller gets, however often it asks."""
    UNDONE = "undone"
    """Failed, and known to have left no key pair."""
    UNKNOWN = "unknown"
    """Failed, and may have left a key pair."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State
    order: str
    """Digest of the order: another one under the same key is refused."""
    holder: str
    """Random; tells two holders of one claim apart."""
    lease_ends: float
    """Seconds since 1970; until then nobody else works on this."""
    answer: str | None = None


@dataclass
class Claim:
    """One request, held by this invocation; or finished, if there is an `answer`."""

    _store: Store
    _key: str
    _text: str
    answer: str | None = None

    def advance(self, state: State, answer: str | None = None) -> None:
        """Move to `state`. Raises StoreUnavailable, also where the claim is no longer held."""
        record = _parse(self._text)
        text = record.model_copy(update={"state": state, "answer": answer}).model_dump_json()
        if not self._store.replace(self._key, self._text, text, TTL):
            raise StoreUnavailable("claim-lost")
        self._text = text


@dataclass(frozen=True)
class Claims:
    """The claims in a store."""

    store: Store
    clock: Clock
    new_holder: Callable[[], str]

    def claim(self, caller_id: str, idempotency_key: str, order_digest: str, lease: float) -> Claim:
        """Return the claim of this request: held for `lease` seconds, or finished with its answer.

        Raises RequestInFlight, IdempotencyKeyReused, OutcomeUnknown or StoreUnavailable.
        """
        # Digested: a key that a caller chose never becomes a key of the store, and callers cannot meet.
        key = "claim:" + hashlib.sha256(f"{caller_id}\n{idempotency_key}".encode()).hexdigest()
        now = self.clock.now()
        fresh = _Record(
            state=State.CLAIMED, order=order_digest, holder=self.new_holder(), lease_ends=now + lease
        ).model_dump_json()
        if self.store.add(key, fresh, TTL):
            return Claim(self.store, key, fresh)
        text = self.store.get(key)
        if text is None:
            raise RequestInFlight
        record = _parse(text)
        if record.order != order_digest:
            raise IdempotencyKeyReused
        if record.state is State.SEALED:
            return Claim(self.store, key, text, record.answer)
        if record.state in (State.UNKNOWN, State.CREATING) and record.lease_ends <= now:
            raise OutcomeUnknown("claim-unknown")
        if record.state is not State.UNDONE and record.lease_ends > now:
            raise RequestInFlight
        # Undone, or its holder died before it asked anything of the cloud: this invocation takes it over.
        if not self.store.replace(key, text, fresh, TTL):
            raise RequestInFlight
        return Claim(self.store, key, fresh)


def _parse(text: str) -> _Record:
    try:
        return _Record.model_validate_json(text)
    except ValidationError:
        raise StoreUnavailable("claim-unreadable") from None
