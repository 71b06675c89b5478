"""Finding and removing the key pairs that tries of an order left behind.

SECURITY BOUNDARY: the only deletes of this function are here and in `handler.sweeping`, and both delete
nothing but key pairs whose order tag says that this function made them and that nobody was given them.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from handler.audit import Decision
from handler.claims import ANSWER_TTL, OrderMark
from handler.errors import AuditUnavailable, NameTaken, OutcomeUnknown, OutOfTime, RequestInFlight
from handler.order import ORDER_TAG

if TYPE_CHECKING:
    from handler.audit import AuditTrail
    from handler.claims import Claim
    from handler.cloud.cvm import Cvm, KeyPairSummary
    from handler.invocation import Clock

ORPHAN_AGE = 900
"""Seconds after which a key pair's maker is certainly gone.

Longer than any request (`invocation.LONGEST`), than any signature can be repeated, and than clocks differ.
"""


def clear(cvm: Cvm, name: str, claim: Claim, clock: Clock, trail: AuditTrail) -> bool:
    """Remove what tries of the claim's order left under `name`; return whether there was anything.

    Raises NameTaken if the name is somebody else's (or in use), RequestInFlight if another instance may
    be working on the same order, OutcomeUnknown if it cannot be done.
    """
    try:
        found = _named(cvm, name)
        for pair in found:
            _require_left_over(pair, claim, clock)
            if not cvm.delete_key_pair(pair.key_id):
                raise NameTaken("name-in-use")
            record_removal(trail, pair, "left-over")
        if found and _named(cvm, name):
            raise OutcomeUnknown("delete-without-effect")
    except OutOfTime:
        raise OutcomeUnknown("out-of-time") from None
    return bool(found)


def _named(cvm: Cvm, name: str) -> list[KeyPairSummary]:
    # The cloud does not say whether its filter matches the whole name.
    return [pair for pair in cvm.find_key_pairs(name) if pair.key_name == name]


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


def _require_left_over(pair: KeyPairSummary, claim: Claim, clock: Clock) -> None:
    mark = OrderMark.parse(pair.tags.get(ORDER_TAG, ""))
    if mark is None or not mark.same_order(claim.mark):
        raise NameTaken
    if mark.holder in claim.holders:
        return
    # The same order, made by a holder that this store does not know: another instance without a shared
    # store. While it may be at work, its key pair is its own.
    seconds = age(pair, clock)
    if seconds is None or seconds >= ANSWER_TTL:
        raise NameTaken
    if seconds < ORPHAN_AGE:
        raise RequestInFlight
