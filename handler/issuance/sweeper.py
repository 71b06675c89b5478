"""The sweeper removes expired key pairs, and key pairs that were made for a request but never released.

It looks at the account, not at the store: a key pair's tags lead to its idempotency record. It reports and
leaves whatever it is unsure of.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from typing import TYPE_CHECKING

from handler.audit import Decision
from handler.errors import KeyPairFunctionError, RequestInFlight, StoreUnavailable
from handler.issuance.cleanup import ORPHAN_AGE, age_of, is_released, never_released
from handler.issuance.readiness import OK, store_status
from handler.order import CALLER_TAG
from handler.startup.records import dataclass
from handler.store.authenticated import RECORD_FORGED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from handler.audit import AuditLog, AuditTrail
    from handler.cloud.cvm import Cvm, KeyPairSummary
    from handler.errors import Upstream
    from handler.issuance.idempotency import FoundRecord, IdempotencyLedger
    from handler.issuance.issuer import Connect
    from handler.issuance.ownership_tags import OwnershipTag, TagSigner
    from handler.scf.invocation import Clock, Invocation

PAUSE = 0.15
"""Seconds between two deletes: the cloud takes 10 requests a second for each action (api/213/15700)."""
MARGIN = 4.0
"""Seconds that a key pair may take if the store does not answer. With less left, none is begun."""
REPORTED_FOR = 24 * 3600
"""Seconds before the same key pair is reported, or its delete tried, again."""
NOTICE_DAYS = 7
"""Days between the notice on an orphan of which nothing is certain and its removal."""
QUOTA = 100
"""Key pairs that an account may hold (213/6092)."""
QUOTA_WARNING = 80


@dataclass(frozen=True)
class Finding:
    """A decision about a key pair; without a pair, a region that could not be listed."""

    decision: Decision
    reason: str
    region: str
    pair: KeyPairSummary | None
    upstream: Upstream | None = None


class _Urgency(IntEnum):
    """Orphans first: they block names. Then what has expired, what an instance uses, and last the notices."""

    ORPHAN = 0
    EXPIRED = 1
    IN_USE = 2
    NOTICE = 3


@dataclass(frozen=True)
class _Task:
    """A key pair to remove."""

    urgency: _Urgency
    reason: str
    region: str
    cvm: Cvm
    pair: KeyPairSummary
    unfinished: FoundRecord | None = None
    """The record of a holder that might still wake up and release the key pair."""


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
        """Sweep once; return how often each decision was made.

        It also counts what was `postponed` for lack of time, which the next sweep takes up, and `foreign` key
        pairs: those with tags of another deployment, or with tags that somebody has changed.

        Writes one audit line at the beginning, one for each finding and one at the end. With `preview`,
        removes and writes nothing, and calls it with each finding.

        Raises SettingsInvalid before it begins. Stops with AuditUnavailable; then at most the key pair
        that was removed last lacks its audit line.
        """
        invocation.credentials()  # raises before anything is begun or written
        sweep = _Sweep(self, invocation, preview)
        sweep.run()
        return sweep.counts


class _Sweep:
    """One sweep on its way."""

    def __init__(
        self, sweeper: Sweeper, invocation: Invocation, preview: Callable[[Finding], None] | None
    ) -> None:
        self.sweeper = sweeper
        self.invocation = invocation
        self.preview = preview
        self.counts: Counter[str] = Counter()
        self.store_problem: StoreUnavailable | None = None
        """The first failure. The sweep then stops asking the store: each question could cost a time-out."""
        self._role = OK
        self._tasks: list[_Task] = []
        self._quotas: list[str] = []
        self._seen: set[str] = set()
        """Ids. The API does not document whether regions share key pairs, so each key pair counts once."""

    def run(self) -> None:
        if self.preview is None:
            # If the audit log is down from the start, nothing is removed.
            self._trail().write(Decision.INTENT, "sweep")
        for region in sorted(self.sweeper.regions):
            self._list(region)
        # Of the same urgency, the oldest first: what a sweep has no time for comes first in the next one.
        for task in sorted(self._tasks, key=lambda task: (task.urgency, task.pair.created_at)):
            self._do(task)
        if self.preview is None:
            parts = [f"{what} {count}" for what, count in sorted(self.counts.items())]
            trail = self._trail()
            trail.note(checks=f"store {store_status(self.sweeper.ledger.store)}, role {self._role}")
            trail.write(Decision.SWEPT, ", ".join(parts + self._quotas) or "nothing")

    def _list(self, region: str) -> None:
        invocation = self.invocation
        cvm = self.sweeper.connect(invocation.credentials(), region, invocation.deadline)
        try:
            pairs = cvm.tagged_key_pairs()
            self._quotas += _quota_warning(cvm.count_key_pairs(), region)
        except KeyPairFunctionError as error:
            self._role = error.reason
            self._found(Finding(Decision.FAILED, error.reason, region, None, error.upstream))
            return
        for pair in pairs:
            if (
                pair.key_id not in self._seen and CALLER_TAG in pair.tags
            ):  # absent only if the cloud did not filter
                self._seen.add(pair.key_id)
                self._judge(pair, region, cvm)

    def _judge(self, pair: KeyPairSummary, region: str, cvm: Cvm) -> None:
        """Add a task for a key pair that is to be removed, and report one that nobody can decide on."""
        try:
            task = self._task(pair, region, cvm)
        except RequestInFlight:
            return  # a later version of this function works on it
        except KeyPairFunctionError as error:
            self._found(Finding(Decision.FAILED, error.reason, region, pair))
            return
        if isinstance(task, _Task):
            self._tasks.append(task)
        elif task is not None and self._note_reported(pair, task):
            self._found(Finding(Decision.LEFT, task, region, pair))

    def _task(self, pair: KeyPairSummary, region: str, cvm: Cvm) -> _Task | str | None:
        """Return what to do about a key pair: a task, the reason to leave and report it, or nothing."""
        sweeper = self.sweeper
        tag = sweeper.tag_signer.read(pair.tags, pair.key_name)
        if tag is None:
            self.counts["foreign"] += 1
            return None
        if tag.expires_at is not None and tag.expires_at.timestamp() <= sweeper.clock.now():
            urgency = _Urgency.IN_USE if pair.instance_ids else _Urgency.EXPIRED
            return _Task(urgency, "expired", region, cvm, pair)
        age = age_of(pair, sweeper.clock)
        if age is None:
            return "age-unreadable"
        if age < ORPHAN_AGE:
            return None  # the invocation that made it may still be running
        orphan = _Task(_Urgency.ORPHAN, "orphan", region, cvm, pair)
        maker = self._maker(tag)
        if maker is None:
            return self._without_record(orphan, age)
        record = maker.record
        if tag.holder != record.holder:
            return orphan
        if is_released(record, tag) or record.lease_ends > sweeper.clock.now():
            return None
        return _Task(_Urgency.ORPHAN, "orphan", region, cvm, pair, maker)

    def _maker(self, tag: OwnershipTag) -> FoundRecord | None:
        if self.store_problem is not None:
            raise self.store_problem
        try:
            return self.sweeper.ledger.maker(tag)
        except StoreUnavailable as problem:
            # A forged record, or one under a former secret, affects only its own key pair.
            if problem.reason != RECORD_FORGED:
                self.store_problem = problem
            raise

    def _without_record(self, orphan: _Task, age: float) -> _Task | str | None:
        """Decide on a key pair of which no record lists the holder: only the key pair itself can tell."""
        pair, signer = orphan.pair, self.sweeper.tag_signer
        if pair.description is None:
            return "description-missing"
        if never_released(pair, age):
            return orphan
        today = datetime.fromtimestamp(self.sweeper.clock.now(), timezone.utc).date()
        day = signer.removal_day(pair.key_id, pair.description)
        if day is not None:
            return orphan if day <= today and not pair.instance_ids else None
        if pair.description or pair.instance_ids:
            return None
        # Perhaps somebody has cleared the description by hand. Whoever holds the key has a week to change
        # the notice.
        return replace(orphan, urgency=_Urgency.NOTICE, reason="orphan-announced")

    def _do(self, task: _Task) -> None:
        """Remove a key pair, and report it."""
        if self.invocation.deadline.remaining() < MARGIN:
            self.counts["postponed"] += 1
            return
        if task.urgency is _Urgency.IN_USE:
            if self._note_reported(task.pair, "in-use"):
                self._found(Finding(Decision.LEFT, f"{task.reason}-in-use", task.region, task.pair))
            return
        if self.preview is not None:
            decision = Decision.LEFT if task.urgency is _Urgency.NOTICE else Decision.REMOVED
            self._found(Finding(decision, task.reason, task.region, task.pair))
            return
        try:
            finding = self._announce(task) if task.urgency is _Urgency.NOTICE else self._remove(task)
        except KeyPairFunctionError as error:
            finding = Finding(Decision.FAILED, error.reason, task.region, task.pair, error.upstream)
        if finding is not None:
            self._found(finding)

    def _announce(self, task: _Task) -> Finding | None:
        if self._has_changed(task):
            return None
        today = datetime.fromtimestamp(self.sweeper.clock.now(), timezone.utc).date()
        day = today + timedelta(days=NOTICE_DAYS)
        notice = self.sweeper.tag_signer.orphan_notice(task.pair.key_id, day)
        task.cvm.set_description(task.pair.key_id, notice)
        return Finding(Decision.LEFT, task.reason, task.region, task.pair)

    def _has_changed(self, task: _Task) -> bool:
        """Tell whether a key pair has been described, bound or deleted since it was listed."""
        pair = task.cvm.find_key_pair(task.pair.key_id)
        return pair is None or (pair.description, pair.instance_ids) != (
            task.pair.description,
            task.pair.instance_ids,
        )

    def _remove(self, task: _Task) -> Finding | None:
        ledger = self.sweeper.ledger
        # An instance uses it, though the cloud does not say so in its list.
        if self._was_reported(task.pair, "in-use"):
            return None
        if task.urgency is _Urgency.ORPHAN and task.unfinished is None and self._has_changed(task):
            return None
        if task.unfinished is not None and not ledger.withdraw(task.unfinished):
            return Finding(Decision.LEFT, "claim-moved", task.region, task.pair)
        self.sweeper.clock.sleep(PAUSE)
        if task.cvm.delete_key_pair(task.pair.key_id):
            return Finding(Decision.REMOVED, task.reason, task.region, task.pair)
        if not self._note_reported(task.pair, "in-use"):
            return None
        return Finding(Decision.LEFT, f"{task.reason}-in-use", task.region, task.pair)

    def _was_reported(self, pair: KeyPairSummary, what: str) -> bool:
        """Tell whether this has been reported of `pair` within a day."""
        try:
            return self.sweeper.ledger.store.get(_report_key(pair, what)) is not None
        except KeyPairFunctionError:
            return False

    def _note_reported(self, pair: KeyPairSummary, what: str) -> bool:
        """Note that this is reported of `pair`; tell whether it is to be: not twice within a day.

        A preview notes nothing and reports everything.
        """
        if self.preview is not None:
            return True
        try:
            return self.sweeper.ledger.store.add(_report_key(pair, what), "", REPORTED_FOR)
        except KeyPairFunctionError:
            return True

    def _found(self, finding: Finding) -> None:
        self.counts[finding.decision.value] += 1
        if self.preview is not None:
            self.preview(finding)
            return
        trail = self._trail()
        trail.note(region=finding.region)
        if finding.upstream is not None:
            trail.note_upstream(finding.upstream)
        pair = finding.pair
        if pair is not None:
            trail.note(key_id=pair.key_id, key_name=pair.key_name, caller=pair.tags.get(CALLER_TAG))
        trail.write(finding.decision, finding.reason)

    def _trail(self) -> AuditTrail:
        return self.sweeper.audit_log.trail("sweeper", self.invocation.request_id)


def _quota_warning(in_all: int, region: str) -> list[str]:
    return [f"{in_all} of {QUOTA} key pairs in {region}"] if in_all >= QUOTA_WARNING else []


def _report_key(pair: KeyPairSummary, what: str) -> str:
    return f"reported:{what}:{pair.key_id}"
