"""From an event to its door, chat platform, page or sweep; and an answer, whatever happens."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO, TypeVar

from handler.api.grants import PATH as GRANTS_PATH
from handler.api.grants import GrantsDoor
from handler.api.rest import PATH as REST_PATH
from handler.api.rest import problem
from handler.audit import AuditTrail, Decision
from handler.chat import pickup
from handler.chat.platform import Handshake
from handler.errors import (
    AuditUnavailable,
    InternalFault,
    KeyPairFunctionError,
    MethodNotAllowed,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    RequestRefused,
    Unauthenticated,
)
from handler.http import Response, is_deferred, is_timer, json_response, parse_event
from handler.limits import Allowance, Limiter, source_of
from handler.web import origins, pickup_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handler.chat.bot import Bot
    from handler.chat.platform import Platform
    from handler.door import Door
    from handler.http import Request
    from handler.invocation import Clock, Invocation
    from handler.issuing import Issuer
    from handler.policy import Policy
    from handler.sweeping import Finding, Sweeper

_log = logging.getLogger(__name__)

_Proven = TypeVar("_Proven")


_FOR_OTHER_ORIGINS = {REST_PATH, GRANTS_PATH}


@dataclass(frozen=True)
class Application:
    """Answers requests; the same one serves all invocations of a container."""

    issuer: Issuer
    sweeper: Sweeper
    doors: Mapping[tuple[str, str], Door]
    """(method, path) -> door."""
    grants: GrantsDoor
    pages: Mapping[str, Callable[[], Response]]
    """What anybody may GET: path -> answer."""
    policy: Policy
    limiter: Limiter
    bot: Bot
    clock: Clock
    audit_stream: Callable[[], TextIO]

    def handle(self, event: object, invocation: Invocation) -> Response:
        """Return an answer, whatever `event` is and whatever happens."""
        try:
            if is_timer(event):
                return self._swept(invocation)
            if is_deferred(event):
                return self._deferred(event, invocation)
            return self._answer(parse_event(event), invocation)
        except KeyPairFunctionError as error:
            log_misconfiguration(error)
            return problem(error, invocation.request_id)
        except Exception as error:  # noqa: BLE001  # the last resort: an escaped one would be an HTTP 200 or a raw trace
            log_fault(error)
            return problem(InternalFault(), invocation.request_id)

    def _answer(self, request: Request, invocation: Invocation) -> Response:
        """Answer a request, and let pages of the listed origins read that."""
        web = self.policy.web
        if web is None or request.path not in _FOR_OTHER_ORIGINS:
            return self._route(request, invocation)
        response = origins.preflight(request, web.origins) or self._route(request, invocation)
        return replace(response, headers={**response.headers, **origins.cors_headers(request, web.origins)})

    def _route(self, request: Request, invocation: Invocation) -> Response:
        platform = self.bot.at(request.path)
        if platform is not None:
            _allow(request, platform.methods)
            return self._hear(platform, request, invocation)
        pickup_id = pickup.id_in(request.path)
        if pickup_id is not None:
            _allow(request, ("GET", "POST"))
            if request.method == "GET":
                return pickup_page.page()
            return self._hand_out(pickup_id, request, invocation)
        if request.path == GRANTS_PATH:
            _allow(request, ("POST",))
            return self._tell_grants(request, invocation)
        page = self.pages.get(request.path)
        if page is not None and request.method == "GET":
            return page()
        methods = [method for method, path in self.doors if path == request.path]
        if page is not None:
            methods.append("GET")
        if not methods:
            raise NotFound
        door = self.doors.get((request.method, request.path))
        if door is None:
            raise MethodNotAllowed(tuple(methods))
        return self._serve(door, request, invocation)

    def sweep(
        self, invocation: Invocation, *, preview: Callable[[Finding], None] | None = None
    ) -> dict[str, int]:
        """Remove what has expired or was left over; see `handler.sweeping.Sweeper.sweep`."""
        return dict(
            self.sweeper.sweep(invocation, lambda: self._trail("sweeper", invocation), preview=preview)
        )

    def _swept(self, invocation: Invocation) -> Response:
        return json_response(200, {"swept": self.sweep(invocation)})

    def _trail(self, door: str, invocation: Invocation, remote_address: str = "") -> AuditTrail:
        return AuditTrail(
            stream=self.audit_stream(),
            clock=self.clock,
            request_id=invocation.request_id,
            door=door,
            remote_address=remote_address,
            started=self.clock.monotonic(),
        )

    def _serve(self, door: Door, request: Request, invocation: Invocation) -> Response:
        trail = self._trail(door.name, invocation, request.remote_address)
        limits: dict[str, str] = {}
        response = self._guarded(
            trail,
            lambda: self._issue(door, request, invocation, trail, limits),
            lambda error: door.refuse(error, invocation.request_id),
        )
        return replace(response, headers={**response.headers, **limits})

    def _guarded(
        self,
        trail: AuditTrail,
        work: Callable[[], Response],
        refuse: Callable[[KeyPairFunctionError], Response],
    ) -> Response:
        """Return what `work` returns; where it fails, that is written down, and `refuse` says it."""
        try:
            return work()
        except KeyPairFunctionError as error:
            if isinstance(error.__cause__, Exception):
                log_fault(error.__cause__)
            told = _recorded(error, trail)
        except Exception as error:  # noqa: BLE001  # as in `handle`, with an audit line
            log_fault(error)
            told = _recorded(InternalFault(), trail)
        return refuse(told)

    def _hear(self, platform: Platform, request: Request, invocation: Invocation) -> Response:
        """Answer a chat platform's request; what it asks for is worked on in a later invocation."""
        trail = self._trail(platform.name, invocation, request.remote_address)

        def prove() -> Response:
            # Not by `_prove`: all customers of a platform write from its addresses, so anybody could have it
            # send bad signatures until nobody is listened to. To check one takes no longer than to count it.
            heard = platform.hear(request)
            if isinstance(heard, Handshake):
                return heard.response

            def receive() -> Response:
                self._admit(self.bot.caller_of(heard), heard.event_id, trail)
                return self.bot.receive(heard, invocation)

            def refuse(error: KeyPairFunctionError) -> Response:
                return _told(lambda: self.bot.refuse(heard, error, invocation.deadline), invocation)

            return self._guarded(trail, receive, refuse)

        return self._guarded(trail, prove, lambda error: problem(error, invocation.request_id))

    def _deferred(self, event: object, invocation: Invocation) -> Response:
        """Do what `_hear` left to do."""
        trail = self._trail("deferred", invocation)

        def open_event() -> Response:
            deferred = self.bot.deferral.open(event)
            trail.door = deferred.message.platform

            def work() -> Response:
                self.bot.work(deferred, invocation, trail)
                return json_response(200, {"worked": True})

            def refuse(error: KeyPairFunctionError) -> Response:
                def tell() -> Response:
                    self.bot.work_refused(deferred, error, invocation)
                    return problem(error, invocation.request_id)

                return _told(tell, invocation)

            return self._guarded(trail, work, refuse)

        return self._guarded(trail, open_event, lambda error: problem(error, invocation.request_id))

    def _hand_out(self, pickup_id: str, request: Request, invocation: Invocation) -> Response:
        """Give the envelope behind a pick-up link to the first who asks."""
        trail = self._trail("pickup", invocation, request.remote_address)
        pickups = self.bot.pickups

        def take() -> Response:
            parcel = pickups.take(pickup_id)
            trail.note(**parcel.facts())
            try:
                trail.write(Decision.REPLAYED)
            except AuditUnavailable:
                pickups.put_back(pickup_id, parcel)
                raise
            return parcel.response()

        def refuse(error: KeyPairFunctionError) -> Response:
            if pickup_page.is_for_eyes(request):
                return pickup_page.refused(error)
            return problem(error, invocation.request_id)

        return self._guarded(trail, take, refuse)

    def _tell_grants(self, request: Request, invocation: Invocation) -> Response:
        trail = self._trail(self.grants.name, invocation, request.remote_address)

        def tell() -> Response:
            proof = self._prove(self.grants.prove, request)
            trail.note(caller=proof.caller_id)
            return self.grants.tell(request, proof)

        return self._guarded(trail, tell, lambda error: problem(error, invocation.request_id))

    def _prove(self, prove: Callable[[Request], _Proven], request: Request) -> _Proven:
        """Return who calls; who failed to prove it often enough is not listened to for a while."""
        source = source_of(request.remote_address)
        if source is None:
            # Nobody knows who it is; a class of all of these would let one of them silence the others.
            return prove(request)
        allowance = Allowance.of(self.policy.failed_rate)
        self.limiter.check("source", source, allowance)
        try:
            return prove(request)
        except Unauthenticated:
            self.limiter.take("source", source, allowance)
            raise

    def _admit(self, caller_id: str, request_key: str, trail: AuditTrail) -> dict[str, str]:
        """Count a proven caller's request; return the headers that tell what is left. Raises RateLimited.

        Whatever comes of the request, so that nobody tries out quickly what the policy grants.
        """
        trail.note(caller=caller_id)
        rate = self.policy.callers[caller_id].rate
        if rate is None:
            return {}
        standing = self.limiter.take_once("caller", caller_id, Allowance.of(rate), request_key)
        return {} if standing is None else standing.headers()

    def _issue(
        self,
        door: Door,
        request: Request,
        invocation: Invocation,
        trail: AuditTrail,
        limits: dict[str, str],
    ) -> Response:
        proof = self._prove(door.prove, request)
        limits.update(self._admit(proof.caller_id, proof.request_key, trail))
        wish = door.understand(request, proof)
        order = wish.order
        trail.note(key_name=order.name, region=order.region, project_id=order.project_id)
        issued = self.issuer.issue(
            order,
            caller_id=proof.caller_id,
            idempotency_key=wish.idempotency_key,
            invocation=invocation,
            trail=trail,
        )
        try:
            return door.answer(issued)
        except Exception as defect:
            # The key pair is there and its answer is stored: nobody may be told that nothing is left.
            raise OutcomeUnknown("answer-not-dressed") from defect


def _told(tell: Callable[[], Response], invocation: Invocation) -> Response:
    """Return what `tell` returns.

    Where a refusal cannot be told there is no further audit line: that of the refusal is written.
    """
    try:
        return tell()
    except KeyPairFunctionError as error:
        return problem(error, invocation.request_id)


def _allow(request: Request, methods: tuple[str, ...]) -> None:
    if request.method not in methods:
        raise MethodNotAllowed(methods)


def _recorded(error: KeyPairFunctionError, trail: AuditTrail) -> KeyPairFunctionError:
    """Write the line of a request that got no key; return what the caller is told."""
    log_misconfiguration(error)
    if error.upstream_request_id:
        trail.note(upstream_request_id=error.upstream_request_id)
    decision = Decision.REFUSED if isinstance(error, RequestRefused) else Decision.FAILED
    if isinstance(error, OutcomeUnknown):
        decision = Decision.UNKNOWN
    try:
        trail.write(decision, error.reason)
    except Exception as failure:
        # That a key pair may be left matters more to the caller than that nobody could write it down.
        if isinstance(error, OutcomeUnknown):
            return error
        if isinstance(failure, AuditUnavailable):
            return failure
        raise
    return error


def log_fault(error: BaseException) -> None:
    """Log a defect: its type and where it arose. Not its text, which may quote what it stumbled over."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    reason = f" ({error.reason})" if isinstance(error, KeyPairFunctionError) else ""
    _log.error("%s%s in %s, line %s", type(error).__name__, reason, where.name, where.lineno)


def log_misconfiguration(error: KeyPairFunctionError) -> None:
    """Log what an operator has to mend, where that is it: variables and key paths, never values."""
    if isinstance(error, Misconfigured):
        _log.error("%s", error)
