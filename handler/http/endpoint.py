"""What the application dispatches to: the `Endpoint` protocol and the `RequestContext` it works on."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from handler.startup.records import dataclass

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from handler.audit import AuditTrail
    from handler.errors import KeyPairFunctionError
    from handler.http.messages import Request, Response
    from handler.scf.invocation import Invocation


@dataclasses.dataclass
class RequestContext:
    """One request on its way through the function."""

    request: Request
    invocation: Invocation
    trail: AuditTrail
    event: object
    """The event from SCF. Only jobs read it; everything that arrives over HTTP is in `request`."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers to send with every response, errors included."""
    parsed: object = None
    """What the endpoint has parsed so far, for its own `render_error`."""

    @property
    def request_id(self) -> str:
        """The id that error responses and audit lines carry."""
        return self.invocation.request_id


class Endpoint(Protocol):
    """Handles the requests of a route."""

    def handle(self, context: RequestContext) -> Response:
        """Return the response; raise an error of `handler.errors`."""

    def render_error(self, error: KeyPairFunctionError, context: RequestContext) -> Response:
        """Return `error` in the form that this endpoint's clients expect."""


@dataclass(frozen=True)
class Route:
    """A path, its methods, and the endpoint there, whose module the first request imports."""

    path: str | re.Pattern[str]
    methods: tuple[str, ...]
    audit_name: str | None
    """The field `door` of audit lines; None if failures write no audit line."""
    make: Callable[[], Endpoint]

    @cached_property
    def endpoint(self) -> Endpoint:
        """What handles the requests."""
        return self.make()
