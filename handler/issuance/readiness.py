"""Whether the function could issue a key pair now, and if not, what is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.errors import KeyPairFunctionError, StoreUnavailable
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.issuance.issuer import Connect
    from handler.scf.invocation import Invocation
    from handler.store.base import Store

OK = "ok"
_CLOCK_SKEW = "AuthFailure.SignatureExpire"
"""The cloud's code for a signature that is more than five minutes off (api/213/30654)."""


def store_status(store: Store) -> str:
    """Return `ok`, or why the store does not answer."""
    try:
        store.get("readiness")
    except StoreUnavailable as error:
        return error.reason
    return OK


@dataclass(frozen=True)
class Readiness:
    """Checks what an order depends on, without changing anything."""

    store: Store
    connect: Connect
    region: str

    def checks(self, invocation: Invocation) -> dict[str, str]:
        """Return the status of each check; raise SettingsInvalid if there are no credentials."""
        role, clock = self._cloud(invocation)
        return {"store": store_status(self.store), "role": role, "clock": clock}

    def _cloud(self, invocation: Invocation) -> tuple[str, str]:
        """Return the status of the execution role and that of the clock: one call tells both."""
        cvm = self.connect(invocation.credentials(), self.region, invocation.deadline)
        try:
            code = cvm.refusal()
        except KeyPairFunctionError as error:
            return error.reason, "unknown"
        if code is None:
            return OK, OK
        if code == _CLOCK_SKEW:
            return "unknown", "skewed"
        return f"describe-{code}", "unknown"
