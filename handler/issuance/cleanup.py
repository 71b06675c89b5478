"""Finds and removes the key pairs that earlier tries of an order left behind.

SECURITY BOUNDARY: this module and `handler.issuance.sweeper` are the only ones that delete key pairs unasked
(`handler.issuance.inventory` does it for their callers). They delete a key pair only if it carries this
function's ownership tags and either was never released or has expired. A key pair was never released if its
idempotency record says that the holder did not finish, or if it lacks the description that every key pair
gets before its release. One key pair is deleted without tags: the one that this invocation has just made, if
the cloud kept it without them (`remove_untagged`).

The API documents no read-after-write consistency. So this module looks again, while there is time, for a key
pair that has to be there, and for the tags of one that is very young.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from handler.audit import Decision
from handler.cloud.cvm import UNDO_RESERVE
from handler.errors import (
    AuditUnavailable,
    NameTaken,
    OutcomeUnknown,
    OutOfTime,
    RequestInFlight,
    StoreUnavailable,
)
from handler.issuance.idempotency import State
from handler.order import ANSWER_TTL, RFC_3339, TAG_PREFIX
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.audit import AuditTrail
    from handler.cloud.cvm import Cvm, KeyPairSummary
    from handler.issuance.idempotency import HeldRecord, IdempotencyLedger, StoredRecord
    from handler.issuance.ownership_tags import OwnershipTag, TagSigner
    from handler.scf.invocation import Clock

RELEASED = "issued by keypair-function"
"""The description that a key pair gets before its private key is released."""

ORPHAN_AGE = 900
"""Seconds after which the invocation that made a key pair has certainly ended.

This is longer than any request (`invocation.MAX_INVOCATION_SECONDS`), than the time for which a signature
can be repeated, and than clocks differ.
"""
LAG_SECONDS = 60
"""Seconds for which the cloud may not yet show what it was told."""


@dataclass(frozen=True)
class Cleanup:
    """Removes leftovers on behalf of the request that holds `record`."""

    cvm: Cvm
    record: HeldRecord
    caller_id: str
    ledger: IdempotencyLedger
    tag_signer: TagSigner
    trail: AuditTrail

    def remove_leftovers(self, name: str, *, expected: bool = False, reserve: float = UNDO_RESERVE) -> bool:
        """Remove the key pairs that tries of this order left under `name`; return whether there were any.

        If one is `expected`, because the cloud says that the name is taken, looks until it is visible or only
        `reserve` seconds are left.

        Raises NameTaken if the name belongs to another key pair or the leftover is in use, RequestInFlight
        if another instance may be working on the same order, and OutcomeUnknown if the removal fails.
        """
        try:
            return self._remove(name, expected=expected, reserve=reserve)
        except OutOfTime:
            raise OutcomeUnknown("out-of-time") from None
        except StoreUnavailable as unavailable:
            raise OutcomeUnknown(unavailable.reason) from None

    def remove_untagged(self, key_id: str, name: str) -> bool:
        """Remove the key pair that this invocation has just made, and that the cloud kept without its tags.

        SECURITY BOUNDARY: this is the only delete without ownership tags. `key_id` is from the answer to this
        invocation's own create. The key pair has the order's name, which nobody else can have taken since.
        """
        try:
            pair = self.cvm.find_key_pair(key_id)
            if pair is None or pair.key_name != name or not self._may_lack_tags(pair):
                return False
            if not self.cvm.delete_key_pair(key_id):
                return False
        except OutOfTime:
            raise OutcomeUnknown("out-of-time") from None
        self._record_removal(pair)
        return True

    def _remove(self, name: str, *, expected: bool, reserve: float) -> bool:
        removed: set[str] = set()
        untagged = False
        for _ in self.cvm.looks(reserve):
            pairs = self._named(name)
            if not pairs and (removed or not expected):
                return bool(removed)
            untagged = any(self._may_lack_tags(pair) for pair in pairs)
            if untagged:
                continue
            for pair in pairs:
                self._require_leftover(pair)
                if not self.cvm.delete_key_pair(pair.key_id):
                    raise NameTaken("name-in-use")
                if pair.key_id not in removed:
                    removed.add(pair.key_id)
                    self._record_removal(pair)
        if untagged:
            raise RequestInFlight
        if removed:
            raise OutcomeUnknown("delete-without-effect")
        return False

    def _named(self, name: str) -> list[KeyPairSummary]:
        # The API does not document whether its filter matches the whole name.
        return [pair for pair in self.cvm.find_key_pairs(name) if pair.key_name == name]

    def _require_leftover(self, pair: KeyPairSummary) -> None:
        tag = self.tag_signer.read(pair.tags, pair.key_name)
        if tag is None:
            raise NameTaken
        if tag.holder in self.record.holders:
            return
        # Made by a holder that this record does not list: for another request, or by another instance
        # that does not share the store.
        if pair.description:
            raise NameTaken
        maker = self.ledger.maker(tag)
        # A record is better evidence than a missing description, which somebody may have cleared.
        if maker is not None and is_released(maker.record, tag):
            raise NameTaken
        age = age_of(pair, self.trail.clock)
        if age is not None and age < ORPHAN_AGE and tag.caller_id == self.caller_id:
            raise RequestInFlight
        if not never_released(pair, age):
            raise NameTaken
        # Its maker may be frozen. It must not release the key pair when it wakes up.
        holds = maker is not None and maker.record.holder == tag.holder
        if maker is not None and holds and not self.ledger.withdraw(maker):
            raise RequestInFlight

    def _may_lack_tags(self, pair: KeyPairSummary) -> bool:
        """Tell whether `pair` is so young that this function's tags may not all be visible yet."""
        age = age_of(pair, self.trail.clock)
        if age is None or age >= LAG_SECONDS or self.tag_signer.read(pair.tags, pair.key_name) is not None:
            return False
        return not pair.tags or any(key.startswith(TAG_PREFIX) for key in pair.tags)

    def _record_removal(self, pair: KeyPairSummary) -> None:
        self.trail.note(key_id=pair.key_id)
        try:
            self.trail.write(Decision.REMOVED, "left-over")
        except AuditUnavailable:
            # The key pair is already gone. While the audit log is down nothing is released, so removing
            # what was made is all that is left to do.
            return


def age_of(pair: KeyPairSummary, clock: Clock) -> float | None:
    """Return how many seconds ago `pair` was created; None if the cloud does not say."""
    try:
        created = datetime.strptime(pair.created_at, RFC_3339).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return clock.now() - created.timestamp()


def is_released(record: StoredRecord, tag: OwnershipTag) -> bool:
    """Tell whether `record` says that the key pair with this tag was released to its caller."""
    return record.state is State.SEALED and record.holder == tag.holder


def never_released(pair: KeyPairSummary, age: float | None) -> bool:
    """Tell whether a key pair with our tags, `age` seconds old, was certainly never released.

    Its description is there and empty, no instance uses it, and the invocation that made it has ended. After
    a day this proves nothing: somebody may have cleared the description by hand, and the record that would
    show it has expired.
    """
    unused = pair.description == "" and not pair.instance_ids
    return unused and age is not None and ORPHAN_AGE <= age < ANSWER_TTL
