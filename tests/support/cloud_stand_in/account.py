"""The state of the one account that the stand-in knows."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.cloud_stand_in.functions import RunningFunction, Version

APP_ID = "1250000000"
UIN = "100000000001"
REGION = "ap-guangzhou"
# https://cloud.tencent.com/document/product/583/9708
TIMER_EVENT = {"Type": "Timer", "TriggerName": "", "Time": "2026-11-26T00:00:00Z", "Message": ""}


@dataclass
class Function:
    """A function: `$LATEST`, its published versions, and what leads to them."""

    configuration: dict[str, Any]
    code: bytes
    running: RunningFunction
    status: str = "Creating"
    polls_until_active: int = 1
    versions: dict[str, tuple[dict[str, Any], Version]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=lambda: {"$DEFAULT": "$LATEST"})
    triggers: list[dict[str, Any]] = field(default_factory=list)
    reserved_mb: int | None = None
    async_retry: dict[str, Any] | None = None
    latest: Version | None = None
    last_version: int = 0


@dataclass
class Account:
    """Everything in the account, and what tests tell the stand-in to do."""

    functions: dict[tuple[str, str], Function] = field(default_factory=dict)
    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[int, dict[str, Any]] = field(default_factory=dict)
    attached: set[tuple[str, int]] = field(default_factory=set)
    logsets: dict[str, str] = field(default_factory=dict)
    topics: dict[str, dict[str, Any]] = field(default_factory=dict)
    buckets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Every call that was made, in order."""
    environment_pattern: bool = True
    """Whether values of variables have to be as 583/14570 says."""
    denied: set[str] = field(default_factory=set)
    """Calls that the deployer has no right to: 'service Action'."""
    hang_up_after_change: bool = False
    """Whether the connection is cut after the next call that changes something, once it is executed."""
    spared: str = ""
    """An action after which it is not cut."""
    dropped_header: str | None = None
    """A header that the Function URL does not pass on, in small letters."""
    rewritten_bodies: bool = False
    """Whether the Function URL parses JSON bodies and writes them anew."""
    wrong_download: bool = False
    """Whether the code that is downloaded is not the code that GetFunctionAddress has the digest of."""
    flips_a_byte: bool = False
    """Whether an upload to COS arrives changed."""
    failures_are_200: bool = False
    """Whether a crash or a time-out of the function is answered with 200."""
    timer_event: dict[str, Any] = field(default_factory=lambda: dict(TIMER_EVENT))
    memory_used: int = 45 * 2**20
    refused_runtime: str | None = None
    pause_at: str | None = None
    """The call that is executed and then left without an answer: 'service Action'."""
    paused: Event = field(default_factory=Event)
    resources: ExitStack = field(default_factory=ExitStack)
    next_id: int = 1000

    def new_id(self) -> int:
        """Return a number that was not used yet."""
        self.next_id += 1
        return self.next_id
