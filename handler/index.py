"""The SCF entry point `index.main_handler`. `scripts/build` puts this file at the root of the package."""

from __future__ import annotations

import gc

# Startup creates many objects and no garbage. Collecting would take 5 % of it, so the collector starts after
# the first response.
gc.disable()

from handler.startup import lazy_modules, precomputed  # noqa: E402  # after the line above, as all that follow

lazy_modules.defer(lazy_modules.MODULES)
_PRECOMPUTED = precomputed.Precomputed()
_PRECOMPUTED.begin()
# After the line above: this imports their packages, whose regular expressions are precomputed.
lazy_modules.defer(lazy_modules.SUBMODULES)

import os  # noqa: E402  # after the lines above, as all that follow
import sys  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

from handler import application, composition  # noqa: E402
from handler.api.problem_details import problem_details  # noqa: E402
from handler.errors import InternalFault, KeyPairFunctionError  # noqa: E402
from handler.scf.invocation import Clock, Invocation  # noqa: E402
from handler.settings import PREFIX  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.application import Application
    from handler.http.strict_json import Json

_CLOCK = Clock()


class _Container:
    """State that lives as long as SCF keeps this process."""

    application: Application | None = None

    @classmethod
    def start(cls, environ: Mapping[str, str]) -> Application:
        """Return the application; raise SettingsInvalid or PolicyInvalid."""
        if cls.application is None:
            cls.application = composition.build(environ, _CLOCK, lambda: sys.stdout)
        return cls.application


def main_handler(event: object, context: object) -> dict[str, Json]:
    """Return a response with a status code for any event; never raise."""
    # Not a copy of the environment: SCF replaces the credentials of the execution role in it for each call.
    invocation = Invocation.begin(context, os.environ, _CLOCK)
    try:
        response = _Container.start(os.environ).dispatch(event, invocation)
    except KeyPairFunctionError as error:
        # The settings or the policy are wrong. The text names variables and key paths, never values.
        application.log_misconfiguration(error)
        response = problem_details(error, invocation.request_id)
    except BaseException as error:  # noqa: BLE001  # the last resort; panics of Rust libraries are not Exceptions
        application.log_fault(error)
        response = problem_details(InternalFault(), invocation.request_id)
    finally:
        if not gc.isenabled():
            _PRECOMPUTED.end()
            # What startup has created lives as long as the process: no collection needs to look at it.
            gc.freeze()
            gc.enable()
    return response.to_event()


def _prepare(environ: Mapping[str, str]) -> None:
    """Start while SCF starts the instance. The first line of its log then says what is wrong, if anything is.

    A failed start is tried again at each request. SCF does not document whether the variables are there yet;
    if none is, the first request comes soon enough.
    """
    if not any(name.startswith(PREFIX) for name in environ):
        return
    try:
        _Container.start(environ)
    except KeyPairFunctionError as error:
        application.log_misconfiguration(error)
    except BaseException as error:  # noqa: BLE001  # as in `main_handler`
        application.log_fault(error)


_prepare(os.environ)
