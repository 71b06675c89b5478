"""The audit log: one line of JSON per decision, written before the response is sent.

`docs/audit.md` describes the schema.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import field
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, TextIO, TypedDict

from handler.errors import AuditUnavailable
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Unpack

    from handler.errors import Upstream
    from handler.order import KeyPairOrder
    from handler.scf.invocation import Clock

SCHEMA = "keypair-function/1"
_ONE_LINE = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


class Decision(str, Enum):
    """What was decided, as written in the audit line."""

    INTENT = "intent"
    """CreateKeyPair, ImportKeyPair or DeleteKeyPairs is about to be called, or a sweep is about to begin."""
    ISSUED = "issued"
    """A sealed key is about to be released."""
    IMPORTED = "imported"
    """A caller's public key was imported, and the caller is about to be told."""
    LISTED = "listed"
    """Key pairs are about to be shown to a caller."""
    DELETED = "deleted"
    """A key pair was deleted because a caller asked for it."""
    REPLAYED = "replayed"
    """A stored answer is about to be released: to the same request again, or behind a pick-up link."""
    REFUSED = "refused"
    """This request made no key pair. The caller has to change something."""
    FAILED = "failed"
    """Nothing is released, and no key pair of this request is left. For the sweeper: a step failed."""
    UNKNOWN = "unknown"
    """Nothing is released. A key pair of this request may be left until a retry or the sweeper removes it."""
    REMOVED = "removed"
    """A key pair was deleted because it was never released or has expired."""
    LEFT = "left"
    """The sweeper left a key pair alone, because it is unsure of it or the cloud refused to delete it."""
    SWEPT = "swept"
    """A sweep has ended."""


class Facts(TypedDict, total=False):
    """What is known about a request."""

    caller: str | None
    key_name: str | None
    region: str | None
    project_id: int | None
    recipients: tuple[str, ...] | None
    key_id: str | None
    fingerprint: str | None
    upstream_request_id: str | None
    upstream_code: str | None
    upstream_message: str | None
    checks: str | None
    owner: str | None


@dataclasses.dataclass
class AuditTrail:
    """The audit lines of one request. Facts noted on the way appear in every later line."""

    stream: TextIO
    clock: Clock
    request_id: str
    endpoint: str
    """Written as `door`."""
    remote_address: str
    started: float
    policy_digest: str | None = None
    facts: Facts = field(default_factory=Facts)

    def note(self, **facts: Unpack[Facts]) -> None:
        """Add facts."""
        self.facts.update(facts)

    def note_order(self, order: KeyPairOrder) -> None:
        """Add the facts of an order."""
        self.note(key_name=order.name, region=order.region, project_id=order.project_id)

    def note_upstream(self, upstream: Upstream) -> None:
        """Add what the cloud said."""
        self.note(
            upstream_request_id=upstream.request_id or None,
            upstream_code=upstream.code,
            upstream_message=upstream.message or None,
        )

    def write(self, decision: Decision, reason: str | None = None) -> None:
        """Write one line; raise AuditUnavailable if it cannot be written."""
        facts = self.facts
        line = {
            "audit": SCHEMA,
            "time": datetime.fromtimestamp(self.clock.now(), timezone.utc).isoformat(timespec="milliseconds"),
            "requestId": self.request_id,
            "door": self.endpoint,
            "decision": decision,  # a str, which JSON has as one
            "reason": reason,
            "caller": facts.get("caller"),
            "keyName": facts.get("key_name"),
            "region": facts.get("region"),
            "projectId": facts.get("project_id"),
            "recipients": facts.get("recipients"),
            "keyId": facts.get("key_id"),
            "fingerprint": facts.get("fingerprint"),
            "upstreamRequestId": facts.get("upstream_request_id"),
            "upstreamCode": facts.get("upstream_code"),
            "upstreamMessage": facts.get("upstream_message"),
            "remoteAddress": self.remote_address,
            "durationMs": round((self.clock.monotonic() - self.started) * 1000),
            "policyDigest": self.policy_digest,
            "checks": facts.get("checks"),
            "owner": facts.get("owner"),
        }
        # SECURITY BOUNDARY: ASCII JSON escapes every control character and line separator, so a value that
        # a caller chose can neither end the line nor start another one (ASVS 16.4.1).
        text = _ONE_LINE.encode(line)
        try:
            self.stream.write(text + "\n")
            self.stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            raise AuditUnavailable from None


@dataclass(frozen=True)
class AuditLog:
    """Where audit lines go. `stream` is called for each trail, because SCF may replace `sys.stdout`."""

    stream: Callable[[], TextIO]
    clock: Clock
    policy_digest: str | None = None
    """SHA-256 of the policy in effect, abbreviated."""

    def trail(self, endpoint: str, request_id: str, remote_address: str = "") -> AuditTrail:
        """Return a trail whose durations count from now."""
        return AuditTrail(
            stream=self.stream(),
            clock=self.clock,
            request_id=request_id,
            endpoint=endpoint,
            remote_address=remote_address,
            started=self.clock.monotonic(),
            policy_digest=self.policy_digest,
        )
