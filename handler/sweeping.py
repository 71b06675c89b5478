"""The sweeper: removes key pairs that have expired, and those that a request made and nobody was given.

It looks at the account, not at the store: a key pair's tags say which claim it belongs to. What it is
unsure of it reports and leaves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from handler.audit import Decision
from handler.claims import ANSWER_TTL, OrderMark, State
from handler.errors import KeyPairFunctionError
from handler.order import CALLER_TAG, EXPIRES_TAG, ORDER_TAG
from handler.settling import ORPHAN_AGE, age

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from handler.audit import AuditTrail
    from handler.claims import Claims
    from handler.cloud.cvm import Cvm, KeyPairSummary
    from handler.invocation import Clock, Invocation
    from handler.issuing import Connect

PAUSE = 0.15
"""Seconds between two calls: the cloud takes 10 requests a second for each action (api/213/15700)."""


@dataclass(frozen=True)
class Verdict:
    """What is to become of a key pair, and why."""

    decision: Decision
    reason: str


@dataclass(frozen=True)
class Sweeper:
    """Sweeps the regions that the policy names."""

    regions: Iterable[str]
    claims: Claims
    connect: Connect
    clock: Clock

    def sweep(
        self, invocation: Invocation, new_trail: Callable[[], AuditTrail], *, dry_run: bool
    ) -> Counter[str]:
        """Sweep once; return how often each decision was made. One audit line for each, and one at the end.

        A dry run decides and counts, and neither removes nor writes. What fails is counted as `failed`
        and met again by the next sweep.
        """
        counts: Counter[str] = Counter()
        for region in sorted(self.regions):
            cvm = self.connect(invocation.credentials(), region, invocation.deadline)
            try:
                pairs = cvm.marked_key_pairs()
            except KeyPairFunctionError as error:
                counts["failed"] += 1
                self._record(new_trail(), region, None, Verdict(Decision.FAILED, error.reason), dry_run)
                continue
            for pair in pairs:
                verdict = self._settle(pair, cvm, dry_run)
                if verdict is not None:
                    counts[verdict.decision.value] += 1
                    self._record(new_trail(), region, pair, verdict, dry_run)
        if not dry_run:
            summary = ", ".join(f"{decision} {count}" for decision, count in sorted(counts.items()))
            new_trail().write(Decision.SWEPT, summary or "nothing")
        return counts

    def _settle(self, pair: KeyPairSummary, cvm: Cvm, dry_run: bool) -> Verdict | None:  # noqa: FBT001  # handed through
        """Decide on a key pair and act on it; None where it is to be kept."""
        try:
            verdict = self._judge(pair)
            if verdict is None or verdict.decision is not Decision.REMOVED or dry_run:
                return verdict
            self.clock.sleep(PAUSE)
            if not cvm.delete_key_pair(pair.key_id):
                return Verdict(Decision.LEFT, f"{verdict.reason}-in-use")
        except KeyPairFunctionError as error:
            return Verdict(Decision.FAILED, error.reason)
        return verdict

    def _judge(self, pair: KeyPairSummary) -> Verdict | None:
        mark = OrderMark.parse(pair.tags.get(ORDER_TAG, ""))
        if mark is None:
            return Verdict(Decision.LEFT, "mark-unreadable")
        if (expires := pair.tags.get(EXPIRES_TAG)) is not None:
            expires_at = _seconds(expires)
            if expires_at is None:
                return Verdict(Decision.LEFT, "expiry-unreadable")
            if expires_at <= self.clock.now():
                return Verdict(Decision.REMOVED, "expired")
        seconds = age(pair, self.clock)
        if seconds is None:
            return Verdict(Decision.LEFT, "age-unreadable")
        if seconds < ORPHAN_AGE:
            return None  # its maker may be at work
        record = self.claims.find(mark.claim)
        if record is None:
            # Unfinished claims outlive answers, so after that time a missing one was finished. Before,
            # the store has lost it or never had it: another instance's memory.
            return None if seconds >= ANSWER_TTL else Verdict(Decision.LEFT, "claim-missing")
        if record.state is State.SEALED and record.holder == mark.holder:
            return None
        if record.lease_ends > self.clock.now() and record.state is not State.SEALED:
            return None
        return Verdict(Decision.REMOVED, "orphan")

    def _record(
        self,
        trail: AuditTrail,
        region: str,
        pair: KeyPairSummary | None,
        verdict: Verdict,
        dry_run: bool,  # noqa: FBT001  # handed through
    ) -> None:
        if dry_run:
            return
        trail.note(region=region)
        if pair is not None:
            trail.note(key_id=pair.key_id, key_name=pair.key_name, caller=pair.tags.get(CALLER_TAG))
        trail.write(verdict.decision, verdict.reason)


def _seconds(timestamp: str) -> float | None:
    try:
        return datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
