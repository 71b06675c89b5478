"""Issues one key pair step by step, and removes it if a step fails.

The cloud makes the key pair, or imports the caller's public key. The steps are the same: `KeySource` is all
that differs.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, ClassVar, Generic, TypeAlias, TypeVar

from pydantic import AliasGenerator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from handler import sealing
from handler.audit import Decision
from handler.cloud.cvm import ANSWER_RESERVE, CALL_MINIMUM
from handler.errors import (
    CloudAnswerInvalid,
    CloudUnreachable,
    KeyPairDeleted,
    KeyPairFunctionError,
    NameTaken,
    NotGranted,
    OutcomeUnknown,
    OutOfTime,
    PolicyInvalid,
    PublicKeyTaken,
    RecipientRefused,
    RequestInFlight,
    StoreUnavailable,
)
from handler.issuance import key_material, stored_json
from handler.issuance.cleanup import LAG_SECONDS, RELEASED, Cleanup
from handler.issuance.idempotency import FinishedRecord, State
from handler.issuance.ownership_tags import OwnershipTag, whole_minutes
from handler.order import RFC_3339, EnvelopeFormat  # pydantic reads the annotations at run time
from handler.policy.evaluation import granted_order
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import SecretBytes

    from handler.audit import AuditTrail
    from handler.cloud.cvm import CreatedKeyPair, Cvm
    from handler.issuance.idempotency import HeldRecord, IdempotencyLedger
    from handler.issuance.key_material import CheckedKeyPair
    from handler.issuance.order_terms import OrderTerms
    from handler.issuance.ownership_tags import TagSigner
    from handler.order import KeyPairOrder
    from handler.policy.model import Policy
    from handler.scf.invocation import Clock, Credentials, Deadline

    Connect: TypeAlias = Callable[[Credentials, str, Deadline], Cvm]
    """Credentials, region and deadline -> the CVM API of that region."""


_TRIES = 3
"""Calls of CreateKeyPair for one request at most; a further call is made only after a cleanup."""


class _Answer:
    # Callers get the fields in camelCase, from `to_wire`. This gives the schema in /openapi.json the same
    # names. The idempotency record keeps the names that the fields have here.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        alias_generator=AliasGenerator(serialization_alias=to_camel)
    )

    def to_wire(self) -> dict[str, object]:
        """Return it with the names that callers get."""
        return {
            to_camel(name): value.to_wire() if isinstance(value, _Answer) else value
            for name, value in vars(self).items()
        }


@dataclass(frozen=True)
class SealedPrivateKey(_Answer):
    """The private key, sealed so that only its recipients can open it."""

    format: EnvelopeFormat
    recipients: Annotated[
        tuple[str, ...], Field(description="Fingerprints of the public keys to which it is sealed.")
    ]
    ciphertext: Annotated[str, Field(description="The envelope, as ASCII text.")]
    open_with: Annotated[str, Field(description="Shell command that opens it.")]


@dataclass(frozen=True)
class ReleasedKeyPair(_Answer):
    """A key pair, as its caller receives it. It holds no secret, so all of it may be logged and stored."""

    key_id: str
    key_name: str
    project_id: int
    region: str
    public_key: Annotated[str, Field(description="In OpenSSH format.")]
    fingerprint: Annotated[str, Field(description="SHA256:..., as ssh-keygen -l prints it.")]
    created_at: Annotated[str, Field(description="RFC 3339, in UTC.")]
    expires_at: Annotated[
        str | None, Field(description="When the key pair will be removed: RFC 3339, in UTC. Null: never.")
    ]
    request_id: Annotated[str, Field(description="Id of the request that made or imported the key pair.")]


@dataclass(frozen=True)
class IssuedKeyPair(ReleasedKeyPair):
    """A key pair that the cloud made, with its private key."""

    sealed_private_key: SealedPrivateKey


_Released = TypeVar("_Released", bound=ReleasedKeyPair)


class KeySource(ABC, Generic[_Released]):
    """Where the key of an order comes from, and what its caller receives."""

    model: type[_Released]
    recipients: str
    """Digest of the recipients, for the idempotency record."""
    intent: ClassVar[str | None]
    """The reason in the audit line before the cloud is called."""
    decision: ClassVar[Decision]
    """What the audit line before the release says."""

    @abstractmethod
    def make(self, cvm: Cvm, order: KeyPairOrder, tags: Mapping[str, str]) -> CreatedKeyPair:
        """Call the cloud; raise what `Cvm.create_key_pair` raises."""

    @abstractmethod
    def check(self, pair: CreatedKeyPair) -> CheckedKeyPair:
        """Return the key of the cloud's answer; raise CloudAnswerInvalid."""

    @abstractmethod
    def complete(self, order: KeyPairOrder, released: ReleasedKeyPair, private_key: SecretBytes) -> _Released:
        """Return what the caller receives."""

    @abstractmethod
    def may_replay(self, released: _Released) -> bool:
        """Tell whether a stored answer may be released again under today's policy."""


@dataclass(frozen=True)
class CloudMadeKey(KeySource[IssuedKeyPair]):
    """The cloud makes the key pair. Its private key is sealed to the recipients."""

    sealer: sealing.Sealer
    recipients: str

    model = IssuedKeyPair
    intent = None
    decision = Decision.ISSUED

    def make(self, cvm: Cvm, order: KeyPairOrder, tags: Mapping[str, str]) -> CreatedKeyPair:
        """Call CreateKeyPair."""
        return cvm.create_key_pair(order.name, order.project_id, tags)

    def check(self, pair: CreatedKeyPair) -> CheckedKeyPair:
        """Check that both halves belong together."""
        return key_material.check(pair.public_key, pair.private_key)

    def complete(
        self, order: KeyPairOrder, released: ReleasedKeyPair, private_key: SecretBytes
    ) -> IssuedKeyPair:
        """Add the sealed private key."""
        converted = key_material.convert(private_key, order.private_key_format, order.name)
        contents = sealing.Contents(released.key_id, order.name, released.fingerprint)
        return IssuedKeyPair(
            **vars(released),
            sealed_private_key=SealedPrivateKey(
                format=self.sealer.format,
                recipients=self.sealer.fingerprints,
                ciphertext=self.sealer.seal(converted, contents),
                open_with=self.sealer.open_with(order.name, order.private_key_format.suffix),
            ),
        )

    def may_replay(self, released: IssuedKeyPair) -> bool:
        """Refuse what was sealed to a recipient that the policy has removed since."""
        return released.sealed_private_key.recipients == self.sealer.fingerprints


@dataclass(frozen=True)
class Issuer:
    """Issues key pairs under one policy."""

    policy: Policy
    ledger: IdempotencyLedger
    tag_signer: TagSigner
    connect: Connect
    clock: Clock

    def issue(self, order: KeyPairOrder, terms: OrderTerms) -> IssuedKeyPair:
        """Return the key pair of this order: a new one, or the one that the same request got before.

        Names are unique in an account, so the same order of the same caller asks for the same key pair.

        Raises an error of `handler.errors`. After OutcomeUnknown or RequestInFlight a key pair of this order
        may exist. It does if the stored answer of an earlier request cannot be repeated: NotGranted with
        'recipients-changed', StoreUnavailable with 'answer-unreadable'. After any other error none does.
        """
        granted = granted_order(self.policy, terms.caller_id, order)
        # The digest covers what was asked for, not what the policy made of it, so a request stays the
        # same request when the policy changes.
        digest = order.digest()
        try:
            sealer = self._sealer(granted, own_recipients=len(order.recipients))
        except (RecipientRefused, PolicyInvalid):
            # Such as a certificate, of the caller or of the policy, that has expired since the first try.
            finished = self.ledger.finished(terms.caller_id, terms.record_key(digest), digest)
            if finished is None or finished.record.recipients != self._recipients_digest(granted):
                raise
            return self._replay(_stored(finished, IssuedKeyPair), terms.trail)
        terms.trail.note(recipients=sealer.fingerprints)
        return self._release(granted, CloudMadeKey(sealer, self._recipients_digest(granted)), digest, terms)

    def import_key_pair(self, order: KeyPairOrder, terms: OrderTerms) -> ReleasedKeyPair:
        """Import the public key of this order, with the promises of `issue`."""
        # Imported here, so that other requests do not pay for it.
        from handler.issuance.imported_key import ImportedKey

        granted = granted_order(self.policy, terms.caller_id, order)
        return self._release(granted, ImportedKey.vetted(order.public_key or ""), order.digest(), terms)

    def _release(
        self, order: KeyPairOrder, source: KeySource[_Released], digest: str, terms: OrderTerms
    ) -> _Released:
        """Return the key pair of a granted order, new or from the idempotency record."""
        caller_id, invocation, trail = terms.caller_id, terms.invocation, terms.trail
        cvm = self.connect(invocation.credentials(), order.region, invocation.deadline)
        lease = invocation.deadline.remaining()
        # Without an idempotency key, record the message, so that a replay cannot restart the order.
        new = terms.idempotency_key is None and (
            terms.message is None or self.ledger.remember_message(terms.message)
        )
        record = self.ledger.acquire(caller_id, terms.record_key(digest), digest, lease)
        if isinstance(record, FinishedRecord):
            released = _stored(record, source.model)
            if not new or self._exists(released, cvm):
                # The policy may have removed a recipient since. What was sealed to it is not released again.
                if not source.may_replay(released):
                    trail.note(key_id=released.key_id, fingerprint=released.fingerprint)
                    raise NotGranted("recipients-changed")
                return self._replay(released, trail)
            record = self.ledger.restart(record, lease)
        cleanup = Cleanup(cvm, record, caller_id, self.ledger, self.tag_signer, trail)
        issuance = Issuance(
            order=order,
            caller_id=caller_id,
            request_id=invocation.request_id,
            source=source,
            record=record,
            store_is_shared=self.ledger.store.shared,
            cleanup=cleanup,
            tag_signer=self.tag_signer,
            cvm=cvm,
            trail=trail,
        )
        try:
            return issuance.run()
        except KeyPairFunctionError as error:
            # RequestInFlight: a key pair of that name exists, and it may be this order's.
            unknown = isinstance(error, (OutcomeUnknown, RequestInFlight))
            record.release(State.UNKNOWN if unknown else State.UNDONE)
            raise
        except Exception as defect:
            # A defect of this function: how far it came is unknown.
            record.release(State.UNKNOWN)
            raise OutcomeUnknown("internal-fault") from defect
        except BaseException:
            record.release(State.UNKNOWN)
            raise

    def _exists(self, released: ReleasedKeyPair, cvm: Cvm) -> bool:
        """Tell whether a key pair that was released may still be there."""
        if self.ledger.was_deleted(released.key_id):
            return False
        created = datetime.strptime(released.created_at, RFC_3339).replace(tzinfo=timezone.utc)
        if self.clock.now() - created.timestamp() < LAG_SECONDS:
            return True  # the cloud may not show it yet
        try:
            return cvm.find_key_pair(released.key_id) is not None
        except (OutcomeUnknown, OutOfTime):
            return True  # the stored answer does no harm, whatever became of the key pair

    def _replay(self, released: _Released, trail: AuditTrail) -> _Released:
        trail.note(key_id=released.key_id, fingerprint=released.fingerprint)
        # Never replay a deleted key pair: it may have been deleted because its key leaked.
        if self.ledger.was_deleted(released.key_id):
            raise KeyPairDeleted
        if isinstance(released, IssuedKeyPair):
            trail.note(recipients=released.sealed_private_key.recipients)
        trail.write(Decision.REPLAYED)
        return released

    def _recipients_digest(self, order: KeyPairOrder) -> str:
        """Return a digest of the recipients of an order, escrow included."""
        texts = [*order.recipients, *self.policy.escrow]
        return hashlib.sha256(json.dumps(texts).encode()).hexdigest()

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
    expires_at: datetime | None


@dataclass(frozen=True)
class Unresolved:
    """CreateKeyPair failed, and an earlier call may still make a key pair."""

    error: OutcomeUnknown
    """From the earlier call, of this request or of a former try."""
    cause: BaseException | None
    """What made the last call fail, for the log."""


@dataclass(frozen=True)
class Issuance(Generic[_Released]):
    """The work on one order, from its idempotency record to its answer."""

    order: KeyPairOrder
    caller_id: str
    request_id: str
    source: KeySource[_Released]
    record: HeldRecord
    store_is_shared: bool
    """Whether a store that all instances share says what was released."""
    cleanup: Cleanup
    tag_signer: TagSigner
    cvm: Cvm
    trail: AuditTrail

    def run(self) -> _Released:
        """Make, check, complete and record a key pair; raise an error of `handler.errors`."""
        created = self._create()
        if isinstance(created, Unresolved):
            raise created.error from created.cause
        try:
            released = self._complete(created)
            # From here on even an instance that does not share the store sees that it was released.
            self.cvm.set_description(created.pair.key_id, RELEASED)
            self._confirm(created)
            self.trail.note(fingerprint=released.fingerprint)
            self.trail.write(self.source.decision)
            self.record.finish(stored_json.dump(released), self.source.recipients)
        except OutcomeUnknown:
            # Only `finish` raises it here: the answer may be stored, so the key pair has to stay.
            raise
        except BaseException as failure:
            # The caller does not get this key pair, so it must not stay.
            self._undo(created.pair.key_id, untagged=isinstance(failure, _TagsNotKept))
            raise
        return released

    def _create(self) -> Created | Unresolved:
        """Call the cloud until the outcome is known, _TRIES times at most.

        Raises the error of the last call if that call and all before it certainly left nothing.
        """
        name = self.order.name
        unresolved: OutcomeUnknown | None = None
        if self.record.unsettled and not self.cleanup.remove_leftovers(name):
            unresolved = OutcomeUnknown("former-try-unsettled")
        try:
            self.trail.write(Decision.INTENT, self.source.intent)
            self.record.begin()
        except KeyPairFunctionError as error:
            return _failed(error, unresolved)
        expires_at = self._expires_at()
        tags = self._tags(expires_at)
        failure: KeyPairFunctionError
        for _ in range(_TRIES):
            try:
                pair = self.source.make(self.cvm, self.order, tags)
            except (OutcomeUnknown, NameTaken) as error:
                # NameTaken: perhaps by an earlier call of ours whose effect came late.
                failure = error
            except KeyPairFunctionError as error:
                # A key that another name has was not imported by an earlier call of ours either.
                elsewhere = isinstance(error, PublicKeyTaken) and error.elsewhere
                return _failed(error, None if elsewhere else unresolved)
            else:
                self.trail.note(key_id=pair.key_id, upstream_request_id=pair.request_id)
                return Created(pair, expires_at)
            try:
                # RequestRefused is final: the name belongs to another key pair, so no call of ours can
                # get it any more.
                removed = self.cleanup.remove_leftovers(name, expected=isinstance(failure, NameTaken))
            except OutcomeUnknown as error:
                return _failed(error, unresolved)
            if removed:
                unresolved = None
                failure = CloudAnswerInvalid("create-never-certain")
            elif isinstance(failure, OutcomeUnknown):
                unresolved = failure
            # Otherwise the name was taken and has become free since.
        return _failed(failure, unresolved)

    def _expires_at(self) -> datetime | None:
        if self.order.expires_in is None:
            return None
        return whole_minutes(self.trail.clock.now() + self.order.expires_in)

    def _tags(self, expires_at: datetime | None) -> dict[str, str]:
        tag = OwnershipTag(self.caller_id, self.record.holder, expires_at)
        return {**self.order.tags, **self.tag_signer.write(tag, self.order.name)}

    def _confirm(self, created: Created) -> None:
        """Read the key pair back, so that nothing is promised that the cloud does not keep.

        Without a shared store the description alone tells other instances that the key pair was released,
        and the tags alone tell when it expires.
        """
        if self.store_is_shared and created.expires_at is None:
            return
        problem: KeyPairFunctionError
        for _ in self.cvm.looks():
            try:
                pair = self.cvm.find_key_pair(created.pair.key_id)
            except OutcomeUnknown as error:
                problem = CloudUnreachable(error.reason)
                continue
            if pair is None:
                problem = CloudUnreachable("release-not-visible")
            elif self.tag_signer.read(pair.tags, pair.key_name) is None:
                problem = _TagsNotKept("tags-not-kept")
            elif pair.description != RELEASED and not self.store_is_shared:
                problem = CloudAnswerInvalid("description-not-kept")
            else:
                return
        raise problem

    def _complete(self, created: Created) -> _Released:
        order, pair = self.order, created.pair
        if pair.key_name != order.name:
            raise CloudAnswerInvalid("answer-other-name")
        checked = self.source.check(pair)
        released = ReleasedKeyPair(
            key_id=pair.key_id,
            key_name=order.name,
            project_id=order.project_id,
            region=order.region,
            public_key=checked.public_key,
            fingerprint=checked.fingerprint,
            created_at=_rfc3339(self.trail.clock.now()),
            expires_at=None if created.expires_at is None else created.expires_at.strftime(RFC_3339),
            request_id=self.request_id,
        )
        return self.source.complete(order, released, checked.private_key)

    def _undo(self, key_id: str, *, untagged: bool) -> None:
        """Remove the key pair that was just made; raise OutcomeUnknown if it may be left."""
        # By its name and tags, not by the id in the answer: that answer may just have failed a check.
        try:
            # Use the reserved time now, except for two more calls.
            removed = self.cleanup.remove_leftovers(
                self.order.name, expected=not untagged, reserve=ANSWER_RESERVE + 2 * CALL_MINIMUM
            )
        except (RequestInFlight, NameTaken):
            removed = self.cleanup.remove_untagged(key_id, self.order.name)
        if not removed:
            raise OutcomeUnknown("undo-without-effect")


class _TagsNotKept(CloudAnswerInvalid):
    """The key pair that was just made has lost its tags."""


def _failed(error: KeyPairFunctionError, unresolved: OutcomeUnknown | None) -> Unresolved:
    """Return the earlier call that is still unresolved; raise `error` if there is none."""
    if unresolved is None:
        raise error
    return Unresolved(unresolved, error.__cause__)


def _stored(finished: FinishedRecord, model: type[_Released]) -> _Released:
    try:
        return stored_json.load(model, finished.answer)
    except ValidationError:
        raise StoreUnavailable("answer-unreadable") from None


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime(RFC_3339)
