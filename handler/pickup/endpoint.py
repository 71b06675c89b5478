"""`/pickup/ID`: GET shows a button, POST hands out the envelope, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handler.api.problem_details import problem_details
from handler.audit import Decision
from handler.errors import AuditUnavailable
from handler.pickup import page
from handler.pickup.links import PATH, PREFIX

if TYPE_CHECKING:
    from handler.errors import KeyPairFunctionError
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Response
    from handler.pickup.links import PickupLinks


@dataclass(frozen=True)
class PickupEndpoint:
    """Hands out what a one-time link leads to."""

    links: PickupLinks

    path = PATH
    methods = ("GET", "POST")
    audit_name = "pickup"

    def handle(self, context: RequestContext) -> Response:
        """Return the page for a GET; for a POST the envelope, to the first who asks."""
        if context.request.method == "GET":
            return page.page()
        pickup_id = context.request.path.removeprefix(PREFIX)
        envelope = self.links.take(pickup_id)
        context.trail.note(**envelope.facts())
        try:
            context.trail.write(Decision.REPLAYED)
        except AuditUnavailable:
            self.links.put_back(pickup_id, envelope)
            raise
        return envelope.response()

    def render_error(self, error: KeyPairFunctionError, context: RequestContext) -> Response:
        """Return a page to a browser, and problem details to a program."""
        if page.is_for_eyes(context.request):
            return page.refused(error)
        return problem_details(error, context.request_id)
