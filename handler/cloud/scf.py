"""The Invoke API of SCF (Serverless Cloud Function), by which the function starts itself once more.

API: https://cloud.tencent.com/document/api/583/17243. With InvocationType Event the API responds as soon
as the event is queued.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.cloud.sdk import Api, Failure
from handler.errors import CloudRefused, CloudUnreachable, OutcomeUnknown, OutOfTime, Upstream
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.errors import KeyPairFunctionError
    from handler.scf.invocation import Invocation

ENDPOINT = "https://scf.tencentcloudapi.com"
VERSION = "2018-04-16"

CALL_TIMEOUT = 2.0
"""Seconds for one call. The chat platforms wait three seconds for the function's response."""
CALL_MINIMUM = 0.2
"""With fewer seconds left, no call is begun."""


@dataclass(frozen=True)
class Scf:
    """SCF in the region of this function. `endpoint` replaces the cloud's address, for example in tests."""

    default_region: str
    """Used if the runtime does not say in which region the function runs."""
    endpoint: str | None = None

    def invoke_again(self, event: str, invocation: Invocation) -> None:
        """Queue an invocation of this function with `event`, a JSON object. It may run twice.

        Raises CloudRefused, CloudUnreachable or OutOfTime if it is certainly not queued, and OutcomeUnknown
        if it may be.
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
            # This version, not the newest: after a deployment, one version must not read the other's events.
            "Qualifier": own.version,
            "InvocationType": "Event",
            "ClientContext": event,
        }
        answer = api.call("Invoke", parameters, seconds)
        if isinstance(answer, Failure):
            raised = _error_of(answer)
            raised.upstream = Upstream(answer.request_id, answer.public_code, answer.message)
            raise raised


def _error_of(failure: Failure) -> KeyPairFunctionError:
    reason = "invoke-" + failure.family
    if not failure.code.startswith("Client"):
        return CloudRefused(reason)
    # The event may be queued, so this is not reported as a failure.
    return OutcomeUnknown("invoke-unknown") if failure.sent else CloudUnreachable(reason)
