"""Everything that can go wrong, as one tree.

The public face of an error (`code`, `status`, `title`) is constant text: nothing a caller sent and
nothing the cloud said is in it. `reason` is a constant too; it goes to the audit line and never to a
caller, so that the causes of one public answer (401 above all) can be told apart by the operator only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from handler.sealing.recipient_problems import RecipientProblem


@dataclass(frozen=True)
class FieldProblem:
    """One field of a request, the rule that it breaks, and what to send instead; never the value."""

    field: str
    rule: str
    advice: str = ""


class KeyPairFunctionError(Exception):
    """The root of the tree; never raised itself."""

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retry_after: int | None = None
    """Seconds after which the same request may succeed, where waiting helps."""

    upstream_request_id: str | None = None
    """The cloud's id for its own answer, where that is what went wrong."""

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(self.title)
        self.reason = reason or self.code

    @property
    def problems(self) -> tuple[FieldProblem, ...]:
        """The fields at fault, where the caller can mend them."""
        return ()


class RequestRefused(KeyPairFunctionError):
    """The caller has to change something; no key pair was made."""


class MalformedRequest(RequestRefused):
    """The request cannot be read: event, headers, JSON or fields."""

    code = "malformed-request"
    status = 400
    title = "The request is malformed."

    def __init__(self, reason: str | None = None, problems: tuple[FieldProblem, ...] = ()) -> None:
        super().__init__(reason)
        self._problems = problems

    @property
    def problems(self) -> tuple[FieldProblem, ...]:
        """The fields at fault; none where the body is no JSON object, or a header is malformed."""
        return self._problems


class Unauthenticated(RequestRefused):
    """Nobody proved to have sent this; the cause is in `reason` alone (ASVS 6.3.8: no oracle)."""

    code = "unauthenticated"
    status = 401
    title = "The caller is not authenticated."


class NotGranted(RequestRefused):
    """The policy does not grant this to this caller."""

    code = "not-granted"
    status = 403
    title = "The policy does not grant this request."


class NotUnderstood(RequestRefused):
    """No command that the bot knows; `reason` says what is wrong with it."""

    code = "not-understood"
    status = 400
    title = "This is no command."


class Unregistered(RequestRefused):
    """A user whom a chat platform vouches for, and whom no caller in the policy names."""

    code = "unregistered"
    status = 403
    title = "This user is not registered."


class NotFound(RequestRefused):
    """No door at this path."""

    code = "not-found"
    status = 404
    title = "There is nothing at this path."


class MethodNotAllowed(RequestRefused):
    """A door that takes other methods."""

    code = "method-not-allowed"
    status = 405
    title = "This path takes other methods."

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__()
        self.allowed = allowed


class UnknownAction(RequestRefused):
    """The Tencent v3 door answers CreateKeyPair and nothing else."""

    code = "unknown-action"
    status = 400
    title = "Only CreateKeyPair is offered."


class UnknownVersion(RequestRefused):
    """The Tencent v3 door speaks one version of the API."""

    code = "unknown-version"
    status = 400
    title = "This version of the API is not offered here."


class RegionMismatch(RequestRefused):
    """X-TC-Region, which is not signed, contradicts what is signed or configured."""

    code = "region-mismatch"
    status = 400
    title = "The region header differs from the region of the request; send Region in the body."


class NameTaken(RequestRefused):
    """The account has a key pair of this name."""

    code = "name-taken"
    status = 409
    title = "A key pair of this name exists."


class RequestInFlight(RequestRefused):
    """The same request is being worked on."""

    code = "request-in-flight"
    status = 409
    title = "The same request is in flight."
    retry_after = 5


class PickedUp(RequestRefused):
    """What was here was there once, and somebody has it."""

    code = "picked-up"
    status = 410
    title = "This was picked up already."


class BodyTooLarge(RequestRefused):
    """The body is over the limit."""

    code = "body-too-large"
    status = 413
    title = "The body is larger than 64 KiB."


class UnsupportedMediaType(RequestRefused):
    """The body is not declared as JSON in UTF-8."""

    code = "unsupported-media-type"
    status = 415
    title = "The body has to be application/json."


class IdempotencyKeyReused(RequestRefused):
    """The idempotency key stands for another request of this caller."""

    code = "idempotency-key-reused"
    status = 422
    title = "This idempotency key was used for another request."


class ProjectNotFound(RequestRefused):
    """The policy grants a project that the account does not have."""

    code = "project-not-found"
    status = 422
    title = "The project does not exist."


class TagsRefused(RequestRefused):
    """The cloud refuses the tags."""

    code = "tags-refused"
    status = 422
    title = "The cloud refuses these tags."


class RecipientRefused(RequestRefused):
    """A recipient that nothing is ever sealed to."""

    code = "recipient-refused"
    status = 422
    title = "A recipient is refused."

    def __init__(self, problem: RecipientProblem, position: int | None = None) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.position = position

    @property
    def problems(self) -> tuple[FieldProblem, ...]:
        """The recipient at fault, by its position, and what to send instead."""
        field = "recipients" if self.position is None else f"recipients.{self.position}"
        return (FieldProblem(field, self.problem.code, self.problem.advice),)


class KeysNotFound(RequestRefused):
    """Nothing to seal to at the place that the caller named."""

    code = "keys-not-found"
    status = 422
    title = "No usable SSH keys are published there."


class RateLimited(RequestRefused):
    """Too many requests, of one caller or of an unknown one."""

    code = "rate-limited"
    status = 429
    title = "Too many requests."

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class ServiceFailed(KeyPairFunctionError):
    """Nothing is wrong with the request."""


class InternalFault(ServiceFailed):
    """A defect of this function: the last resort's answer."""

    code = "internal-fault"
    status = 500
    title = "The function failed."


class CloudRefused(ServiceFailed):
    """The cloud refuses what this function asks: its credentials, its CAM policy, a parameter."""

    code = "cloud-refused"
    status = 502
    title = "The cloud refused the request of this function."


class CloudAnswerInvalid(ServiceFailed):
    """What the cloud made fails the checks, or cannot be read time and again; it was deleted."""

    code = "cloud-answer-invalid"
    status = 502
    title = "The cloud's answer failed a check."


class Misconfigured(ServiceFailed):
    """Settings or policy are wrong. `str()` tells the operator where; callers see the title."""

    code = "misconfigured"
    status = 503
    title = "The function is not configured correctly."

    def __init__(self, detail: str) -> None:
        super().__init__()
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class SettingsInvalid(Misconfigured):
    """An environment variable is missing, unknown or malformed."""


class PolicyInvalid(Misconfigured):
    """The policy is malformed or grants what cannot be."""


class QuotaReached(ServiceFailed):
    """The account holds as many key pairs as it may."""

    code = "quota-reached"
    status = 503
    title = "The account's quota of key pairs is used up."


class CloudBusy(ServiceFailed):
    """The cloud throttles, and went on doing so for as long as there was time."""

    code = "cloud-busy"
    status = 503
    title = "The cloud takes no more requests at the moment."
    retry_after = 2


class CloudUnreachable(ServiceFailed):
    """No connection to the cloud, or none that holds; nothing of this request is left there."""

    code = "cloud-unreachable"
    status = 503
    title = "The cloud cannot be reached."
    retry_after = 5


class OutOfTime(ServiceFailed):
    """Too little of the function's time is left to make a key pair and to undo it."""

    code = "out-of-time"
    status = 503
    title = "The function has too little time left."
    retry_after = 1


class KeysUnavailable(ServiceFailed):
    """The place where the caller publishes SSH keys does not answer as it should."""

    code = "keys-unavailable"
    status = 503
    title = "The place of the SSH keys cannot be reached."
    retry_after = 5


class PlatformRefused(ServiceFailed):
    """A chat platform does not take an answer, and waiting does not help."""

    code = "platform-refused"
    status = 502
    title = "The chat platform refuses the answer."


class PlatformUnavailable(ServiceFailed):
    """A chat platform does not take an answer at the moment."""

    code = "platform-unavailable"
    status = 503
    title = "The chat platform cannot be reached."
    retry_after = 5


class IssuerUnavailable(ServiceFailed):
    """The key of a token cannot be had: its issuer does not answer."""

    code = "issuer-unavailable"
    status = 503
    title = "The issuer of the token cannot be reached."
    retry_after = 5


class StoreUnavailable(ServiceFailed):
    """The store did not answer; without it nothing is granted."""

    code = "store-unavailable"
    status = 503
    title = "The store is not available."
    retry_after = 5


class AuditUnavailable(ServiceFailed):
    """The audit line could not be written; without it nothing is released."""

    code = "audit-unavailable"
    status = 503
    title = "The audit log is not available."
    retry_after = 5


class SealingFailed(ServiceFailed):
    """A recipient that took the trial did not take the key."""

    code = "sealing-failed"
    status = 500
    title = "The private key could not be sealed."


class OutcomeUnknown(ServiceFailed):
    """Whether the cloud made a key pair is not known yet; the same request settles it."""

    code = "outcome-unknown"
    status = 504
    title = "The outcome is not known yet; repeat the same request."
    retry_after = 5
