"""Public pages: `/healthz`, `/openapi.json`, and the web page if it is configured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from handler.api.problem_details import ProblemDetailsEndpoint
from handler.http.messages import Response, json_response
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.http.endpoint import RequestContext

OPENAPI = Path(__file__).with_name("openapi.json")
"""Made by `scripts/openapi`."""


@dataclass(frozen=True)
class PageEndpoint(ProblemDetailsEndpoint):
    """A page that needs no authentication."""

    render: Callable[[], Response]

    def handle(self, context: RequestContext) -> Response:
        """Return the page."""
        del context
        return self.render()


def health() -> Response:
    """Report that the function runs."""
    return json_response(200, {"status": "ok"})


def openapi() -> Response:
    """Return the description of the REST API."""
    return Response(200, OPENAPI.read_text(encoding="utf-8"), "application/json")
