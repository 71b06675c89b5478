"""The body of an error: problem details (RFC 9457).

Typed dictionaries, so that a refusal builds no model. Only type checkers and the build of /openapi.json load
this module.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import NotRequired, TypedDict  # pydantic refuses typing's before Python 3.12


class FieldAtFault(TypedDict):
    """A field of the request, the rule that it violates, and what to send instead, in English and Chinese."""

    field: Annotated[str, Field(description="Its path, with dots.")]
    rule: str
    advice: NotRequired[str]
    adviceZh: NotRequired[str]


class Problem(TypedDict):
    """Problem details (RFC 9457)."""

    type: Annotated[str, Field(description="urn:keypair-function: and the code.")]
    title: str
    status: int
    code: str
    requestId: str
    errors: NotRequired[list[FieldAtFault]]
