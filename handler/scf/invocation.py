"""One invocation of the function: its id, deadline and credentials."""

from __future__ import annotations

import math
import re
import time
import uuid
from dataclasses import field, replace
from typing import TYPE_CHECKING

from handler.errors import SettingsInvalid
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_TIME_LIMIT = 15.0
"""Seconds, if the context does not state the limit."""
MAX_INVOCATION_SECONDS = 60.0
"""Seconds after which a request is given up, even if SCF allows more."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_FUNCTION_PART = re.compile(r"[A-Za-z0-9$_-]{1,64}")


@dataclass(frozen=True)
class Clock:
    """The time: `now` in seconds since 1970 UTC, `monotonic` in seconds."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def moment(self) -> Moment:
        """Return this moment."""
        return Moment(self.now(), self.monotonic())

    def since(self, moment: Moment) -> float:
        """Return the seconds since `moment`, by the clock that counts more of them.

        SECURITY BOUNDARY: the monotonic clock stands still while SCF freezes the instance, and the other one
        can be set back. What must end after some time is measured by this.
        """
        return max(self.now() - moment.now, self.monotonic() - moment.monotonic)


@dataclass(frozen=True)
class Moment:
    """A moment by both clocks, each in seconds."""

    now: float
    monotonic: float


LONG_AGO = Moment(-math.inf, -math.inf)
"""Before every other moment."""


@dataclass(frozen=True)
class Deadline:
    """When SCF ends this invocation, in seconds of `clock.monotonic`."""

    clock: Clock
    ends_at: float

    def remaining(self) -> float:
        """Return the seconds left; negative after the deadline."""
        return self.ends_at - self.clock.monotonic()

    def minus(self, seconds: float) -> Deadline:
        """Return a deadline `seconds` earlier than this one."""
        return replace(self, ends_at=self.ends_at - seconds)


@dataclass(frozen=True)
class Credentials:
    """The credentials with which the function signs its own calls to the cloud."""

    secret_id: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Credentials:
        """Return the execution role's credentials, or else those under the SDK's own names.

        SCF injects the first three variables (583/32389), which the SDK does not read. The second three are
        the SDK's, for machines outside SCF. Raises SettingsInvalid.
        """
        for id_name, key_name, token_name in (
            ("TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY", "TENCENTCLOUD_SESSIONTOKEN"),
            ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN"),
        ):
            secret_id, secret_key = environ.get(id_name), environ.get(key_name)
            if secret_id and secret_key:
                return cls(secret_id, secret_key, environ.get(token_name) or None)
            if secret_id or secret_key:
                raise SettingsInvalid(f"{id_name} and {key_name} belong together; one of them is empty")
        raise SettingsInvalid("no cloud credentials: give the function an execution role")


@dataclass(frozen=True)
class Function:
    """How SCF identifies this function (583/9210). Fields that SCF does not state are empty."""

    name: str = ""
    namespace: str = ""
    version: str = ""
    region: str = ""

    @classmethod
    def of(cls, context: Mapping[object, object]) -> Function:
        """Read the names from SCF's `context`."""
        values = [
            context.get(key)
            for key in ("function_name", "namespace", "function_version", "tencentcloud_region")
        ]
        return cls(
            *(value if isinstance(value, str) and _FUNCTION_PART.fullmatch(value) else "" for value in values)
        )


@dataclass(frozen=True)
class Invocation:
    """One call of `main_handler`: its request id, deadline, environment and function."""

    request_id: str
    deadline: Deadline
    environ: Mapping[str, str] = field(repr=False)
    _context: Mapping[object, object] = field(default_factory=dict, repr=False)

    @classmethod
    def begin(cls, context: object, environ: Mapping[str, str], clock: Clock) -> Invocation:
        """Read the context that SCF passes (583/9210). It may contain anything."""
        # The context also has `environ` and `environment`, which hold live credentials: they are not read.
        fields = context if isinstance(context, dict) else {}
        request_id = fields.get("request_id")
        if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
            request_id = str(uuid.uuid4())
        limit = fields.get("time_limit_in_ms")
        seconds = DEFAULT_TIME_LIMIT
        if isinstance(limit, int) and limit > 1:  # 1: True is an int too
            # The minimum first: an integer without bounds may not fit into a float.
            seconds = min(limit, MAX_INVOCATION_SECONDS * 1000) / 1000
        deadline = Deadline(clock, clock.monotonic() + seconds)
        return cls(request_id, deadline, environ, fields)

    @property
    def function(self) -> Function:
        """The function that SCF says this is."""
        return Function.of(self._context)

    def credentials(self) -> Credentials:
        """Return the credentials of this invocation. SCF renews them in the environment for each one."""
        return Credentials.from_environ(self.environ)
