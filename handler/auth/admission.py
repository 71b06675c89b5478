"""The rate limits of the policy, applied to callers and to failed attempts to authenticate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.auth.rate_limits import Allowance, source_of
from handler.errors import Unauthenticated
from handler.order import Action
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.auth.caller import AuthenticatedCaller
    from handler.auth.rate_limits import Limiter
    from handler.http.endpoint import RequestContext
    from handler.http.messages import Request
    from handler.policy.model import Policy


@dataclass(frozen=True)
class Admission:
    """Limits how often an address may fail to authenticate, and how many requests a caller may send."""

    policy: Policy
    limiter: Limiter

    def authenticate(
        self, verify: Callable[[Request], AuthenticatedCaller], context: RequestContext
    ) -> AuthenticatedCaller:
        """Return the caller that `verify` finds, and note it in the audit trail.

        Raises what `verify` raises, and RateLimited for an address that failed too often.
        """
        caller = self._verify(verify, context.request)
        context.trail.note(caller=caller.caller_id)
        return caller

    def count(
        self,
        caller_id: str,
        request_key: str | None,
        context: RequestContext,
        action: Action,
    ) -> None:
        """Count a request of an authenticated caller; raise RateLimited if there were too many of its action.

        Every request counts, refused ones too, so that nobody can quickly probe what the policy grants. With
        a `request_key`, a repetition does not count. The response headers state what is left.
        """
        rate = self.policy.callers[caller_id].rate
        if rate is None:
            return
        # A caller id contains no colon. Creating has the name that it had when it was the only action.
        who = caller_id if action is Action.CREATE else f"{caller_id}:{action.value}"
        allowance = Allowance.of(rate)
        standing = (
            self.limiter.take("caller", who, allowance)
            if request_key is None
            else self.limiter.take_once("caller", who, allowance, request_key)
        )
        if standing is not None:
            context.headers.update(standing.headers())

    def _verify(
        self, verify: Callable[[Request], AuthenticatedCaller], request: Request
    ) -> AuthenticatedCaller:
        source = source_of(request.remote_address)
        if source is None:
            # Requests without a usable address are not limited: if they shared one allowance, one of them
            # could use it up for all the others.
            return verify(request)
        allowance = Allowance.of(self.policy.failed_rate)
        self.limiter.check("source", source, allowance)
        try:
            return verify(request)
        except Unauthenticated:
            self.limiter.take("source", source, allowance)
            raise
