"""Authenticates requests, and checks that the policy knows the caller."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from handler.auth.caller import AuthenticatedCaller
from handler.auth.master_secret import MasterSecrets
from handler.auth.nonces import Nonces
from handler.auth.time_window import SIGNATURE_WINDOW
from handler.errors import Unauthenticated
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handler.auth.bearer import BearerVerifier
    from handler.auth.signature_v2 import SignatureV2Verifier
    from handler.auth.tc3 import Tc3Verifier
    from handler.http.messages import Request
    from handler.policy.model import Policy
    from handler.scf.invocation import Clock
    from handler.settings import Settings
    from handler.store.base import Store


@dataclass(frozen=True)
class Authenticator:
    """All ways to authenticate, each imported when a request first uses it.

    Each raises Unauthenticated, StoreUnavailable if a nonce cannot be stored, and IssuerUnavailable if the
    key that verifies a token cannot be fetched.
    """

    settings: Settings
    policy: Policy
    store: Store
    clock: Clock

    @cached_property
    def bearer(self) -> BearerVerifier:
        """Verifies tokens."""
        from handler.auth.bearer import BearerVerifier

        return BearerVerifier(self.policy, self.nonces, self.clock)

    @cached_property
    def signature_tc3(self) -> Tc3Verifier:
        """Verifies signatures of API v3."""
        from handler.auth.tc3 import Tc3Verifier

        return Tc3Verifier(*self._signing)

    @cached_property
    def signature_v2(self) -> SignatureV2Verifier:
        """Verifies signatures of API v2."""
        from handler.auth.signature_v2 import SignatureV2Verifier

        return SignatureV2Verifier(*self._signing)

    @cached_property
    def nonces(self) -> Nonces:
        """What was used once."""
        return Nonces(self.store)

    @property
    def _signing(self) -> tuple[MasterSecrets, Sequence[str], Clock, Mapping[str, int]]:
        return (
            MasterSecrets(self.settings.master_secrets),
            self.settings.hosts,
            self.clock,
            self.policy.generations,
        )

    def token_or_tc3(self, request: Request) -> AuthenticatedCaller:
        """Return who sent `request`; its Authorization header selects the scheme."""
        if request.headers.get("authorization", "").lower().startswith("bearer "):
            return self.bearer.authenticate(request)
        return self.tc3(request)

    def tc3(self, request: Request) -> AuthenticatedCaller:
        """Return who signed `request` as for API v3."""
        verified = self.signature_tc3.verify(request)
        caller = self.policy.callers.get(verified.caller_id)
        if caller is None or not caller.tc3:
            raise Unauthenticated("tc3-caller")
        # No nonce to burn: the signature is the idempotency key, so the same signature gets the same answer.
        return AuthenticatedCaller(verified.caller_id, verified.signature, verified.signed_headers)

    def v2(self, request: Request) -> AuthenticatedCaller:
        """Return who signed `request` as for API v2."""
        verified = self.signature_v2.verify(request)
        caller = self.policy.callers.get(verified.caller_id)
        if caller is None or verified.method not in caller.v2:
            raise Unauthenticated("v2-caller")
        self.nonces.burn(
            "v2",
            verified.caller_id,
            verified.nonce,
            use=verified.signature,
            ttl=SIGNATURE_WINDOW.nonce_ttl,
        )
        return AuthenticatedCaller(verified.caller_id, verified.signature, frozenset())
