"""`/pickup/ID`: GET shows a button, POST returns the envelope once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.api.problem_details import problem_details
from handler.audit import Decision
from handler.errors import AuditUnavailable, KeyPairDeleted, StoreUnavailable
from handler.pickup import PREFIX, page
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.errors import KeyPairFunctionError
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Response
    from handler.pickup.links import PickupLinks


@dataclass(frozen=True)
class PickupEndpoint:
    """Returns the envelope behind a one-time link."""

    links: PickupLinks
    was_deleted: Callable[[str], bool]
    """Tells whether the key pair with this id has been deleted. Raises StoreUnavailable."""

    def handle(self, context: RequestContext) -> Response:
        """Return the page for GET, and the envelope for the first POST."""
        if context.request.method == "GET":
            return page.page()
        pickup_id = context.request.path.removeprefix(PREFIX)
        envelope = self.links.take(pickup_id)
        context.trail.note(**envelope.facts())
        try:
            # A deleted key pair may have leaked, so it is not handed out again.
            if self.was_deleted(envelope.key_id):
                raise KeyPairDeleted
            context.trail.write(Decision.REPLAYED)
        except (AuditUnavailable, StoreUnavailable):
            self.links.put_back(pickup_id, envelope)
            raise
        return envelope.response()

    def render_error(self, error: KeyPairFunctionError, context: RequestContext) -> Response:
        """Return a page to a browser, and problem details to a program."""
        if page.is_from_browser(context.request):
            return page.refused(error)
        return problem_details(error, context.request_id)
