"""Finds and removes the key pairs that earlier tries of an order left behind.

SECURITY BOUNDARY: this module and `handler.issuance.sweeper` are the only ones that delete key pairs. They
delete a key pair only if it carries this function's ownership tag and either was never released or has
expired. A key pair was never released if its idempotency record says that the holder did not finish, or
if it lacks the description that every key pair gets before its release.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from handler.audit import Decision
from handler.errors import (
    AuditUnavailable,
    NameTaken,
    OutcomeUnknown,
    OutOfTime,
    RequestInFlight,
    StoreUnavailable,
)
from handler.order import ANSWER_TTL, EXPIRES_TAG, ORDER_TAG

if TYPE_CHECKING:
    from handler.audit import AuditTrail
    from handler.cloud.cvm import Cvm, KeyPairSummary
    from handler.issuance.idempotency import HeldRecord, IdempotencyLedger
    from handler.issuance.ownership_tags import OwnershipTag, TagSigner
    from handler.scf.invocation import Clock

RELEASED = "issued by keypair-function"
"""The description that a key pair gets before its private key is released."""

ORPHAN_AGE = 900
"""Seconds after which the invocation that made a key pair has certainly ended.

This is longer than any request (`invocation.MAX_INVOCATION_SECONDS`), than the time for which a signature
can be repeated, and than clocks differ.
"""


@dataclass(frozen=True)
class Cleanup:
    """Removes leftovers on behalf of the request that holds `record`."""

    cvm: Cvm
    record: HeldRecord
    ledger: IdempotencyLedger
    tag_signer: TagSigner
    trail: AuditTrail

    def remove_leftovers(self, name: str) -> bool:
        """Remove the key pairs that tries of this order left under `name`; return whether there were any.

        Raises NameTaken if the name belongs to another key pair or the leftover is in use, RequestInFlight
        if another instance may be working on the same order, and OutcomeUnknown if the removal fails.
        """
        try:
            found = self._named(name)
            for pair in found:
                self._require_leftover(pair)
                if not self.cvm.delete_key_pair(pair.key_id):
                    raise NameTaken("name-in-use")
                _record_removal(self.trail, pair)
            if found and self._named(name):
                raise OutcomeUnknown("delete-without-effect")
        except OutOfTime:
            raise OutcomeUnknown("out-of-time") from None
        except StoreUnavailable as unavailable:
            raise OutcomeUnknown(unavailable.reason) from None
        return bool(found)

    def _named(self, name: str) -> list[KeyPairSummary]:
        # The API does not document whether its filter matches the whole name.
        return [pair for pair in self.cvm.find_key_pairs(name) if pair.key_name == name]

    def _require_leftover(self, pair: KeyPairSummary) -> None:
        tag = tag_of(pair, self.tag_signer)
        if tag is None:
            raise NameTaken
        same_order = tag.same_order(self.record.tag)
        if same_order and tag.holder in self.record.holders:
            return
        # Made by a holder that this record does not list: for another request, or by another instance
        # that does not share the store.
        age = age_of(pair, self.trail.clock)
        if never_released(pair, age):
            # A record is better evidence than a missing description, which somebody may have cleared.
            if self.ledger.released(tag):
                raise NameTaken
            return
        if same_order and age is not None and age < ORPHAN_AGE:
            raise RequestInFlight
        raise NameTaken


def tag_of(pair: KeyPairSummary, tag_signer: TagSigner) -> OwnershipTag | None:
    """Return the ownership tag of `pair`; None if this function did not make the key pair."""
    return tag_signer.read(pair.tags.get(ORDER_TAG, ""), pair.key_name, pair.tags.get(EXPIRES_TAG))


def age_of(pair: KeyPairSummary, clock: Clock) -> float | None:
    """Return how many seconds ago `pair` was created; None if the cloud does not say."""
    try:
        created = datetime.strptime(pair.created_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return clock.now() - created.timestamp()


def never_released(pair: KeyPairSummary, age: float | None) -> bool:
    """Tell whether a key pair with our tag, `age` seconds old, was certainly never released.

    It has no description, and the invocation that made it has ended. After a day this proves nothing:
    somebody may have cleared the description by hand, and the record that would show it has expired.
    """
    return age is not None and not pair.description and ORPHAN_AGE <= age < ANSWER_TTL


def _record_removal(trail: AuditTrail, pair: KeyPairSummary) -> None:
    trail.note(key_id=pair.key_id)
    try:
        trail.write(Decision.REMOVED, "left-over")
    except AuditUnavailable:
        # The key pair is already gone. While the audit log is down nothing is released, so removing
        # what was made is all that is left to do.
        return
