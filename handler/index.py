"""The SCF entry point `index.main_handler`. `scripts/build` puts this file at the root of the package."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from handler import application, composition
from handler.api.problem_details import problem_details
from handler.errors import InternalFault, KeyPairFunctionError
from handler.scf.invocation import Clock, Invocation

if TYPE_CHECKING:
    from handler.http.strict_json import Json

_CLOCK = Clock()


class _Container:
    """State that lives as long as SCF keeps this process."""

    application: application.Application | None = None


def main_handler(event: object, context: object) -> dict[str, Json]:
    """Return a response with a status code for any event; never raise."""
    # Read on every call, because SCF replaces the credentials of the execution role in the environment.
    environ = dict(os.environ)
    invocation = Invocation.begin(context, environ, _CLOCK)
    try:
        if _Container.application is None:
            _Container.application = composition.build(environ, _CLOCK, lambda: sys.stdout)
        response = _Container.application.dispatch(event, invocation)
    except KeyPairFunctionError as error:
        # The settings or the policy are wrong. The text names variables and key paths, never values.
        application.log_misconfiguration(error)
        response = problem_details(error, invocation.request_id)
    except BaseException as error:  # noqa: BLE001  # the last resort; panics of Rust libraries are not Exceptions
        application.log_fault(error)
        response = problem_details(InternalFault(), invocation.request_id)
    return response.to_event()
