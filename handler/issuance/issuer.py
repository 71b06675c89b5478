"""The use case: issue one key pair, step by step, and take it back if a step fails."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from handler import sealing
from handler.audit import Decision
from handler.errors import (
    CloudAnswerInvalid,
    KeyPairFunctionError,
    NameTaken,
    NotGranted,
    OutcomeUnknown,
    PolicyInvalid,
    RecipientRefused,
    RequestRefused,
    StoreUnavailable,
)
from handler.issuance import cleanup, key_material
from handler.issuance.idempotency import State
from handler.order import CALLER_TAG, EXPIRES_TAG, ORDER_TAG

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.audit import AuditTrail
    from handler.cloud.cvm import CreatedKeyPair, Cvm
    from handler.issuance.idempotency import IdempotencyLedger, IdempotencyRecord
    from handler.issuance.ownership_tags import TagSigner
    from handler.order import KeyPairOrder
    from handler.policy.model import Policy
    from handler.scf.invocation import Clock, Credentials, Deadline, Invocation

    Connect: TypeAlias = Callable[[Credentials, str, Deadline], Cvm]
    """Credentials, region and deadline -> the API there."""


_TRIES = 3
"""Calls of CreateKeyPair for one request, where each one before left nothing behind."""


class SealedPrivateKey(BaseModel):
    """The private key as it leaves the function: readable to its recipients only."""

    model_config = ConfigDict(frozen=True)

    format: str
    recipients: tuple[str, ...]
    ciphertext: str
    open_with: str


class IssuedKeyPair(BaseModel):
    """What a caller gets. All of it may be logged and stored: nothing in it is secret."""

    model_config = ConfigDict(frozen=True)

    key_id: str
    key_name: str
    project_id: int
    region: str
    public_key: str
    fingerprint: str
    created_at: str
    expires_at: str | None
    sealed_private_key: SealedPrivateKey
    request_id: str


@dataclass(frozen=True)
class Issuer:
    """Issues key pairs under one policy."""

    policy: Policy
    claims: IdempotencyLedger
    marker: TagSigner
    connect: Connect
    clock: Clock

    def issue(
        self,
        order: KeyPairOrder,
        *,
        caller_id: str,
        idempotency_key: str,
        invocation: Invocation,
        trail: AuditTrail,
    ) -> IssuedKeyPair:
        """Return the key pair of this order: a new one, or that of the same request before.

        Raises an error of `handler.errors`. OutcomeUnknown says that a key pair of this order may be
        there; after any other one there is none.
        """
        granted = self.policy.grant(caller_id, order)
        envelope = self._address(granted, brought=len(order.recipients))
        trail.note(recipients=envelope.fingerprints)
        cvm = self.connect(invocation.credentials(), order.region, invocation.deadline)
        # The digest is of what was asked, not of what the policy made of it: the same request stays the
        # same when the policy changes.
        lease = invocation.deadline.remaining()
        claim = self.claims.claim(caller_id, idempotency_key, order.digest(), lease)
        if claim.answer is not None:
            return _replay(claim.answer, envelope.fingerprints, trail)
        work = _Work(
            granted, caller_id, invocation.request_id, envelope, claim, self.marker, cvm, self.clock, trail
        )
        try:
            return work.issue()
        except KeyPairFunctionError as error:
            outcome = work.doubt or error
            unknown = isinstance(outcome, OutcomeUnknown)
            claim.leave(State.UNKNOWN if unknown else State.UNDONE)
            raise outcome from error.__cause__
        except Exception as defect:
            # A defect of this function: nothing is known of how far it came.
            claim.leave(State.UNKNOWN)
            raise OutcomeUnknown("internal-fault") from defect
        except BaseException:
            claim.leave(State.UNKNOWN)
            raise

    def _address(self, order: KeyPairOrder, *, brought: int) -> sealing.Sealer:
        try:
            return sealing.address(
                order.recipients,
                stated=order.envelope_format,
                escrow=self.policy.escrow,
                now=self.clock.now(),
            )
        except RecipientRefused as refusal:
            if refusal.position is None or refusal.position < brought:
                raise
            # Not the caller's to mend, and not the caller's to know.
            raise PolicyInvalid(f"a recipient in the policy is refused: {refusal.reason}") from None


@dataclass
class _Work:
    """One order, from its claim to its answer."""

    order: KeyPairOrder
    caller_id: str
    request_id: str
    envelope: sealing.Sealer
    claim: IdempotencyRecord
    marker: TagSigner
    cvm: Cvm
    clock: Clock
    trail: AuditTrail
    doubt: OutcomeUnknown | None = None
    """A call, of this request or of a try before, whose effect may still come: no failure is certain."""

    def issue(self) -> IssuedKeyPair:
        if self.claim.unsettled and not self._clear():
            self.doubt = OutcomeUnknown("former-try-unsettled")
        self.trail.write(Decision.INTENT)
        self.claim.begin()
        expires_at = None
        if self.order.expires_in is not None:
            expires_at = _rfc3339(self.clock.now() + self.order.expires_in)
        created = self._create(expires_at)
        try:
            issued = self._seal(created, expires_at)
            # From here on it counts as given to somebody, whoever comes across it without a claim.
            self.cvm.set_description(created.key_id, cleanup.RELEASED)
            self.trail.note(fingerprint=issued.fingerprint)
            self.trail.write(Decision.ISSUED)
            self.claim.finish(issued.model_dump_json())
        except OutcomeUnknown:
            # Only `finish` raises it here: the answer may be stored, so the key pair has to stay.
            raise
        except BaseException:
            # Whatever it was, the caller does not get this key: it must not stay.
            self._undo()
            raise
        return issued

    def _create(self, expires_at: str | None) -> CreatedKeyPair:
        """Call CreateKeyPair until it is known what came of it, a few times at most.

        Each time it is not known, what it may have made is removed first; where nothing is found, the
        doubt remains.
        """
        mark = self.marker.write(self.claim.mark, self.order.name, expires_at)
        tags = {**self.order.tags, ORDER_TAG: mark, CALLER_TAG: self.caller_id}
        if expires_at is not None:
            tags[EXPIRES_TAG] = expires_at
        last: KeyPairFunctionError
        for _ in range(_TRIES):
            try:
                created = self.cvm.create_key_pair(self.order.name, self.order.project_id, tags)
            except OutcomeUnknown as error:
                self.doubt = None if self._clear() else error
                last = CloudAnswerInvalid("create-never-certain")
            except NameTaken as error:
                # By a call whose effect came late or whose maker died; `clear` raises if by somebody else.
                if self._clear():
                    self.doubt = None
                    last = CloudAnswerInvalid("create-never-certain")
                else:
                    last = error  # whoever had the name has given it up since
            else:
                self.doubt = None
                self.trail.note(key_id=created.key_id, upstream_request_id=created.request_id)
                return created
        raise last

    def _seal(self, created: CreatedKeyPair, expires_at: str | None) -> IssuedKeyPair:
        order = self.order
        if created.key_name != order.name:
            raise CloudAnswerInvalid("answer-other-name")
        checked = key_material.check(created.public_key, created.private_key)
        private_key = key_material.convert(checked.private_key, order.private_key_format)
        contents = sealing.Contents(created.key_id, order.name, checked.fingerprint)
        return IssuedKeyPair(
            key_id=created.key_id,
            key_name=order.name,
            project_id=order.project_id,
            region=order.region,
            public_key=checked.public_key,
            fingerprint=checked.fingerprint,
            created_at=_rfc3339(self.clock.now()),
            expires_at=expires_at,
            sealed_private_key=SealedPrivateKey(
                format=self.envelope.format,
                recipients=self.envelope.fingerprints,
                ciphertext=self.envelope.seal(private_key, contents),
                open_with=self.envelope.open_with(order.name),
            ),
            request_id=self.request_id,
        )

    def _undo(self) -> None:
        """Remove the key pair that was just made; raise OutcomeUnknown if it may be left."""
        # By its name and tag, not by the id in the answer, which is what may just have failed a check.
        try:
            removed = self._clear()
        except RequestRefused:
            removed = False
        if not removed:
            raise OutcomeUnknown("undo-without-effect")

    def _clear(self) -> bool:
        try:
            return cleanup.clear(self.cvm, self.order.name, self.claim, self.marker, self.trail)
        except RequestRefused:
            self.doubt = None  # the name is somebody else's, so no call of ours can get it any more
            raise


def _replay(answer: str, recipients: tuple[str, ...], trail: AuditTrail) -> IssuedKeyPair:
    try:
        issued = IssuedKeyPair.model_validate_json(answer)
    except ValidationError:
        raise StoreUnavailable("answer-unreadable") from None
    trail.note(key_id=issued.key_id, fingerprint=issued.fingerprint)
    # The policy may have taken a recipient away since: what was sealed to it is not handed out again.
    if issued.sealed_private_key.recipients != recipients:
        raise NotGranted("recipients-changed")
    trail.write(Decision.REPLAYED)
    return issued


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
