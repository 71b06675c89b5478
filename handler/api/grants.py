"""`POST /v1/grants`: what the policy lets this caller ask for, so that a form can offer just that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handler.api.fields import WireModel, json_body, read
from handler.http import json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.door import Proof
    from handler.grant import Grant
    from handler.http import Request, Response
    from handler.policy import Policy

PATH = "/v1/grants"


class GrantsRequest(WireModel):
    """The body of a request: an empty object, so that a signature has something to cover."""


@dataclass(frozen=True)
class GrantsDoor:
    """A way in that leads to no key pair."""

    prove: Callable[[Request], Proof]
    policy: Policy
    default_region: str

    name = "grants"

    def tell(self, request: Request, proof: Proof) -> Response:
        """Return the grants of a proven caller; raise RequestRefused."""
        read(GrantsRequest, json_body(request))
        caller = self.policy.callers[proof.caller_id]
        return json_response(
            200,
            {
                "caller": proof.caller_id,
                "defaultRegion": self.default_region,
                "registeredRecipients": len(caller.recipients),
                "grants": [_written(grant, proof.caller_id) for grant in caller.grants],
            },
        )


def _written(grant: Grant, caller_id: str) -> dict[str, object]:
    return {
        "names": list(grant.names_of(caller_id)),
        "projects": list(grant.projects),
        "regions": list(grant.regions),
        "forcedTags": grant.forced_tags,
        "requiredTags": grant.required_tags,
        "optionalTags": grant.optional_tags,
        "longestExpiry": grant.longest_expiry,
        "ownRecipients": grant.own_recipients,
    }
