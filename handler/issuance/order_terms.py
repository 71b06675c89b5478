"""Who sent an order, and its idempotency key: apart from the issuer, which refused requests do not need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.audit import AuditTrail
    from handler.scf.invocation import Invocation


@dataclass(frozen=True)
class OrderTerms:
    """Who sends an order, and what makes it a repeated one."""

    caller_id: str
    idempotency_key: str | None
    """None if the order itself is the key: then it starts again only if its key pair was deleted."""
    message: str | None
    """The id of the signed message; None if the caller can send the same one again, as with a token."""
    invocation: Invocation
    trail: AuditTrail

    def record_key(self, digest: str) -> str:
        """Return the idempotency key of an order with this digest."""
        return f"order:{digest}" if self.idempotency_key is None else self.idempotency_key
