"""One invocation of the function: its id, its time, its credentials."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from handler.errors import SettingsInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_TIME_LIMIT = 15.0
"""Seconds, where the context names none."""
MAX_INVOCATION_SECONDS = 60.0
"""Seconds after which a request is given up, however long the platform would let it run."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_FUNCTION_PART = re.compile(r"[A-Za-z0-9$_-]{1,64}")


@dataclass(frozen=True)
class Clock:
    """Time as the function sees it: `now` in seconds since 1970 UTC, `monotonic` in seconds."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Deadline:
    """When the platform ends this invocation, in `clock.monotonic` seconds."""

    clock: Clock
    ends_at: float

    def remaining(self) -> float:
        """Return the seconds left; negative when there are none."""
        return self.ends_at - self.clock.monotonic()

    def sooner(self, seconds: float) -> Deadline:
        """Return a deadline that leaves so many seconds until this one."""
        return replace(self, ends_at=self.ends_at - seconds)


@dataclass(frozen=True)
class Credentials:
    """What the function signs its own calls to the cloud with."""

    secret_id: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Credentials:
        """Return the execution role's credentials, else those under the SDK's own names.

        SCF injects the first three names (583/32389), which the SDK does not read; the second three are
        the SDK's, for machines that are not SCF. Raises SettingsInvalid.
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
    """How the platform calls this function (583/9210); empty where it does not say."""

    name: str = ""
    namespace: str = ""
    version: str = ""
    region: str = ""

    @classmethod
    def of(cls, context: Mapping[object, object]) -> Function:
        """Read it from SCF's `context`."""

        def name(key: str) -> str:
            value = context.get(key)
            return value if isinstance(value, str) and _FUNCTION_PART.fullmatch(value) else ""

        return cls(
            name("function_name"),
            name("namespace"),
            name("function_version"),
            name("tencentcloud_region"),
        )


@dataclass(frozen=True)
class Invocation:
    """What one call of `main_handler` has: fresh credentials, a request id, a deadline, and the function."""

    request_id: str
    deadline: Deadline
    environ: Mapping[str, str] = field(repr=False)
    function: Function = Function()

    @classmethod
    def begin(cls, context: object, environ: Mapping[str, str], clock: Clock) -> Invocation:
        """Read what is needed of SCF's `context`, which may hold anything (583/9210)."""
        # `environ` and `environment` inside the context hold live credentials: nothing else is touched.
        fields = context if isinstance(context, dict) else {}
        request_id = fields.get("request_id")
        if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
            request_id = str(uuid.uuid4())
        limit = fields.get("time_limit_in_ms")
        seconds = DEFAULT_TIME_LIMIT
        if isinstance(limit, int) and limit > 1:  # 1: True is an int too
            # The smaller one first: a number without bounds is no float.
            seconds = min(limit, MAX_INVOCATION_SECONDS * 1000) / 1000
        deadline = Deadline(clock, clock.monotonic() + seconds)
        return cls(request_id, deadline, environ, Function.of(fields))

    def credentials(self) -> Credentials:
        """Return the credentials of this very call: SCF renews them in the environment, call by call."""
        return Credentials.from_environ(self.environ)
