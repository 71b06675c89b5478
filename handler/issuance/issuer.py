"""Issues one key pair step by step, and removes it if a step fails."""

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
from handler.issuance import key_material
from handler.issuance.cleanup import RELEASED, Cleanup
from handler.issuance.idempotency import FinishedRecord, State
from handler.order import CALLER_TAG, EXPIRES_TAG, ORDER_TAG
from handler.policy.evaluation import granted_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.audit import AuditTrail
    from handler.cloud.cvm import CreatedKeyPair, Cvm
    from handler.issuance.idempotency import HeldRecord, IdempotencyLedger
    from handler.issuance.ownership_tags import TagSigner
    from handler.order import KeyPairOrder
    from handler.policy.model import Policy
    from handler.scf.invocation import Clock, Credentials, Deadline, Invocation

    Connect: TypeAlias = Callable[[Credentials, str, Deadline], Cvm]
    """Credentials, region and deadline -> the CVM API of that region."""


_TRIES = 3
"""Calls of CreateKeyPair for one request at most; a further call is made only after a cleanup."""


class SealedPrivateKey(BaseModel):
    """The private key as it leaves the function: only its recipients can read it."""

    model_config = ConfigDict(frozen=True)

    format: str
    recipients: tuple[str, ...]
    ciphertext: str
    open_with: str


class IssuedKeyPair(BaseModel):
    """What a caller receives. It holds no secret, so all of it may be logged and stored."""

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
    ledger: IdempotencyLedger
    tag_signer: TagSigner
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
        """Return the key pair of this order: a new one, or the one that the same request got before.

        Raises an error of `handler.errors`. After OutcomeUnknown a key pair of this order may exist; after
        any other error none does.
        """
        granted = granted_order(self.policy, caller_id, order)
        sealer = self._sealer(granted, own_recipients=len(order.recipients))
        trail.note(recipients=sealer.fingerprints)
        cvm = self.connect(invocation.credentials(), order.region, invocation.deadline)
        # The digest covers what was asked for, not what the policy made of it, so a request stays the
        # same request when the policy changes.
        lease = invocation.deadline.remaining()
        record = self.ledger.acquire(caller_id, idempotency_key, order.digest(), lease)
        if isinstance(record, FinishedRecord):
            return _replay(record.answer, sealer.fingerprints, trail)
        cleanup = Cleanup(cvm, record, self.ledger, self.tag_signer, trail)
        issuance = Issuance(
            granted, caller_id, invocation.request_id, sealer, record, cleanup, self.tag_signer, cvm, trail
        )
        try:
            return issuance.run()
        except KeyPairFunctionError as error:
            record.release(State.UNKNOWN if isinstance(error, OutcomeUnknown) else State.UNDONE)
            raise
        except Exception as defect:
            # A defect of this function: how far it came is unknown.
            record.release(State.UNKNOWN)
            raise OutcomeUnknown("internal-fault") from defect
        except BaseException:
            record.release(State.UNKNOWN)
            raise

    def _sealer(self, order: KeyPairOrder, *, own_recipients: int) -> sealing.Sealer:
        try:
            return sealing.prepare_sealer(
                order.recipients,
                stated=order.envelope_format,
                escrow=self.policy.escrow,
                now=self.clock.now(),
            )
        except RecipientRefused as refusal:
            if refusal.position is None or refusal.position < own_recipients:
                raise
            # The recipient comes from the policy. The caller can neither correct it nor should see it.
            raise PolicyInvalid(f"a recipient in the policy is refused: {refusal.reason}") from None


@dataclass(frozen=True)
class Created:
    """CreateKeyPair succeeded, so no earlier call can have made another key pair of this name."""

    pair: CreatedKeyPair
    expires_at: str | None


@dataclass(frozen=True)
class Unresolved:
    """CreateKeyPair failed, and an earlier call may still make a key pair."""

    error: OutcomeUnknown
    """From the earlier call, of this request or of a former try."""
    cause: BaseException | None
    """What made the last call fail, for the log."""


@dataclass(frozen=True)
class Issuance:
    """The work on one order, from its idempotency record to its answer."""

    order: KeyPairOrder
    caller_id: str
    request_id: str
    sealer: sealing.Sealer
    record: HeldRecord
    cleanup: Cleanup
    tag_signer: TagSigner
    cvm: Cvm
    trail: AuditTrail

    def run(self) -> IssuedKeyPair:
        """Create, check, seal and record a key pair; raise an error of `handler.errors`."""
        created = self._create()
        if isinstance(created, Unresolved):
            raise created.error from created.cause
        try:
            issued = self._seal(created)
            # From here on even an instance that does not share the store sees that it was released.
            self.cvm.set_description(created.pair.key_id, RELEASED)
            self.trail.note(fingerprint=issued.fingerprint)
            self.trail.write(Decision.ISSUED)
            self.record.finish(issued.model_dump_json())
        except OutcomeUnknown:
            # Only `finish` raises it here: the answer may be stored, so the key pair has to stay.
            raise
        except BaseException:
            # The caller does not get this key pair, so it must not stay.
            self._undo()
            raise
        return issued

    def _create(self) -> Created | Unresolved:
        """Call CreateKeyPair until the outcome is known, _TRIES times at most.

        Raises the error of the last call if that call and all before it certainly left nothing.
        """
        name = self.order.name
        unresolved: OutcomeUnknown | None = None
        if self.record.unsettled and not self.cleanup.remove_leftovers(name):
            unresolved = OutcomeUnknown("former-try-unsettled")
        try:
            self.trail.write(Decision.INTENT)
            self.record.begin()
        except KeyPairFunctionError as error:
            return _failed(error, unresolved)
        expires_at = self._expires_at()
        tags = self._tags(expires_at)
        failure: KeyPairFunctionError
        for _ in range(_TRIES):
            try:
                pair = self.cvm.create_key_pair(name, self.order.project_id, tags)
            except (OutcomeUnknown, NameTaken) as error:
                # NameTaken: perhaps by an earlier call of ours whose effect came late.
                failure = error
            except KeyPairFunctionError as error:
                return _failed(error, unresolved)
            else:
                self.trail.note(key_id=pair.key_id, upstream_request_id=pair.request_id)
                return Created(pair, expires_at)
            try:
                # RequestRefused is final: the name belongs to another key pair, so no call of ours can
                # get it any more.
                removed = self.cleanup.remove_leftovers(name)
            except OutcomeUnknown as error:
                return _failed(error, unresolved)
            if removed:
                unresolved = None
                failure = CloudAnswerInvalid("create-never-certain")
            elif isinstance(failure, OutcomeUnknown):
                unresolved = failure
            # Otherwise the name was taken and has become free since.
        return _failed(failure, unresolved)

    def _expires_at(self) -> str | None:
        if self.order.expires_in is None:
            return None
        return _rfc3339(self.trail.clock.now() + self.order.expires_in)

    def _tags(self, expires_at: str | None) -> dict[str, str]:
        tag = self.tag_signer.write(self.record.tag, self.order.name, expires_at)
        tags = {**self.order.tags, ORDER_TAG: tag, CALLER_TAG: self.caller_id}
        if expires_at is not None:
            tags[EXPIRES_TAG] = expires_at
        return tags

    def _seal(self, created: Created) -> IssuedKeyPair:
        order, pair = self.order, created.pair
        if pair.key_name != order.name:
            raise CloudAnswerInvalid("answer-other-name")
        checked = key_material.check(pair.public_key, pair.private_key)
        private_key = key_material.convert(checked.private_key, order.private_key_format)
        contents = sealing.Contents(pair.key_id, order.name, checked.fingerprint)
        return IssuedKeyPair(
            key_id=pair.key_id,
            key_name=order.name,
            project_id=order.project_id,
            region=order.region,
            public_key=checked.public_key,
            fingerprint=checked.fingerprint,
            created_at=_rfc3339(self.trail.clock.now()),
            expires_at=created.expires_at,
            sealed_private_key=SealedPrivateKey(
                format=self.sealer.format,
                recipients=self.sealer.fingerprints,
                ciphertext=self.sealer.seal(private_key, contents),
                open_with=self.sealer.open_with(order.name),
            ),
            request_id=self.request_id,
        )

    def _undo(self) -> None:
        """Remove the key pair that was just made; raise OutcomeUnknown if it may be left."""
        # By its name and tag, not by the id in the answer: that answer may just have failed a check.
        try:
            removed = self.cleanup.remove_leftovers(self.order.name)
        except RequestRefused:
            removed = False
        if not removed:
            raise OutcomeUnknown("undo-without-effect")


def _failed(error: KeyPairFunctionError, unresolved: OutcomeUnknown | None) -> Unresolved:
    """Return the earlier call that is still unresolved; raise `error` if there is none."""
    if unresolved is None:
        raise error
    return Unresolved(unresolved, error.__cause__)


def _replay(answer: str, recipients: tuple[str, ...], trail: AuditTrail) -> IssuedKeyPair:
    try:
        issued = IssuedKeyPair.model_validate_json(answer)
    except ValidationError:
        raise StoreUnavailable("answer-unreadable") from None
    trail.note(key_id=issued.key_id, fingerprint=issued.fingerprint)
    # The policy may have removed a recipient since. What was sealed to it is not released again.
    if issued.sealed_private_key.recipients != recipients:
        raise NotGranted("recipients-changed")
    trail.write(Decision.REPLAYED)
    return issued


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
