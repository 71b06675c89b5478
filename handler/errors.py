"""All errors of the function, as one tree.

What callers see of an error (`code`, `status`, `title`) is constant text. It never quotes the request or
the cloud. `reason` is a constant as well, but it goes to the audit log only: it lets the operator, and
nobody else, distinguish the causes of one public error such as 401.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.sealing.recipient_problems import RecipientProblem


@dataclass(frozen=True)
class FieldProblem:
    """A field of a request, the rule that it breaks and what to send instead. Never holds the value."""

    field: str
    rule: str
    advice: str = ""
    advice_zh: str = ""


@dataclass(frozen=True)
class Upstream:
    """What the cloud said when it refused or failed: for the audit line, never for a caller."""

    request_id: str
    code: str
    message: str


class KeyPairFunctionError(Exception):
    """The root of the tree. It is never raised itself."""

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retry_after: int | None = None
    """Seconds after which the same request may succeed; None if waiting does not help."""

    upstream: Upstream | None = None
    """What the cloud said, if that is what went wrong."""

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(self.title)
        self.reason = reason or self.code

    @property
    def problems(self) -> tuple[FieldProblem, ...]:
        """The fields at fault that the caller can correct."""
        return ()


class RequestRefused(KeyPairFunctionError):
    """The caller has to change something. This request made no key pair."""


class MalformedRequest(RequestRefused):
    """The event, the headers, the JSON or the fields are malformed."""

    code = "malformed-request"
    status = 400
    title = "The request is malformed."

    def __init__(self, reason: str | None = None, problems: tuple[FieldProblem, ...] = ()) -> None:
        super().__init__(reason)
        self._problems = problems

    @property
    def problems(self) -> tuple[FieldProblem, ...]:
        """The fields at fault; none if the body is not a JSON object or a header is malformed."""
        return self._problems


class Unauthenticated(RequestRefused):
    """The caller is not known. Only `reason` tells the cause (ASVS 6.3.8: no oracle)."""

    code = "unauthenticated"
    status = 401
    title = "The caller is not authenticated."


class NotGranted(RequestRefused):
    """The policy does not grant the order to this caller."""

    code = "not-granted"
    status = 403
    title = "The policy does not grant this request."


class NotUnderstood(RequestRefused):
    """The bot does not know the command; `reason` says what is wrong with it."""

    code = "not-understood"
    status = 400
    title = "The command is unknown."


class Unregistered(RequestRefused):
    """The chat user is authenticated, but no caller in the policy names this user."""

    code = "unregistered"
    status = 403
    title = "The user is not registered."


class NotFound(RequestRefused):
    """There is no endpoint at this path."""

    code = "not-found"
    status = 404
    title = "There is no resource at this path."


class KeyPairNotFound(RequestRefused):
    """The caller has no such key pair. Those of other callers do not exist for it."""

    code = "key-pair-not-found"
    status = 404
    title = "There is no such key pair."


class MethodNotAllowed(RequestRefused):
    """The endpoint supports other methods, listed in `allowed`."""

    code = "method-not-allowed"
    status = 405
    title = "This path does not support the method."

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__()
        self.allowed = allowed


class UnknownAction(RequestRefused):
    """A Tencent endpoint does not support the action."""

    code = "unknown-action"
    status = 400
    title = "This action is not supported."


class UnknownVersion(RequestRefused):
    """The Tencent v3 endpoint supports one version of the API only."""

    code = "unknown-version"
    status = 400
    title = "This API version is not supported."


class RegionMismatch(RequestRefused):
    """The unsigned header X-TC-Region contradicts the signed request or the settings."""

    code = "region-mismatch"
    status = 400
    title = "The region header contradicts the request. Send Region in the body instead."


class NameTaken(RequestRefused):
    """The account already has a key pair with this name."""

    code = "name-taken"
    status = 409
    title = "A key pair with this name already exists."


class PublicKeyTaken(RequestRefused):
    """The account already has a key pair with this public key."""

    code = "public-key-taken"
    status = 409
    title = "A key pair with this public key already exists."
    elsewhere = False
    """Whether a key pair of another name was seen with it."""


class KeyPairInUse(RequestRefused):
    """An instance or an image uses the key pair, so the cloud does not delete it."""

    code = "key-pair-in-use"
    status = 409
    title = "The key pair is in use. Detach it from its instances first."


class KeyPairFixed(RequestRefused):
    """A request would change the name or the description of a key pair, which its ownership depends on."""

    code = "key-pair-fixed"
    status = 409
    title = "The name and the description of a key pair cannot be changed. Create another key pair."


class RequestInFlight(RequestRefused):
    """Another invocation is working on the same request."""

    code = "request-in-flight"
    status = 409
    title = "The same request is still being processed. Retry later."
    retry_after = 5


class KeyPairDeleted(RequestRefused):
    """The key pair that the same request got has been deleted."""

    code = "key-pair-deleted"
    status = 410
    title = "The key pair of this request has been deleted."


class PickedUp(RequestRefused):
    """The one-time link has been opened before."""

    code = "picked-up"
    status = 410
    title = "This link has already been used."


class BodyTooLarge(RequestRefused):
    """The body exceeds the size limit."""

    code = "body-too-large"
    status = 413
    title = "The body is larger than 64 KiB."


class UnsupportedMediaType(RequestRefused):
    """The body is not declared as JSON in UTF-8."""

    code = "unsupported-media-type"
    status = 415
    title = "The Content-Type must be application/json."


class IdempotencyKeyReused(RequestRefused):
    """The caller used the idempotency key for a different request."""

    code = "idempotency-key-reused"
    status = 422
    title = "The idempotency key was used for a different request."


class ProjectNotFound(RequestRefused):
    """The policy grants a project that does not exist in the account."""

    code = "project-not-found"
    status = 422
    title = "The project does not exist."


class TagsRefused(RequestRefused):
    """The cloud rejected the tags."""

    code = "tags-refused"
    status = 422
    title = "The cloud rejected the tags."


class RecipientRefused(RequestRefused):
    """A recipient is malformed, unsafe or unsupported."""

    code = "recipient-refused"
    status = 422
    title = "A recipient cannot be used."

    def __init__(self, problem: RecipientProblem, position: int | None = None) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.position = position

    @property
    def problems(self) -> tuple[FieldProblem, ...]:
        """The position of the recipient at fault, and what to send instead."""
        field = "recipients" if self.position is None else f"recipients.{self.position}"
        return (FieldProblem(field, self.problem.code, self.problem.advice, self.problem.advice_zh),)


class PublicKeyRefused(RecipientRefused):
    """The public key to import is malformed, unsafe or unsupported."""

    code = "public-key-refused"
    title = "The public key cannot be imported."

    @property
    def problems(self) -> tuple[FieldProblem, ...]:
        """What to send instead."""
        return (FieldProblem("publicKey", self.problem.code, self.problem.advice, self.problem.advice_zh),)


class KeysNotFound(RequestRefused):
    """The published keys that the caller named include none that can be used."""

    code = "keys-not-found"
    status = 422
    title = "No usable SSH keys are published at this address."


class RateLimited(RequestRefused):
    """The caller sent too many requests, or its address failed to authenticate too often."""

    code = "rate-limited"
    status = 429
    title = "Too many requests."

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class ServiceFailed(KeyPairFunctionError):
    """The function or a service that it needs failed. The request itself is in order."""


class InternalFault(ServiceFailed):
    """A defect of this function."""

    code = "internal-fault"
    status = 500
    title = "The function failed unexpectedly."


class CloudRefused(ServiceFailed):
    """The cloud rejected a call: its credentials, its CAM policy or a parameter."""

    code = "cloud-refused"
    status = 502
    title = "The cloud rejected a call of this function."


class CloudAnswerInvalid(ServiceFailed):
    """The key pair failed a check, or creating it failed repeatedly. It was deleted."""

    code = "cloud-answer-invalid"
    status = 502
    title = "The cloud's response failed a check."


class Misconfigured(ServiceFailed):
    """The settings or the policy are wrong. `str()` tells the operator where; callers see the title."""

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
    """The policy is malformed or contradicts itself."""


class QuotaReached(ServiceFailed):
    """The account holds as many key pairs as the cloud allows."""

    code = "quota-reached"
    status = 503
    title = "The cloud account has no room for another key pair. Ask its operator to delete some."


class CloudBusy(ServiceFailed):
    """The cloud kept throttling until the time was used up."""

    code = "cloud-busy"
    status = 503
    title = "The cloud is limiting requests. Retry later."
    retry_after = 2


class CloudUnreachable(ServiceFailed):
    """The connection to the cloud failed. No key pair of this request is left."""

    code = "cloud-unreachable"
    status = 503
    title = "The cloud cannot be reached."
    retry_after = 5


class OutOfTime(ServiceFailed):
    """Too little time is left to create a key pair and, if necessary, remove it again."""

    code = "out-of-time"
    status = 503
    title = "The function has too little time left."
    retry_after = 1


class KeysUnavailable(ServiceFailed):
    """The server that publishes the caller's SSH keys failed or sent an invalid response."""

    code = "keys-unavailable"
    status = 503
    title = "The server that publishes the SSH keys cannot be reached."
    retry_after = 5


class PlatformRefused(ServiceFailed):
    """A chat platform rejected a reply, and waiting does not help."""

    code = "platform-refused"
    status = 502
    title = "The chat platform rejected the reply."


class PlatformUnavailable(ServiceFailed):
    """A chat platform does not accept a reply at the moment."""

    code = "platform-unavailable"
    status = 503
    title = "The chat platform cannot be reached."
    retry_after = 5


class IssuerUnavailable(ServiceFailed):
    """The keys of a token issuer cannot be fetched."""

    code = "issuer-unavailable"
    status = 503
    title = "The token issuer cannot be reached."
    retry_after = 5


class StoreUnavailable(ServiceFailed):
    """The store failed. Without it nothing is granted."""

    code = "store-unavailable"
    status = 503
    title = "The store is not available."
    retry_after = 5


class AuditUnavailable(ServiceFailed):
    """The audit line could not be written. Without it nothing is released."""

    code = "audit-unavailable"
    status = 503
    title = "The audit log is not available."
    retry_after = 5


class SealingFailed(ServiceFailed):
    """Sealing to a recipient failed, although the trial with the same recipient succeeded."""

    code = "sealing-failed"
    status = 500
    title = "The private key could not be sealed."


class OutcomeUnknown(ServiceFailed):
    """Whether the cloud made a key pair is not known yet. Repeating the same request resolves it."""

    code = "outcome-unknown"
    status = 504
    title = "The outcome is not known yet. Repeat the same request."
    retry_after = 5
