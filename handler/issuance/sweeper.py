"""The sweeper removes key pairs that have expired and key pairs that were made but never released.

It starts from the key pairs in the account, whose tags name their idempotency records. It reports a key
pair that it is unsure of, and leaves it alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from handler.audit import Decision
from handler.errors import KeyPairFunctionError
from handler.issuance.cleanup import ORPHAN_AGE, age_of, never_released, tag_of
from handler.issuance.idempotency import State
from handler.issuance.readiness import OK, store_status
from handler.order import CALLER_TAG, EXPIRES_TAG, ORDER_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from handler.audit import AuditLog, AuditTrail
    from handler.cloud.cvm import Cvm, KeyPairSummary
    from handler.issuance.idempotency import IdempotencyLedger, StoredRecord
    from handler.issuance.issuer import Connect
    from handler.issuance.ownership_tags import TagSigner
    from handler.scf.invocation import Clock, Invocation

PAUSE = 0.15
"""Seconds between two deletes: the cloud takes 10 requests a second for each action (api/213/15700)."""
MARGIN = 4.0
"""Seconds that one key pair may take if the store does not answer. With less time left, none is begun."""


@dataclass(frozen=True)
class Finding:
    """What was or will be done with a key pair, and why. Without a pair: the listing of a region failed."""

    decision: Decision
    reason: str
    region: str
    pair: KeyPairSummary | None
    upstream_request_id: str | None = None


@dataclass(frozen=True)
class _Verdict:
    decision: Decision
    reason: str
    unfinished: tuple[str, StoredRecord] | None = None
    """Id and record of a request whose holder might still wake up and release the key pair."""


@dataclass(frozen=True)
class Sweeper:
    """Sweeps the regions that the policy names."""

    regions: Iterable[str]
    ledger: IdempotencyLedger
    tag_signer: TagSigner
    connect: Connect
    clock: Clock
    audit_log: AuditLog

    def sweep(
        self,
        invocation: Invocation,
        *,
        preview: Callable[[Finding], None] | None = None,
    ) -> Counter[str]:
        """Sweep once; return how often each decision was made, and how many key pairs were `postponed`.

        Writes one audit line at the beginning, one for each finding and one at the end. With `preview`,
        removes and writes nothing, and calls it with each finding. The next sweep takes up what `failed`
        and what was postponed for lack of time.

        Raises SettingsInvalid before it begins. Stops with AuditUnavailable; then at most the key pair
        that was removed last lacks its audit line.
        """
        invocation.credentials()  # raises before anything is begun or written
        dry_run = preview is not None
        if not dry_run:
            # If the audit log is down from the start, nothing is removed.
            self._trail(invocation).write(Decision.INTENT, "sweep")
        counts: Counter[str] = Counter()
        # The API does not document whether regions share key pairs, so each key pair counts once.
        seen: set[str] = set()
        role = OK
        for region in sorted(self.regions):
            for finding in self._findings(region, invocation, seen, counts, dry_run=dry_run):
                counts[finding.decision.value] += 1
                if finding.pair is None:
                    role = finding.reason
                if preview is not None:
                    preview(finding)
                else:
                    _record(self._trail(invocation), finding)
        if not dry_run:
            summary = ", ".join(f"{what} {count}" for what, count in sorted(counts.items()))
            trail = self._trail(invocation)
            trail.note(checks=f"store {store_status(self.ledger.store)}, role {role}")
            trail.write(Decision.SWEPT, summary or "nothing")
        return counts

    def _trail(self, invocation: Invocation) -> AuditTrail:
        return self.audit_log.trail("sweeper", invocation.request_id)

    def _findings(
        self, region: str, invocation: Invocation, seen: set[str], counts: Counter[str], *, dry_run: bool
    ) -> Iterator[Finding]:
        cvm = self.connect(invocation.credentials(), region, invocation.deadline)
        try:
            pairs = cvm.tagged_key_pairs()
        except KeyPairFunctionError as error:
            yield Finding(Decision.FAILED, error.reason, region, None, error.upstream_request_id)
            return
        for pair in pairs:
            if pair.key_id in seen:
                continue
            seen.add(pair.key_id)
            if invocation.deadline.remaining() < MARGIN:
                counts["postponed"] += 1
                continue
            finding = self._handle(pair, region, cvm, dry_run=dry_run)
            if finding is not None:
                yield finding

    def _handle(self, pair: KeyPairSummary, region: str, cvm: Cvm, *, dry_run: bool) -> Finding | None:
        """Decide on a key pair and act on the decision; None if it is kept."""
        try:
            verdict = self._judge(pair)
            if verdict is None:
                return None
            if verdict.decision is Decision.REMOVED and not dry_run:
                verdict = self._remove(pair, verdict, cvm)
        except KeyPairFunctionError as error:
            return Finding(Decision.FAILED, error.reason, region, pair, error.upstream_request_id)
        return Finding(verdict.decision, verdict.reason, region, pair)

    def _remove(self, pair: KeyPairSummary, verdict: _Verdict, cvm: Cvm) -> _Verdict:
        if verdict.unfinished is not None and not self.ledger.withdraw(*verdict.unfinished):
            return _Verdict(Decision.LEFT, "claim-moved")
        self.clock.sleep(PAUSE)
        if not cvm.delete_key_pair(pair.key_id):
            return _Verdict(Decision.LEFT, f"{verdict.reason}-in-use")
        return verdict

    def _judge(self, pair: KeyPairSummary) -> _Verdict | None:
        if ORDER_TAG not in pair.tags:
            return None  # not ours; listed only if the cloud ignored the filter
        tag = tag_of(pair, self.tag_signer)
        if tag is None:
            return _Verdict(Decision.LEFT, "mark-unreadable")
        if (expires := pair.tags.get(EXPIRES_TAG)) is not None and _seconds(expires) <= self.clock.now():
            return _Verdict(Decision.REMOVED, "expired")
        age = age_of(pair, self.clock)
        if age is None:
            return _Verdict(Decision.LEFT, "age-unreadable")
        if age < ORPHAN_AGE:
            return None  # the invocation that made it may still be running
        record = self.ledger.find(tag.record_id)
        if record is None or tag.holder not in (record.holder, *record.former):
            # No record lists the holder, so only the key pair itself can tell.
            if never_released(pair, age):
                return _Verdict(Decision.REMOVED, "orphan")
            return None if pair.description else _Verdict(Decision.LEFT, "claim-missing")
        if tag.holder != record.holder:
            return _Verdict(Decision.REMOVED, "orphan")
        if record.state is State.SEALED or record.lease_ends > self.clock.now():
            return None
        return _Verdict(Decision.REMOVED, "orphan", (tag.record_id, record))


def _record(trail: AuditTrail, finding: Finding) -> None:
    pair = finding.pair
    trail.note(region=finding.region, upstream_request_id=finding.upstream_request_id)
    if pair is not None:
        trail.note(key_id=pair.key_id, key_name=pair.key_name, caller=pair.tags.get(CALLER_TAG))
    trail.write(finding.decision, finding.reason)


def _seconds(timestamp: str) -> float:
    """Return seconds since 1970. The timestamp is well-formed, because the ownership tag covers it."""
    return datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
