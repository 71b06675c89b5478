"""Finding and removing the key pairs that tries of an order left behind.

SECURITY BOUNDARY: the only deletes of this function are here and in `handler.issuance.sweeper`. Both delete
nothing but key pairs that bear this function's own mark and that nobody was given, or that have expired.
That nobody was given one is known in two ways: the claim says that its holder did not finish, or the key
pair does not bear the description that every key pair gets before it is released.
"""

from __future__ import annotations

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
    from handler.issuance.idempotency import IdempotencyRecord
    from handler.issuance.ownership_tags import OwnershipTag, TagSigner
    from handler.scf.invocation import Clock

RELEASED = "issued by keypair-function"
"""The description that a key pair gets before its private key is released."""

ORPHAN_AGE = 900
"""Seconds after which a key pair's maker is certainly gone.

Longer than any request (`invocation.MAX_INVOCATION_SECONDS`), than any signature can be repeated, and than
clocks differ.
"""


def clear(cvm: Cvm, name: str, claim: IdempotencyRecord, marker: TagSigner, trail: AuditTrail) -> bool:
    """Remove what tries of the claim's order left under `name`; return whether there was anything.

    Raises NameTaken if the name is somebody else's (or in use), RequestInFlight if another instance may
    be working on the same order, OutcomeUnknown if it cannot be done.
    """
    try:
        found = _named(cvm, name)
        for pair in found:
            _require_left_over(pair, claim, marker, trail.clock)
            if not cvm.delete_key_pair(pair.key_id):
                raise NameTaken("name-in-use")
            record_removal(trail, pair, "left-over")
        if found and _named(cvm, name):
            raise OutcomeUnknown("delete-without-effect")
    except OutOfTime:
        raise OutcomeUnknown("out-of-time") from None
    except StoreUnavailable as unavailable:
        raise OutcomeUnknown(unavailable.reason) from None
    return bool(found)


def _named(cvm: Cvm, name: str) -> list[KeyPairSummary]:
    # The cloud does not say whether its filter matches the whole name.
    return [pair for pair in cvm.find_key_pairs(name) if pair.key_name == name]


def mark_of(pair: KeyPairSummary, marker: TagSigner) -> OwnershipTag | None:
    """Return the mark that `pair` bears; None if this function did not make it."""
    return marker.read(pair.tags.get(ORDER_TAG, ""), pair.key_name, pair.tags.get(EXPIRES_TAG))


def record_removal(trail: AuditTrail, pair: KeyPairSummary, reason: str) -> None:
    """Write that a key pair was removed."""
    trail.note(key_id=pair.key_id)
    try:
        trail.write(Decision.REMOVED, reason)
    except AuditUnavailable:
        # It is gone already, and going on matters more here: with the audit log down nothing is
        # released, so removing what was made is all that is left to do.
        return


def age(pair: KeyPairSummary, clock: Clock) -> float | None:
    """Return how many seconds ago `pair` was created; None if the cloud does not say."""
    try:
        created = datetime.strptime(pair.created_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return clock.now() - created.timestamp()


def never_released(pair: KeyPairSummary, seconds: float | None) -> bool:
    """Tell whether a key pair with our mark, `seconds` old, was certainly given to nobody.

    It bears no description, and whoever was to give it one is gone. After a day that proves nothing any
    more: somebody may have cleared the description by hand.
    """
    return seconds is not None and not pair.description and ORPHAN_AGE <= seconds < ANSWER_TTL


def _require_left_over(
    pair: KeyPairSummary, claim: IdempotencyRecord, marker: TagSigner, clock: Clock
) -> None:
    mark = mark_of(pair, marker)
    if mark is None:
        raise NameTaken
    if mark.same_order(claim.mark) and mark.holder in claim.holders:
        return
    # Made by a holder that this claim does not know: for another request, or by another instance
    # without a shared store.
    seconds = age(pair, clock)
    if never_released(pair, seconds):
        # A claim knows better than a description, which somebody may have cleared.
        if claim.knows_given(mark):
            raise NameTaken
        return
    if mark.same_order(claim.mark) and seconds is not None and seconds < ORPHAN_AGE:
        raise RequestInFlight
    raise NameTaken
