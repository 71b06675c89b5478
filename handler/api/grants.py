"""`POST /v1/grants`: the caller's grants, so that a form can offer exactly what they allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.api.problem_details import ProblemDetailsEndpoint
from handler.api.request_fields import json_body, read
from handler.api.wire_models import WireModel
from handler.http.messages import json_response
from handler.order import Action
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.auth.admission import Admission
    from handler.auth.caller import AuthenticatedCaller
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Request, Response
    from handler.policy.grants import Grant
    from handler.policy.model import Policy


class GrantsRequest(WireModel):
    """The body of a request: an empty object, so that a signature covers a body."""


@dataclass(frozen=True)
class GrantsEndpoint(ProblemDetailsEndpoint):
    """Returns the grants of a caller."""

    verify: Callable[[Request], AuthenticatedCaller]
    admission: Admission
    policy: Policy
    default_region: str

    def handle(self, context: RequestContext) -> Response:
        """Return the grants of the caller."""
        caller_id = self.admission.authenticate(self.verify, context).caller_id
        read(GrantsRequest, json_body(context.request))
        caller = self.policy.callers[caller_id]
        return json_response(
            200,
            {
                "caller": caller_id,
                "defaultRegion": self.default_region,
                "registeredRecipients": len(caller.recipients),
                # What a form for new key pairs can offer, and nothing else.
                "grants": [
                    _render(grant, caller_id) for grant in caller.grants if Action.CREATE in grant.actions
                ],
                "listRegions": sorted(
                    {
                        region
                        for grant in caller.grants
                        if Action.LIST in grant.actions
                        for region in grant.regions
                    }
                ),
                "actions": [
                    action.value
                    for action in Action
                    if any(action in grant.actions for grant in caller.grants)
                ],
            },
        )


def _render(grant: Grant, caller_id: str) -> dict[str, object]:
    return {
        "names": list(grant.names_for(caller_id)),
        "projects": list(grant.projects),
        "regions": list(grant.regions),
        "forcedTags": grant.forced_tags,
        "requiredTags": grant.required_tags,
        "optionalTags": grant.optional_tags,
        "longestExpiry": grant.longest_expiry,
        "ownRecipients": grant.own_recipients,
    }
