"""Who works on a request, and what came of it: the same request gives the same answer.

    claimed -> creating -> sealed     done; the answer is kept
                        -> undone     nothing was made, or it is gone again; free to be tried anew
                        -> unknown    something may have been made; whoever claims next settles that first

A record is never deleted, for that would let a repeated request make a second key pair; it ends by its
time to live. Every step compares what it expects to find, so two invocations never both hold a claim.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from handler.errors import IdempotencyKeyReused, OutcomeUnknown, RequestInFlight, StoreUnavailable
from handler.issuance.ownership_tags import OwnershipTag
from handler.order import ANSWER_TTL

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.scf.invocation import Clock
    from handler.store.base import Store

UNFINISHED_TTL = 7 * 24 * 3600
"""Seconds for which anything else is kept: longer, so that a record that has gone was a finished one."""

_FORMER_LIMIT = 50


class State(str, Enum):
    """How far a claim has come."""

    CLAIMED = "claimed"
    CREATING = "creating"
    SEALED = "sealed"
    UNDONE = "undone"
    UNKNOWN = "unknown"


class StoredRecord(BaseModel):
    """A claim as it is stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State
    order: str
    """Digest of the order: another one under the same key is refused."""
    holder: str
    """Random; tells two holders of one claim apart."""
    lease_ends: float
    """Seconds since 1970; until then nobody else works on this."""
    former: tuple[str, ...] = ()
    """Holders before, whose key pairs, if any, nobody was given."""
    answer: str | None = None


class IdempotencyRecord:
    """One request, held by this invocation; or finished, if there is an `answer`."""

    def __init__(self, store: Store, claim_id: str, record: StoredRecord, text: str) -> None:
        self._store = store
        self._id = claim_id
        self._record = record
        self._text = text
        self.answer = record.answer
        self.unsettled = record.state is State.UNKNOWN
        """Whether a former holder may have left a key pair."""
        self.mark = OwnershipTag(claim_id, record.order, record.holder)

    @property
    def holders(self) -> frozenset[str]:
        """This holder and the former ones: nobody was given a key pair that one of them made."""
        return frozenset({self._record.holder, *self._record.former})

    def knows_given(self, mark: OwnershipTag) -> bool:
        """Tell whether the store says of `mark`, of whichever claim, that its key pair was given out.

        Raises StoreUnavailable.
        """
        stored = self._store.get(_key(mark.claim))
        if stored is None:
            return False
        record = _parse(stored)
        return record.state is State.SEALED and record.holder == mark.holder

    def begin(self) -> None:
        """Record that CreateKeyPair is about to be called; raise StoreUnavailable."""
        if not self._move(State.CREATING):
            raise StoreUnavailable("claim-lost")

    def finish(self, answer: str) -> None:
        """Store the answer.

        Raises StoreUnavailable if it is certainly not stored, and OutcomeUnknown if nobody can tell: then
        the key pair has to stay, for the answer may be handed out.
        """
        sealed = self._record.model_copy(update={"state": State.SEALED, "answer": answer}).model_dump_json()
        try:
            if self._store.replace(self._key, self._text, sealed, ANSWER_TTL):
                return
        except StoreUnavailable:
            # The write may have happened, or may still be under way. Moving the record from under it
            # decides: if this succeeds, the late write finds something else and does nothing.
            pass
        try:
            withdrawn = self._move(State.UNKNOWN)
            stored = self._store.get(self._key)
        except StoreUnavailable:
            raise OutcomeUnknown("answer-perhaps-stored") from None
        if withdrawn or stored != sealed:
            raise StoreUnavailable("answer-not-stored")

    def leave(self, state: State) -> None:
        """Let go of an unfinished claim, so that the same request can be tried again at once.

        A store that fails now is passed over: the record stays as it is until its lease ends, and what
        the caller has to hear about is the failure before.
        """
        try:
            self._move(state, lease_ends=0)
        except Exception:  # noqa: BLE001  # a defect of a store, too, must not hide that failure
            return

    @property
    def _key(self) -> str:
        return _key(self._id)

    def _move(self, state: State, lease_ends: float | None = None) -> bool:
        update: dict[str, object] = {"state": state}
        if lease_ends is not None:
            update["lease_ends"] = lease_ends
        record = self._record.model_copy(update=update)
        text = record.model_dump_json()
        if not self._store.replace(self._key, self._text, text, UNFINISHED_TTL):
            return False
        self._record, self._text = record, text
        return True


@dataclass(frozen=True)
class IdempotencyLedger:
    """The claims in a store."""

    store: Store
    clock: Clock
    new_holder: Callable[[], str]
    """-> 32 random hexadecimal digits."""

    def claim(
        self, caller_id: str, idempotency_key: str, order_digest: str, lease: float
    ) -> IdempotencyRecord:
        """Return the claim of this request: held for `lease` seconds, or finished with its answer.

        Raises RequestInFlight, IdempotencyKeyReused or StoreUnavailable.
        """
        # Digested: a text that a caller chose never becomes a key of the store, and callers cannot meet.
        claim_id = hashlib.sha256(f"{caller_id}\n{idempotency_key}".encode()).hexdigest()[:32]
        now = self.clock.now()
        fresh = StoredRecord(
            state=State.CLAIMED,
            order=order_digest[:32],
            holder=self.new_holder(),
            lease_ends=now + lease,
        )
        text = fresh.model_dump_json()
        if self.store.add(_key(claim_id), text, UNFINISHED_TTL):
            return IdempotencyRecord(self.store, claim_id, fresh, text)
        stored = self.store.get(_key(claim_id))
        if stored is None:
            raise RequestInFlight  # it ended between the two calls; the next try finds it gone
        record = _parse(stored)
        if record.order != fresh.order:
            raise IdempotencyKeyReused
        if record.state is State.SEALED:
            return IdempotencyRecord(self.store, claim_id, record, stored)
        if record.lease_ends > now:
            raise RequestInFlight
        mine = _taken_over(record, fresh)
        text = mine.model_dump_json()
        if not self.store.replace(_key(claim_id), stored, text, UNFINISHED_TTL):
            raise RequestInFlight
        return IdempotencyRecord(self.store, claim_id, mine, text)

    def find(self, claim_id: str) -> StoredRecord | None:
        """Return the record of a claim, or None; raise StoreUnavailable."""
        stored = self.store.get(_key(claim_id))
        return None if stored is None else _parse(stored)

    def withdraw(self, claim_id: str, record: StoredRecord) -> bool:
        """Make sure that the holder of an unfinished claim cannot finish it any more.

        Returns False if the claim has moved on since `record` was found; raises StoreUnavailable.
        """
        stored = self.store.get(_key(claim_id))
        if stored is None or _parse(stored) != record:
            return False
        withdrawn = record.model_copy(update={"state": State.UNKNOWN, "lease_ends": 0.0})
        return self.store.replace(_key(claim_id), stored, withdrawn.model_dump_json(), UNFINISHED_TTL)


def _taken_over(record: StoredRecord, fresh: StoredRecord) -> StoredRecord:
    """Return the record under which `fresh`'s holder goes on where the last one stopped.

    A holder that died before it asked anything of the cloud, or undid all it did, leaves nothing behind.
    Its name is kept all the same: it may yet wake up and create.
    """
    former = (*record.former, record.holder)[-_FORMER_LIMIT:]
    perhaps_made = record.state in (State.CREATING, State.UNKNOWN)
    state = State.UNKNOWN if perhaps_made else State.CLAIMED
    return fresh.model_copy(update={"state": state, "former": former})


def _key(claim_id: str) -> str:
    return f"claim:{claim_id}"


def _parse(text: str) -> StoredRecord:
    try:
        return StoredRecord.model_validate_json(text)
    except ValidationError:
        raise StoreUnavailable("claim-unreadable") from None
