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
    """Handles the requests to one path."""

    @property
    def path(self) -> str | re.Pattern[str]:
        """The path, or a pattern for the paths."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods it takes."""

    @property
    def audit_name(self) -> str | None:
        """The field `door` of its audit lines; None if its failures write no audit line."""

    def handle(self, context: RequestContext) -> Response:
        """Return the response; raise an error of `handler.errors`."""

    def render_error(self, error: KeyPairFunctionError, context: RequestContext) -> Response:
        """Return `error` in the form that this endpoint's clients expect."""


@dataclass(frozen=True)
class LazyEndpoint:
    """An `Endpoint` whose module is imported by the first request to it."""

    path: str | re.Pattern[str]
    methods: tuple[str, ...]
    audit_name: str | None
    make: Callable[[], Endpoint]

    @cached_property
    def endpoint(self) -> Endpoint:
        """The endpoint itself. Its path, methods and name are the same as here."""
        return self.make()

    def handle(self, context: RequestContext) -> Response:
        """Return the response; raise an error of `handler.errors`."""
        return self.endpoint.handle(context)

    def render_error(self, error: KeyPairFunctionError, context: RequestContext) -> Response:
        """Return `error` in the form that this endpoint's clients expect."""
        return self.endpoint.render_error(error, context)
