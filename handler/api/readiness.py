"""`/readyz`: whether the function could issue a key pair now. For operators; `/healthz` is for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.api.problem_details import ProblemDetailsEndpoint
from handler.errors import NotGranted
from handler.http.messages import json_response
from handler.issuance.readiness import OK
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.auth.admission import Admission
    from handler.auth.caller import AuthenticatedCaller
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Request, Response
    from handler.issuance.readiness import Readiness
    from handler.policy.model import Policy


@dataclass(frozen=True)
class ReadinessEndpoint(ProblemDetailsEndpoint):
    """Tells an operator which part is broken."""

    verify: Callable[[Request], AuthenticatedCaller]
    admission: Admission
    policy: Policy
    readiness: Readiness
    policy_digest: str | None

    def handle(self, context: RequestContext) -> Response:
        """Return 200 if every check is ok, otherwise 503."""
        caller_id = self.admission.authenticate(self.verify, context).caller_id
        # SECURITY BOUNDARY: which part is broken is of use to an attacker too.
        if not self.policy.callers[caller_id].operator:
            raise NotGranted("not-operator")
        checks = self.readiness.checks(context.invocation)
        ready = set(checks.values()) == {OK}
        body = {
            "status": "ready" if ready else "not ready",
            "checks": checks,
            "policyDigest": self.policy_digest,
            "callers": len(self.policy.callers),
        }
        return json_response(200 if ready else 503, body)
