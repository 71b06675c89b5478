"""Issuing a key pair over HTTP: the same steps for every wire format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from handler.errors import OutcomeUnknown
from handler.issuance.order_terms import OrderTerms
from handler.order import Action
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.auth.admission import Admission
    from handler.auth.caller import AuthenticatedCaller
    from handler.errors import KeyPairFunctionError
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Request, Response
    from handler.issuance.issuer import IssuedKeyPair, Issuer
    from handler.order import KeyPairOrder


@dataclass(frozen=True)
class IssueRequest:
    """What a caller asks for, and the idempotency key of the request, if it has one."""

    order: KeyPairOrder
    idempotency_key: str | None


@dataclass(frozen=True)
class IssueEndpoint(ABC):
    """An `Endpoint` that issues key pairs. A subclass adds one wire format."""

    verify: Callable[[Request], AuthenticatedCaller]
    """Returns who sent a request, from the raw body and headers; raises Unauthenticated."""
    admission: Admission
    issuer: Issuer
    default_region: str

    def handle(self, context: RequestContext) -> Response:
        """Authenticate the caller, read the request, issue the key pair."""
        caller = self.admission.authenticate(self.authenticate, context)
        action = Action.CREATE
        try:
            wanted = self.parse(context.request, caller)
            action = wanted.order.action
        finally:
            # Refused requests count too.
            self.admission.count(caller.caller_id, caller.request_key, context, action)
        context.trail.note_order(wanted.order)
        stated = wanted.idempotency_key
        # TC3 signs header values in lower case, so letter case must not count.
        key = stated and f"key:{stated.lower()}"
        terms = OrderTerms(caller.caller_id, key, caller.message, context.invocation, context.trail)
        release = self.release(wanted.order, terms)
        try:
            return release()
        except Exception as defect:
            # The key pair exists and the answer is stored. An error that denies this would be wrong.
            raise OutcomeUnknown("answer-not-dressed") from defect

    def release(self, order: KeyPairOrder, terms: OrderTerms) -> Callable[[], Response]:
        """Issue the key pair; return what renders the response."""
        issued = self.issuer.issue(order, terms)
        return lambda: self.render(issued)

    def authenticate(self, request: Request) -> AuthenticatedCaller:
        """Return who sent `request`; raise Unauthenticated."""
        return self.verify(request)

    @abstractmethod
    def parse(self, request: Request, caller: AuthenticatedCaller) -> IssueRequest:
        """Read the body of an authenticated request; raise RequestRefused."""

    @abstractmethod
    def render(self, issued: IssuedKeyPair) -> Response:
        """Return the response. The same key pair gives the same bytes."""

    @abstractmethod
    def render_error(self, error: KeyPairFunctionError, context: RequestContext) -> Response:
        """Return `error` in this wire format."""
