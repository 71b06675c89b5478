"""The use case: issue one key pair, step by step, and take it back if a step fails."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from handler import key_material, sealing
from handler.audit import Decision
from handler.claims import State
from handler.errors import (
    CloudAnswerInvalid,
    KeyPairFunctionError,
    OutcomeUnknown,
    PolicyInvalid,
    RecipientRefused,
    StoreUnavailable,
)
from handler.order import CALLER_TAG, ORDER_TAG

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.audit import AuditTrail
    from handler.claims import Claim, Claims
    from handler.cloud.cvm import CreatedKeyPair, Cvm
    from handler.invocation import Clock, Credentials, Deadline, Invocation
    from handler.order import KeyPairOrder
    from handler.policy import Policy

    Connect: TypeAlias = Callable[[Credentials, str, Deadline], Cvm]
    """Credentials, region and deadline -> the API there."""


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
    sealed_private_key: SealedPrivateKey
    request_id: str


@dataclass(frozen=True)
class Issuer:
    """Issues key pairs under one policy."""

    policy: Policy
    claims: Claims
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
        envelope = _address(granted.recipients, brought=len(order.recipients))
        trail.note(recipients=envelope.fingerprints)
        cvm = self.connect(invocation.credentials(), order.region, invocation.deadline)

        digest = order.digest()
        lease = invocation.deadline.remaining()
        claim = self.claims.claim(caller_id, idempotency_key, digest, lease)
        if claim.answer is not None:
            return _replay(claim.answer, trail)

        tags = {
            **order.tags,
            ORDER_TAG: hashlib.sha256(f"{caller_id}\n{idempotency_key}\n{digest}".encode()).hexdigest(),
            CALLER_TAG: caller_id,
        }
        try:
            trail.write(Decision.INTENT)
            claim.advance(State.CREATING)
            created = cvm.create_key_pair(order.name, order.project_id, tags)
        except OutcomeUnknown:
            _leave(claim, State.UNKNOWN)
            raise
        except BaseException:
            _leave(claim, State.UNDONE)
            raise
        trail.note(key_id=created.key_id, upstream_request_id=created.request_id)
        try:
            issued = self._seal(created, order, envelope, invocation.request_id)
            trail.note(fingerprint=issued.fingerprint)
            trail.write(Decision.ISSUED)
            claim.advance(State.SEALED, issued.model_dump_json())
        except BaseException:
            # Whatever it was, the caller does not get this key: it must not stay.
            _undo(cvm, created, claim)
            raise
        return issued

    def _seal(
        self, created: CreatedKeyPair, order: KeyPairOrder, envelope: sealing.AgeEnvelope, request_id: str
    ) -> IssuedKeyPair:
        if created.key_name != order.name:
            raise CloudAnswerInvalid("answer-other-name")
        checked = key_material.check(created.public_key, created.private_key)
        sealed = SealedPrivateKey(
            format=envelope.format,
            recipients=envelope.fingerprints,
            ciphertext=envelope.seal(key_material.convert(checked.private_key, order.private_key_format)),
            open_with=envelope.open_with(order.name),
        )
        return IssuedKeyPair(
            key_id=created.key_id,
            key_name=order.name,
            project_id=order.project_id,
            region=order.region,
            public_key=checked.public_key,
            fingerprint=checked.fingerprint,
            created_at=_rfc3339(self.clock.now()),
            sealed_private_key=sealed,
            request_id=request_id,
        )


def _address(recipients: tuple[str, ...], *, brought: int) -> sealing.AgeEnvelope:
    try:
        return sealing.address(recipients)
    except RecipientRefused as refusal:
        if refusal.position is None or refusal.position < brought:
            raise
        # Not the caller's to mend, and not the caller's to know.
        raise PolicyInvalid(f"a recipient in the policy is refused: {refusal.reason}") from None


def _replay(answer: str, trail: AuditTrail) -> IssuedKeyPair:
    try:
        issued = IssuedKeyPair.model_validate_json(answer)
    except ValidationError:
        raise StoreUnavailable("answer-unreadable") from None
    trail.note(key_id=issued.key_id, fingerprint=issued.fingerprint)
    trail.write(Decision.REPLAYED)
    return issued


def _undo(cvm: Cvm, created: CreatedKeyPair, claim: Claim) -> None:
    try:
        cvm.delete_key_pair(created.key_id)
    except KeyPairFunctionError:
        _leave(claim, State.UNKNOWN)
        raise OutcomeUnknown("undo-failed") from None
    _leave(claim, State.UNDONE)


def _leave(claim: Claim, state: State) -> None:
    try:
        claim.advance(state)
    except StoreUnavailable:
        # The claim stays as it is until its lease ends; that the store is down is not what the caller
        # has to hear about first.
        return


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
