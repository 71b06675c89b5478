"""Errors as problem details (RFC 9457), for every endpoint without an error format of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.errors import MethodNotAllowed, Unauthenticated
from handler.http.messages import Response, json_response

if TYPE_CHECKING:
    from handler.errors import KeyPairFunctionError
    from handler.http.endpoint import RequestContext


def problem_details(error: KeyPairFunctionError, request_id: str) -> Response:
    """Return `error` as problem details (RFC 9457): constant texts and the id of the request."""
    # Imported here: most first requests succeed, and do not pay for its models.
    from handler.api.problem import FieldAtFault, Problem

    headers: dict[str, str] = {}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)  # RFC 9110 section 10.2.1
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer, TC3-HMAC-SHA256"  # RFC 9110 section 11.6.1
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    body = Problem(
        type=f"urn:keypair-function:{error.code}",
        title=error.title,
        status=error.status,
        code=error.code,
        request_id=request_id,
        errors=tuple(FieldAtFault.model_validate(field) for field in error.problems),
    )
    return json_response(
        error.status,
        body.model_dump(mode="json", by_alias=True),
        content_type="application/problem+json",
        headers=headers,
    )


class ProblemDetailsEndpoint:
    """Base class of endpoints whose errors are problem details."""

    def render_error(self, error: KeyPairFunctionError, context: RequestContext) -> Response:
        """Return problem details."""
        return problem_details(error, context.request_id)
