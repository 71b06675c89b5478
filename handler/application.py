"""The composition root: settings in, an application out; requests to their doors."""

from __future__ import annotations

import logging
import random
import traceback
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from handler.api.rest import PATH as REST_PATH
from handler.api.rest import RestDoor, problem
from handler.api.tencent_v3 import TencentV3Door
from handler.audit import AuditTrail, Decision
from handler.auth.tc3 import Tc3Verifier
from handler.claims import Claims
from handler.cloud.cvm import Cvm
from handler.door import Proof
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
from handler.http import Response, is_timer, json_response, parse_event
from handler.issuing import Issuer
from handler.marks import Marker
from handler.policy import Policy
from handler.settings import Settings
from handler.store import open_store
from handler.sweeping import Sweeper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handler.door import Door
    from handler.http import Request
    from handler.invocation import Clock, Credentials, Deadline, Invocation
    from handler.issuing import Connect
    from handler.store.base import Store
    from handler.sweeping import Finding

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Application:
    """Answers requests; the same one serves all invocations of a container."""

    issuer: Issuer
    sweeper: Sweeper
    doors: Mapping[tuple[str, str], Door]
    """(method, path) -> door."""
    clock: Clock
    audit_stream: Callable[[], TextIO]

    def handle(self, event: object, invocation: Invocation) -> Response:
        """Return an answer, whatever `event` is and whatever happens."""
        try:
            if is_timer(event):
                return self._swept(invocation)
            return self._route(parse_event(event), invocation)
        except KeyPairFunctionError as error:
            log_misconfiguration(error)
            return problem(error, invocation.request_id)
        except Exception as error:  # noqa: BLE001  # the last resort: an escaped one would be an HTTP 200 or a raw trace
            log_fault(error)
            return problem(InternalFault(), invocation.request_id)

    def _route(self, request: Request, invocation: Invocation) -> Response:
        if request.path == "/healthz":
            methods: tuple[str, ...] = ("GET",)
            if request.method == "GET":
                return json_response(200, {"status": "ok"})
        else:
            methods = tuple(method for method, path in self.doors if path == request.path)
        if not methods:
            raise NotFound
        door = self.doors.get((request.method, request.path))
        if door is None:
            raise MethodNotAllowed(methods)
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
        try:
            return self._issue(door, request, invocation, trail)
        except KeyPairFunctionError as error:
            if isinstance(error.__cause__, Exception):
                log_fault(error.__cause__)
            return door.refuse(_recorded(error, trail), invocation.request_id)
        except Exception as error:  # noqa: BLE001  # as in `handle`, with an audit line
            log_fault(error)
            return door.refuse(_recorded(InternalFault(), trail), invocation.request_id)

    def _issue(self, door: Door, request: Request, invocation: Invocation, trail: AuditTrail) -> Response:
        proof = door.prove(request)
        trail.note(caller=proof.caller_id)
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
    _log.error("%s in %s, line %s", type(error).__name__, where.name, where.lineno)


def build(environ: Mapping[str, str], clock: Clock, audit_stream: Callable[[], TextIO]) -> Application:
    """Return the application that `environ` describes; raise SettingsInvalid or PolicyInvalid."""
    settings = Settings.from_environ(environ)
    jitter = random.SystemRandom().random

    def connect(credentials: Credentials, region: str, deadline: Deadline) -> Cvm:
        return Cvm(credentials, region, deadline, jitter=jitter, endpoint=settings.cvm_endpoint)

    return compose(
        settings,
        policy=Policy.load(settings.policy),
        store=open_store(settings.store, clock),
        connect=connect,
        clock=clock,
        audit_stream=audit_stream,
    )


def compose(
    settings: Settings,
    *,
    policy: Policy,
    store: Store,
    connect: Connect,
    clock: Clock,
    audit_stream: Callable[[], TextIO],
) -> Application:
    """Return an application of these parts."""
    verifier = Tc3Verifier(settings.master_secrets, settings.hosts, clock)

    def authenticate(request: Request) -> Proof:
        verified = verifier.verify(request)
        caller = policy.callers.get(verified.caller_id)
        if caller is None or not caller.tc3:
            raise Unauthenticated("tc3-caller")
        return Proof(verified.caller_id, verified.signature, verified.signed_headers)

    marker = Marker(settings.master_secrets)
    claims = Claims(store, clock, new_holder=lambda: uuid.uuid4().hex)
    return Application(
        issuer=Issuer(policy, claims, marker, connect, clock),
        sweeper=Sweeper(policy.regions | {settings.region}, claims, marker, connect, clock),
        doors={
            ("POST", REST_PATH): RestDoor(authenticate, settings.region),
            ("POST", "/"): TencentV3Door(authenticate, settings.region),
        },
        clock=clock,
        audit_stream=audit_stream,
    )


def log_misconfiguration(error: KeyPairFunctionError) -> None:
    """Log what an operator has to mend, where that is it: variables and key paths, never values."""
    if isinstance(error, Misconfigured):
        _log.error("%s", error)
