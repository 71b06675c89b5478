"""SCF's Invoke through the official SDK: this function hands work to another invocation of itself.

API: https://cloud.tencent.com/document/api/583/17243. With InvocationType Event it answers as soon as the
event is in the queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handler.cloud.sdk import Api, Failure
from handler.errors import CloudRefused, CloudUnreachable, OutcomeUnknown, OutOfTime

if TYPE_CHECKING:
    from handler.errors import KeyPairFunctionError
    from handler.scf.invocation import Invocation

ENDPOINT = "https://scf.tencentcloudapi.com"
VERSION = "2018-04-16"

CALL_TIMEOUT = 2.0
"""Seconds, at most: whoever waits for the answer waits three."""
CALL_MINIMUM = 0.2
"""Seconds without which no call is begun."""


@dataclass(frozen=True)
class Scf:
    """The functions in the region of this one; `endpoint` is for one that is not the cloud's."""

    default_region: str
    """Where the platform does not say in which region this function runs."""
    endpoint: str | None = None

    def invoke_again(self, event: str, invocation: Invocation) -> None:
        """Have this very function run on `event`, a JSON object, some time soon.

        Raises CloudRefused, CloudUnreachable or OutOfTime if it does not happen, and OutcomeUnknown where it
        may. It may happen twice.
        """
        seconds = min(CALL_TIMEOUT, invocation.deadline.remaining())
        if seconds < CALL_MINIMUM:
            raise OutOfTime
        own = invocation.function
        api = Api(
            "scf",
            VERSION,
            self.endpoint or ENDPOINT,
            own.region or self.default_region,
            invocation.credentials(),
            invocation.deadline.clock,
        )
        parameters = {
            "FunctionName": own.name,
            "Namespace": own.namespace,
            # This version, not the newest one: a deployment in between must not read the other's events.
            "Qualifier": own.version,
            "InvocationType": "Event",
            "ClientContext": event,
        }
        answer = api.call("Invoke", parameters, seconds)
        if isinstance(answer, Failure):
            raised = _error_of(answer)
            raised.upstream_request_id = answer.request_id
            raise raised


def _error_of(failure: Failure) -> KeyPairFunctionError:
    reason = "invoke-" + failure.family
    if not failure.code.startswith("Client"):
        return CloudRefused(reason)
    # The event may be in the queue: nobody may be told that nothing comes of it.
    return OutcomeUnknown("invoke-unknown") if failure.sent else CloudUnreachable(reason)
