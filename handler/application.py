"""The one way through the function: from an event to its endpoint and back."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from handler.api.problem_details import problem_details
from handler.audit import AuditTrail, Decision
from handler.errors import (
    AuditUnavailable,
    InternalFault,
    KeyPairFunctionError,
    MethodNotAllowed,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    RequestRefused,
)
from handler.http.endpoint import RequestContext
from handler.scf.events import parse_event
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handler.audit import AuditLog
    from handler.http.endpoint import Route
    from handler.http.messages import Request, Response
    from handler.scf.invocation import Invocation
    from handler.web.origins import CrossOriginRules

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Application:
    """Answers events. One instance serves all invocations of a container."""

    routes: Mapping[str | re.Pattern[str], Sequence[Route]]
    """Path or pattern -> the routes there, which have different methods."""
    cross_origin: CrossOriginRules
    audit_log: AuditLog

    def dispatch(self, event: object, invocation: Invocation) -> Response:
        """Return a response for any event and any failure; never raise an Exception."""
        try:
            request = parse_event(event)
            preflight = self.cross_origin.preflight(request)
            if preflight is not None:
                return preflight
            route = self._route(request)
            trail = self.audit_log.trail(
                route.audit_name or "", invocation.request_id, request.remote_address
            )
            context = RequestContext(request, invocation, trail, event, self.cross_origin.headers(request))
            try:
                response = route.endpoint.handle(context)
            except Exception as failure:  # noqa: BLE001  # the caller gets a response whatever failed
                response = _render_error(_public_error(failure, route, trail), route, context)
            if not context.headers:
                return response
            return replace(response, headers={**response.headers, **context.headers})
        except KeyPairFunctionError as error:
            # No endpoint takes the request, or the endpoint could not render the error.
            log_misconfiguration(error)
            return problem_details(error, invocation.request_id)
        except Exception as defect:  # noqa: BLE001  # the last resort; SCF would return a 200 or a raw traceback
            log_fault(defect)
            return problem_details(InternalFault(), invocation.request_id)

    def _route(self, request: Request) -> Route:
        """Return the route of a request; raise NotFound or MethodNotAllowed."""
        routes = self.routes.get(request.path)
        if routes is None:
            patterns = [path for path in self.routes if isinstance(path, re.Pattern)]
            routes = next((self.routes[one] for one in patterns if one.fullmatch(request.path)), None)
        if routes is None:
            raise NotFound
        for route in routes:
            if request.method in route.methods:
                return route
        raise MethodNotAllowed(tuple(method for route in routes for method in route.methods))


def _public_error(failure: Exception, route: Route, trail: AuditTrail) -> KeyPairFunctionError:
    """Log and audit a failure; return the error for the caller."""
    if isinstance(failure, KeyPairFunctionError):
        error = failure
        if isinstance(error.__cause__, Exception):
            log_fault(error.__cause__)
    else:
        log_fault(failure)
        error = InternalFault()
    log_misconfiguration(error)
    if route.audit_name is None:
        return error
    if error.upstream is not None:
        trail.note_upstream(error.upstream)
    decision = Decision.REFUSED if isinstance(error, RequestRefused) else Decision.FAILED
    if isinstance(error, OutcomeUnknown):
        decision = Decision.UNKNOWN
    try:
        trail.write(decision, error.reason)
    except Exception as unwritten:
        # The caller must learn that a key pair may be left, even if the audit log is down.
        if isinstance(error, OutcomeUnknown):
            return error
        if isinstance(unwritten, AuditUnavailable):
            return unwritten
        raise
    return error


def _render_error(error: KeyPairFunctionError, route: Route, context: RequestContext) -> Response:
    """Let the endpoint render `error`. If that fails in turn, log why: the audit log has only `error`."""
    try:
        return route.endpoint.render_error(error, context)
    except KeyPairFunctionError as failure:
        if failure is not error:
            log_fault(failure)
        raise


def log_fault(error: BaseException) -> None:
    """Log the type and place of a defect, but not its text, which may quote a secret."""
    # Not with `traceback`, which imports modules and reads source files: that may be what has failed.
    place, trace = "an unknown place", error.__traceback__
    while trace is not None:
        place, trace = f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}", trace.tb_next
    reason = f" ({error.reason})" if isinstance(error, KeyPairFunctionError) else ""
    _log.error("%s%s in %s", type(error).__name__, reason, place)


def log_misconfiguration(error: KeyPairFunctionError) -> None:
    """Log what the operator has to correct: names of variables and key paths, never values."""
    if isinstance(error, Misconfigured):
        _log.error("%s", error)
