"""The body of an error: problem details (RFC 9457)."""

from __future__ import annotations

import operator

from pydantic import Field

from handler.api.wire_models import WireAnswer


class FieldAtFault(WireAnswer):
    """A field of the request, the rule that it violates, and what to send instead, in English and Chinese."""

    field: str = Field(description="Its path, with dots.")
    rule: str
    advice: str = Field(default="", exclude_if=operator.not_)
    advice_zh: str = Field(default="", exclude_if=operator.not_)


class Problem(WireAnswer):
    """Problem details (RFC 9457)."""

    type: str = Field(description="urn:keypair-function: and the code.")
    title: str
    status: int
    code: str
    request_id: str
    errors: tuple[FieldAtFault, ...] = Field(default=(), exclude_if=operator.not_)
