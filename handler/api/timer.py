"""SCF's timer trigger: each event starts one sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.api.problem_details import ProblemDetailsEndpoint
from handler.http.messages import json_response
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Response
    from handler.issuance.sweeper import Sweeper


@dataclass(frozen=True)
class SweepEndpoint(ProblemDetailsEndpoint):
    """Removes expired and orphaned key pairs."""

    sweeper: Sweeper

    def handle(self, context: RequestContext) -> Response:
        """Sweep once; return the counts."""
        return json_response(200, {"swept": dict(self.sweeper.sweep(context.invocation))})
