"""Lists, shows and deletes the key pairs that callers have.

SECURITY BOUNDARY: only the ownership tag decides who owns a key pair: anybody in the account can set names
and other tags. For a key pair that the caller may not access, the cloud calls and the response are the same
as for one that never existed.
"""

from __future__ import annotations

import itertools
from dataclasses import field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, TypeVar

from handler.audit import Decision
from handler.errors import (
    CloudBusy,
    CloudUnreachable,
    KeyPairInUse,
    KeyPairNotFound,
    OutcomeUnknown,
    RequestInFlight,
    StoreUnavailable,
)
from handler.issuance.cleanup import ORPHAN_AGE, age_of, is_released
from handler.order import TAG_PREFIX, Action
from handler.policy.evaluation import reach
from handler.policy.grants import ExistingKeyPair
from handler.sealing.ssh_keys import fingerprint
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from handler.audit import AuditTrail
    from handler.cloud.cvm import Cvm, KeyPairSummary
    from handler.issuance.idempotency import IdempotencyLedger
    from handler.issuance.issuer import Connect
    from handler.issuance.ownership_tags import OwnershipTag, TagSigner
    from handler.policy.model import Policy
    from handler.scf.invocation import Clock, Invocation

EXPIRES_SOON = timedelta(days=7)
_LOOKS = 3
"""How often to look for a key pair that is not there: the cloud may not show a new one yet."""
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class OwnedKeyPair:
    """A key pair within the caller's reach."""

    key_id: str
    key_name: str
    project_id: int
    region: str
    caller: str
    """The caller that got it."""
    public_key: str | None
    fingerprint: str | None
    created_at: str | None
    """RFC 3339; None if the cloud does not say."""
    expires_at: datetime | None
    expires_soon: bool
    """Whether it expires within seven days."""
    instance_ids: tuple[str, ...]
    tags: Mapping[str, str]
    """Without this function's own."""
    description: str | None
    tag: OwnershipTag = field(repr=False)


@dataclass(frozen=True)
class Inventory:
    """The key pairs of all callers, each of whom sees its own."""

    policy: Policy
    ledger: IdempotencyLedger
    tag_signer: TagSigner
    connect: Connect
    clock: Clock

    def list(
        self,
        region: str,
        wanted: Callable[[OwnedKeyPair], bool],
        *,
        action: Action = Action.LIST,
        caller_id: str,
        invocation: Invocation,
        trail: AuditTrail,
    ) -> Sequence[OwnedKeyPair]:
        """Return the `wanted` key pairs in `region` within the caller's reach for `action`, by name.

        Raises NotGranted, CloudBusy, CloudUnreachable, OutOfTime or StoreUnavailable.
        """
        view = self._view(action, region, caller_id, invocation, trail)
        reached = [pair for one in view.read(view.cvm.tagged_key_pairs) if (pair := view.owned(one))]
        found = sorted(filter(wanted, reached), key=lambda pair: pair.key_name)
        trail.write(Decision.LISTED, f"{len(found)} key pairs")
        return found

    def show(
        self, key_id: str, region: str, *, caller_id: str, invocation: Invocation, trail: AuditTrail
    ) -> OwnedKeyPair:
        """Return one key pair; raise KeyPairNotFound, and what `list` raises."""
        found = self._view(Action.LIST, region, caller_id, invocation, trail).find(key_id)
        trail.write(Decision.LISTED)
        return found

    def delete(
        self,
        key_ids: Sequence[str],
        region: str,
        *,
        caller_id: str,
        invocation: Invocation,
        trail: AuditTrail,
    ) -> None:
        """Delete key pairs, or find that earlier requests of this caller have deleted them.

        Deletes none if one of them is out of reach or in use, as far as the cloud's list says.

        Raises KeyPairInUse, RequestInFlight, OutcomeUnknown if one may still exist or its stored answer may
        still be released, and what `show` raises.
        """
        view = self._view(Action.DELETE, region, caller_id, invocation, trail)
        found = {key_id: self._deletable(key_id, view, caller_id) for key_id in key_ids}
        for key_id, pair in found.items():
            view.note(key_id, pair)
            if pair is not None:
                self._withdraw(pair)
                self.ledger.begin_delete(caller_id, region, key_id)
                trail.write(Decision.INTENT, "delete")
                if not view.cvm.delete_key_pair(key_id):
                    raise KeyPairInUse
            # Before the audit line: a stored answer must not be released again, even if the log is down.
            try:
                self.ledger.finish_delete(key_id)
            except StoreUnavailable:
                # The key pair is gone, but its answer can be replayed until a retry records the delete.
                raise OutcomeUnknown("delete-not-noted") from None
            trail.write(Decision.DELETED)

    def _deletable(self, key_id: str, view: _View, caller_id: str) -> OwnedKeyPair | None:
        """Return a key pair; None if this caller has deleted it before."""
        try:
            pair = view.find(key_id)
        except KeyPairNotFound:
            # The first delete may have failed because the key pair was in use, and the caller may have lost
            # access since. It was deleted only if it is gone.
            begun = self.ledger.is_deleting(caller_id, view.region, key_id)
            if not begun or view.read(lambda: view.cvm.find_key_pair(key_id)) is not None:
                raise
            return None
        if pair.instance_ids:
            raise KeyPairInUse
        return pair

    def _view(
        self, action: Action, region: str, caller_id: str, invocation: Invocation, trail: AuditTrail
    ) -> _View:
        trail.note(region=region)
        reaches = reach(self.policy, caller_id, action, region)
        cvm = self.connect(invocation.credentials(), region, invocation.deadline)
        return _View(self, region, reaches, cvm, trail)

    def _withdraw(self, pair: OwnedKeyPair) -> None:
        """Make sure that nobody can release the key pair any more; raise RequestInFlight if somebody may."""
        maker = self.ledger.maker(pair.tag)
        if maker is None or maker.record.holder != pair.tag.holder or is_released(maker.record, pair.tag):
            return
        if maker.record.lease_ends > self.clock.now() or not self.ledger.withdraw(maker):
            raise RequestInFlight


@dataclass(frozen=True)
class _View:
    """What one request can reach in one region."""

    inventory: Inventory
    region: str
    reaches: Callable[[ExistingKeyPair], bool]
    cvm: Cvm
    trail: AuditTrail

    def find(self, key_id: str) -> OwnedKeyPair:
        """Return a key pair; raise KeyPairNotFound if it is out of reach."""
        self.note(key_id, None)
        for _ in itertools.islice(self.cvm.looks(), _LOOKS):
            summary = self.read(lambda: self.cvm.find_key_pair(key_id))
            pair = None if summary is None else self.owned(summary)
            if pair is not None:
                self.note(key_id, pair)
                return pair
        raise KeyPairNotFound

    def note(self, key_id: str, pair: OwnedKeyPair | None) -> None:
        """Add to the audit trail which key pair the next line is about, and nothing of one out of reach."""
        facts = (None, None, None) if pair is None else (pair.key_name, pair.project_id, pair.caller)
        key_name, project_id, owner = facts
        self.trail.note(key_id=key_id, key_name=key_name, project_id=project_id, owner=owner)

    def owned(self, pair: KeyPairSummary) -> OwnedKeyPair | None:
        """Return the key pair if it is within reach and was released."""
        tag = self.inventory.tag_signer.read(pair.tags, pair.key_name)
        if tag is None:
            return None
        # The code of former tags does not cover the caller, so such a key pair is nobody's.
        owner = tag.caller_id if tag.record_id is None else ""
        existing = ExistingKeyPair(pair.key_name, self.region, pair.project_id, owner)
        if not self.reaches(existing) or not self._was_released(pair, tag):
            return None
        expires_at, line = tag.expires_at, pair.public_key.split()[:2]
        now = datetime.fromtimestamp(self.inventory.clock.now(), timezone.utc)
        return OwnedKeyPair(
            key_id=pair.key_id,
            key_name=pair.key_name,
            project_id=pair.project_id,
            region=self.region,
            caller=tag.caller_id,
            public_key=" ".join(line) or None,
            fingerprint=_fingerprint(line),
            created_at=pair.created_at or None,
            expires_at=expires_at,
            expires_soon=expires_at is not None and expires_at <= now + EXPIRES_SOON,
            instance_ids=pair.instance_ids,
            tags={key: value for key, value in pair.tags.items() if not key.startswith(TAG_PREFIX)},
            description=pair.description,
            tag=tag,
        )

    def _was_released(self, pair: KeyPairSummary, tag: OwnershipTag) -> bool:
        """Tell whether a caller may have got it. It has not while the invocation that makes it still runs."""
        age = age_of(pair, self.inventory.clock)
        if pair.description != "" or (age is not None and age >= ORPHAN_AGE):
            return True
        maker = self.inventory.ledger.maker(tag)
        return maker is not None and is_released(maker.record, tag)

    def read(self, call: Callable[[], _Read]) -> _Read:
        """Return what the cloud lists; raise CloudBusy or CloudUnreachable, as reading changes nothing."""
        try:
            return call()
        except OutcomeUnknown as error:
            kind = CloudBusy if error.reason == "describe-RequestLimitExceeded" else CloudUnreachable
            failure = kind(error.reason)
            failure.upstream = error.upstream
            raise failure from None


def _fingerprint(line: Sequence[str]) -> str | None:
    try:
        return fingerprint(line[1])
    except (IndexError, ValueError):  # the cloud left the key out, or cut it
        return None
