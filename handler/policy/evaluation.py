"""Decides what a caller gets: an order, completed by the policy, or a refusal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from handler.errors import NotGranted, RecipientRefused, TagsRefused
from handler.order import TAGS_TOGETHER, Action
from handler.sealing.recipient_problems import RecipientProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.order import KeyPairOrder
    from handler.policy.grants import ExistingKeyPair
    from handler.policy.model import Policy


def granted_order(policy: Policy, caller_id: str, order: KeyPairOrder) -> KeyPairOrder:
    """Return `order` with its final recipients, tags and expiry, if the policy grants it to the caller.

    An order without recipients gets those registered for the caller. An order without an expiry gets the
    longest that its grant allows.

    Raises NotGranted, TagsRefused if the tags of the order and of the grant are too many together, or
    RecipientRefused if the order would have no recipient.
    """
    caller = policy.callers[caller_id]
    violations = [grant.violations(caller_id, order) for grant in caller.grants]
    # The grant that comes nearest; of two, the one for this name.
    nearest = min(violations, key=lambda broken: (len(broken), "name" in broken))
    if nearest:
        raise NotGranted(f"not-granted-{nearest[0]}")
    grant = caller.grants[violations.index(nearest)]
    recipients = order.recipients or caller.recipients
    if order.action is Action.IMPORT:
        recipients = ()  # there is no private key to seal
    elif not recipients:
        raise RecipientRefused(RecipientProblem.MISSING)
    expires_in = grant.longest_expiry_seconds if order.expires_in is None else order.expires_in
    tags = {**order.tags, **grant.forced_tags}
    if len(tags) > TAGS_TOGETHER:
        raise TagsRefused("tags-too-many")
    return replace(order, recipients=recipients, tags=tags, expires_in=expires_in)


def reach(policy: Policy, caller_id: str, action: Action, region: str) -> Callable[[ExistingKeyPair], bool]:
    """Return a function that tells whether a key pair in `region` is within the caller's reach for `action`.

    Raises NotGranted if nothing there can be.
    """
    granted = [grant for grant in policy.callers[caller_id].grants if action in grant.actions]
    if not granted:
        raise NotGranted("not-granted-action")
    if not any(region in grant.regions for grant in granted):
        raise NotGranted("not-granted-region")
    return lambda pair: any(not grant.existing_violations(action, caller_id, pair) for grant in granted)
