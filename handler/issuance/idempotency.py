"""The idempotency ledger: one record per request, so that a repeated request gets the same answer.

    claimed -> creating -> sealed     finished; the answer is kept
                        -> undone     no key pair was made, or it was removed; the request may be retried
                        -> unknown    a key pair may exist; the next holder looks for it first

Records are never deleted, because a repeated request could then create a second key pair. They expire.
Every write compares the record with what was read, so two invocations never hold the same record.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from pydantic import ConfigDict, ValidationError

from handler.errors import IdempotencyKeyReused, OutcomeUnknown, RequestInFlight, StoreUnavailable
from handler.issuance import stored_json
from handler.order import ANSWER_TTL
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.issuance.ownership_tags import OwnershipTag
    from handler.scf.invocation import Clock
    from handler.store.base import Store

UNFINISHED_TTL = 7 * 24 * 3600
"""Seconds for which an unfinished record is kept.

It is longer than ANSWER_TTL, so a record that has expired was a finished one.
"""
SCHEMA = 2
"""The version of records that this code writes. It reads all up to this one."""

_FORMER_LIMIT = 50


class State(str, Enum):
    """How far a request has come."""

    CLAIMED = "claimed"
    CREATING = "creating"
    SEALED = "sealed"
    UNDONE = "undone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class StoredRecord:
    """A record as JSON in the store."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    state: State
    order: str
    """Digest of the order. A different order under the same idempotency key is refused."""
    holder: str
    """A random id of the invocation that works on the request."""
    lease_ends: float
    """Seconds since 1970. Until then no other invocation works on the request."""
    version: int = 1
    former: tuple[str, ...] = ()
    """Earlier holders. If one of them made a key pair, it was never released."""
    answer: str | None = None
    recipients: str | None = None
    """Digest of the recipients that the answer is sealed to. Records of version 1 lack it."""

    def lists(self, holder: str) -> bool:
        """Tell whether `holder` works or worked on this request."""
        return holder in (self.holder, *self.former)


@dataclass(frozen=True)
class FinishedRecord:
    """The record of a request that was answered before."""

    record_id: str
    record: StoredRecord
    text: str

    @property
    def answer(self) -> str:
        """The stored answer. A damaged record fails where the answer is parsed."""
        return self.record.answer or ""


@dataclass(frozen=True)
class FoundRecord:
    """A record that the store has, and its id there."""

    record_id: str
    record: StoredRecord


class HeldRecord:
    """The record of a request that this invocation works on, and no other."""

    def __init__(self, store: Store, record_id: str, record: StoredRecord, text: str) -> None:
        self._store = store
        self._record_id = record_id
        self._key = _key(record_id)
        self._record = record
        self._text = text
        self.unsettled = record.state is State.UNKNOWN
        """Whether an earlier holder may have left a key pair."""
        self.holder = record.holder

    @property
    def holders(self) -> frozenset[str]:
        """This holder and the earlier ones. No key pair that one of them made was released."""
        return frozenset({self._record.holder, *self._record.former})

    def begin(self) -> None:
        """Record that CreateKeyPair is about to be called; raise StoreUnavailable."""
        # The key pair's tags name the holder. This leads from there to the record.
        self._store.add(_holder_key(self.holder), self._record_id, UNFINISHED_TTL)
        if not self._move(State.CREATING):
            raise StoreUnavailable("claim-lost")

    def finish(self, answer: str, recipients: str) -> None:
        """Store the answer, and the digest of the recipients that it is sealed to.

        Raises StoreUnavailable if the answer is certainly not stored, and OutcomeUnknown if that is
        unclear. Then the key pair has to stay, because the answer may still be released.
        """
        record = replace(self._record, state=State.SEALED, answer=answer, recipients=recipients)
        sealed = stored_json.dump(record)
        if self._try_store(sealed):
            return
        # The write may have happened or may still be on its way. Changing the record settles it: if this
        # succeeds, a late write no longer finds what it expects and has no effect.
        try:
            withdrawn = self._move(State.UNKNOWN)
            stored = self._store.get(self._key)
        except StoreUnavailable:
            raise OutcomeUnknown("answer-perhaps-stored") from None
        if withdrawn or stored != sealed:
            raise StoreUnavailable("answer-not-stored")

    def _try_store(self, sealed: str) -> bool:
        try:
            return self._store.replace(self._key, self._text, sealed, ANSWER_TTL)
        except Exception:  # noqa: BLE001  # whatever a store raises, only the record tells what it did
            return False

    def release(self, state: State) -> None:
        """Give up an unfinished record, so that the request can be retried at once.

        Errors of the store are ignored. The record then stays as it is until its lease ends, and the
        caller learns of the failure that came first.
        """
        try:
            self._move(state, lease_ends=0)
        except Exception:  # noqa: BLE001  # not even a defect of a store may hide that failure
            return

    def _move(self, state: State, lease_ends: float | None = None) -> bool:
        ends = self._record.lease_ends if lease_ends is None else lease_ends
        record = replace(self._record, state=state, lease_ends=ends)
        text = stored_json.dump(record)
        if not self._store.replace(self._key, self._text, text, UNFINISHED_TTL):
            return False
        self._record, self._text = record, text
        return True


@dataclass(frozen=True)
class IdempotencyLedger:
    """The records in a store."""

    store: Store
    clock: Clock
    new_holder: Callable[[], str]
    """-> HOLDER_DIGITS random digits, see `handler.issuance.ownership_tags`."""

    def acquire(
        self,
        caller_id: str,
        idempotency_key: str,
        order_digest: str,
        lease: float,
    ) -> HeldRecord | FinishedRecord:
        """Return the record of this request, held for `lease` seconds unless it is finished.

        Raises RequestInFlight, IdempotencyKeyReused or StoreUnavailable.
        """
        record_id = _record_id(caller_id, idempotency_key)
        now = self.clock.now()
        fresh = self._fresh(_short(order_digest), lease)
        text = stored_json.dump(fresh)
        if self.store.add(_key(record_id), text, UNFINISHED_TTL):
            return HeldRecord(self.store, record_id, fresh, text)
        stored = self.store.get(_key(record_id))
        if stored is None:
            raise RequestInFlight  # it expired between the two calls; a retry succeeds
        record = _parse(stored)
        if record.order != fresh.order:
            raise IdempotencyKeyReused
        if record.state is State.SEALED:
            return FinishedRecord(record_id, record, stored)
        if record.lease_ends > now:
            raise RequestInFlight
        return self._take_over(record_id, stored, _continued(record, fresh))

    def finished(self, caller_id: str, idempotency_key: str, order_digest: str) -> FinishedRecord | None:
        """Return the record of this request if it is finished; raise StoreUnavailable or RequestInFlight."""
        record_id = _record_id(caller_id, idempotency_key)
        stored = self.store.get(_key(record_id))
        record = None if stored is None else _parse(stored)
        if stored is None or record is None or record.order != _short(order_digest):
            return None
        return FinishedRecord(record_id, record, stored) if record.state is State.SEALED else None

    def remember_message(self, message: str) -> bool:
        """Remember a signed message; tell whether it arrives for the first time.

        It is remembered as long as an answer, because no proof is accepted for longer than that.
        Raises StoreUnavailable.
        """
        return self.store.add(f"message:{_digest(message)}", "", ANSWER_TTL)

    def begin_delete(self, caller_id: str, region: str, key_id: str) -> None:
        """Remember that a caller is about to delete a key pair; raise StoreUnavailable."""
        self.store.add(_deleting_key(caller_id, region, key_id), "", ANSWER_TTL)

    def is_deleting(self, caller_id: str, region: str, key_id: str) -> bool:
        """Tell whether the caller has begun to delete a key pair in a region; raise StoreUnavailable."""
        return self.store.get(_deleting_key(caller_id, region, key_id)) is not None

    def finish_delete(self, key_id: str) -> None:
        """Remember for as long as an answer that a key pair was deleted; raise StoreUnavailable."""
        self.store.add(_deleted_key(key_id), "", ANSWER_TTL)

    def was_deleted(self, key_id: str) -> bool:
        """Tell whether a caller has deleted a key pair; raise StoreUnavailable."""
        return self.store.get(_deleted_key(key_id)) is not None

    def restart(self, finished: FinishedRecord, lease: float) -> HeldRecord:
        """Return the record of a request whose key pair was deleted, to start again.

        Its last holder is not listed as a former one, because the key pair that it made was released.
        Raises RequestInFlight or StoreUnavailable.
        """
        fresh = self._fresh(finished.record.order, lease)
        return self._take_over(finished.record_id, finished.text, fresh)

    def find(self, record_id: str) -> StoredRecord | None:
        """Return a record, or None if there is none; raise StoreUnavailable, or RequestInFlight."""
        stored = self.store.get(_key(record_id))
        return None if stored is None else _parse(stored)

    def maker(self, tag: OwnershipTag) -> FoundRecord | None:
        """Return the record that lists the holder in `tag`; None if the store has none.

        Raises StoreUnavailable, or RequestInFlight for a record of a later version.
        """
        record_id = tag.record_id or self.store.get(_holder_key(tag.holder))
        record = None if record_id is None else self.find(record_id)
        if record_id is None or record is None or not record.lists(tag.holder):
            return None
        return FoundRecord(record_id, record)

    def withdraw(self, found: FoundRecord) -> bool:
        """Make sure that the holder of an unfinished record can no longer finish it.

        Returns False if the record is finished or has changed since it was found; raises StoreUnavailable.
        """
        if found.record.state is State.SEALED:
            return False
        key = _key(found.record_id)
        stored = self.store.get(key)
        if stored is None or _parse(stored) != found.record:
            return False
        withdrawn = replace(found.record, state=State.UNKNOWN, lease_ends=0.0)
        return self.store.replace(key, stored, stored_json.dump(withdrawn), UNFINISHED_TTL)

    def _fresh(self, order: str, lease: float) -> StoredRecord:
        return StoredRecord(
            version=SCHEMA,
            state=State.CLAIMED,
            order=order,
            holder=self.new_holder(),
            lease_ends=self.clock.now() + lease,
        )

    def _take_over(self, record_id: str, stored: str, mine: StoredRecord) -> HeldRecord:
        text = stored_json.dump(mine)
        if not self.store.replace(_key(record_id), stored, text, UNFINISHED_TTL):
            raise RequestInFlight
        return HeldRecord(self.store, record_id, mine, text)


def _continued(record: StoredRecord, fresh: StoredRecord) -> StoredRecord:
    """Return the record with which the holder of `fresh` continues the work of the last holder.

    A holder that died before it called the cloud, or that undid its work, leaves no key pair. It is
    listed as a former holder all the same, because it may wake up and create one.
    """
    former = (*record.former, record.holder)[-_FORMER_LIMIT:]
    may_exist = record.state in (State.CREATING, State.UNKNOWN)
    state = State.UNKNOWN if may_exist else State.CLAIMED
    return replace(fresh, state=state, former=former)


def _record_id(caller_id: str, idempotency_key: str) -> str:
    # A digest: text that a caller chose never becomes a key of the store, and callers cannot collide.
    return _digest(f"{caller_id}\n{idempotency_key}")


def _short(order_digest: str) -> str:
    return order_digest[:32]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _key(record_id: str) -> str:
    return f"claim:{record_id}"


def _holder_key(holder: str) -> str:
    return f"holder:{holder}"


def _deleting_key(caller_id: str, region: str, key_id: str) -> str:
    return f"deleting:{_digest(f'{caller_id} {region} {key_id}')}"


def _deleted_key(key_id: str) -> str:
    return f"deleted:{_digest(key_id)}"


def _parse(text: str) -> StoredRecord:
    if _version(text) > SCHEMA:
        # A later version of this function wrote it, before this one was rolled back to.
        raise RequestInFlight("record-of-later-version")
    try:
        return stored_json.load(StoredRecord, text)
    except ValidationError:
        raise StoreUnavailable("claim-unreadable") from None


def _version(text: str) -> int:
    try:
        version = json.loads(text)["version"]
    except (ValueError, KeyError, TypeError):
        return 0
    return version if isinstance(version, int) else 0
