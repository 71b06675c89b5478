"""Errors as problem details (RFC 9457), for every endpoint without an error format of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.errors import MethodNotAllowed, Unauthenticated
from handler.http.messages import Response, json_response

if TYPE_CHECKING:
    from handler.api.problem import FieldAtFault, Problem
    from handler.errors import FieldProblem, KeyPairFunctionError
    from handler.http.endpoint import RequestContext


def problem_details(error: KeyPairFunctionError, request_id: str) -> Response:
    """Return `error` as problem details (RFC 9457): constant texts and the id of the request."""
    headers: dict[str, str] = {}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)  # RFC 9110 section 10.2.1
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer, TC3-HMAC-SHA256"  # RFC 9110 section 11.6.1
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    body: Problem = {
        "type": f"urn:keypair-function:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "requestId": request_id,
    }
    if error.problems:
        body["errors"] = [_field_at_fault(problem) for problem in error.problems]
    return json_response(error.status, body, content_type="application/problem+json", headers=headers)


def _field_at_fault(problem: FieldProblem) -> FieldAtFault:
    found: FieldAtFault = {"field": problem.field, "rule": problem.rule}
    if problem.advice:
        found["advice"] = problem.advice
    if problem.advice_zh:
        found["adviceZh"] = problem.advice_zh
    return found


class ProblemDetailsEndpoint:
    """Base class of endpoints whose errors are problem details."""

    def render_error(self, error: KeyPairFunctionError, context: RequestContext) -> Response:
        """Return problem details."""
        return problem_details(error, context.request_id)
