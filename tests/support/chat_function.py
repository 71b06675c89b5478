"""The function with its bot: deferred work goes through the real SDK and a real socket to a local Invoke."""

from __future__ import annotations

import re
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handler.chat.http_client import HttpClient
from handler.chat.platforms.registry import PLATFORMS
from handler.chat.published_keys import PublishedKeys
from handler.composition import ChatNetwork
from handler.scf.invocation import Clock
from scripts.cvm_emulator.signature import Credential
from scripts.function_url.instance import Returned
from scripts.function_url.invocations import Invocations
from tests.support.function_under_test import POLICY, REGION, REGISTERED, Answer, FunctionUnderTest, TestClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pytest

    from handler.chat.platforms.registry import MakePlatform
    from tests.support.emulator_process import EmulatorProcess

CONTEXT = {
    "function_name": "keypair-issuer",
    "namespace": "default",
    "function_version": "$LATEST",
    "tencentcloud_region": REGION,
    "time_limit_in_ms": 30_000,
}
PUBLIC_URL = "https://keys.example.com"


def chat_policy(platform: str, tenant: str, users: Mapping[str, str], **top: object) -> dict[str, Any]:
    """Return a policy in which these users (user id -> kind of caller) are known.

    `free` brings own recipients or has none registered; `pinned` has them registered and brings none.
    """
    grant = {"names": ["*"], "regions": [REGION, "ap-shanghai"], "longest_expiry": "30d"}
    kinds: dict[str, dict[str, Any]] = {
        "free": {"grants": [{**grant, "own_recipients": True}], "recipients": [str(REGISTERED.to_public())]},
        "pinned": {"grants": [grant], "recipients": [str(REGISTERED.to_public())]},
        "slow": {"grants": [grant], "recipients": [str(REGISTERED.to_public())], "rate": "1/hour"},
    }
    return {
        "failed_rate": POLICY["failed_rate"],
        **top,
        "callers": {
            f"caller-{user}": {
                **kinds[kind],
                "chat": [{"platform": platform, "tenant": tenant, "user": user}],
            }
            for user, kind in users.items()
        },
    }


class TrueClock(TestClock):
    """Time as it is, for tests in which several invocations run at once."""

    def clock(self) -> Clock:
        return Clock()

    @property
    def time(self) -> float:
        return time.time()

    @time.setter
    def time(self, value: float) -> None:
        """Leave it as it is."""


@dataclass
class ChatFunction:
    """`send` gives the answer to a webhook; `work` does what was left for later.

    Until then it waits, so that tests are in nobody's way: the fake clock is that of all invocations. With
    `at_once` it begins as soon as it is there.
    """

    function: FunctionUnderTest
    invocations: Invocations
    at_once: bool
    may_begin: threading.Event = field(default_factory=threading.Event)
    over: bool = False
    """Whether the test is over: what it has left in the queue is dropped, for the next one's sake."""

    def __post_init__(self) -> None:
        if self.at_once:
            self.may_begin.set()

    def send(self, event: object) -> Answer:
        """Answer one HTTP event."""
        return self.function.call(event, CONTEXT)

    def work(self) -> None:
        """Run all deferred events, and wait until they have run."""
        self.may_begin.set()
        self.invocations.settle()
        if not self.at_once:
            self.may_begin.clear()

    def call(self, event: Mapping[str, object]) -> Returned:
        """Run the function on an event from the queue, as the platform does."""
        self.may_begin.wait(60)
        if self.over:
            return Returned({})
        return Returned(self.function.call(event, CONTEXT).event)

    def decisions(self) -> list[tuple[str, str, str | None]]:
        """Return door, decision and reason of each audit line."""
        return [(line["door"], line["decision"], line["reason"]) for line in self.function.audit_lines()]


@contextmanager
def running_chat(
    emulator: EmulatorProcess,
    folder: Path,
    *,
    policy: Mapping[str, Any],
    settings: Mapping[str, str],
    instead: Mapping[str, str] | None = None,
    published_keys: Callable[[Mapping[str, str]], PublishedKeys] = PublishedKeys,
    platforms: Mapping[str, MakePlatform] = PLATFORMS,
    clock: TestClock | None = None,
    instances: int = 1,
) -> Iterator[ChatFunction]:
    """Give a function with these settings, whose posts to a platform's origin go `instead` elsewhere."""
    invocations = Invocations(Credential(emulator.secret_id, emulator.secret_key))
    function = FunctionUnderTest(
        emulator,
        folder / "policy.json",
        policy=policy,
        settings={
            "KEYPAIR_SCF_ENDPOINT": invocations.url,
            "KEYPAIR_PUBLIC_URL": PUBLIC_URL,
            **settings,
        },
        chat=ChatNetwork(HttpClient(instead or {}), published_keys, platforms),
        clock=clock or TestClock(),
    )
    chat = ChatFunction(function, invocations, at_once=isinstance(clock, TrueClock))
    with ExitStack() as cleanup:
        cleanup.callback(function.delete_key_pairs)
        cleanup.enter_context(invocations.serving(chat, instances))
        try:
            yield chat
        finally:
            chat.over = True
            chat.may_begin.set()


def check_transcript(config: pytest.Config, platform: str, said: str) -> None:
    """Compare a conversation with that in the documentation, or write it there with --write-transcripts.

    What differs from run to run is not compared: ids, keys, ciphertext, times.
    """
    said = re.sub(r"(-----BEGIN AGE [A-Z ]+-----\n\S+\n)[A-Za-z0-9+/=\n]+\n(\S+\n-----END)", r"\1…\n\2", said)
    file = Path(__file__).parents[2] / "docs" / f"chat-{platform}.txt"
    if config.getoption("--write-transcripts"):
        file.write_text(said, encoding="utf-8")
    assert _masked(said) == _masked(file.read_text(encoding="utf-8"))


def _masked(said: str) -> str:
    for pattern in (
        r"(?<=-----BEGIN AGE ENCRYPTED FILE-----\n)[A-Za-z0-9+/=\n…]+",
        r"skey-[0-9a-z]+",
        r"SHA256:[A-Za-z0-9+/]+",
        r"age1[0-9a-z]+",
        r"(?<=ssh-rsa )\S+",
        r"(?<=/pickup/)\S+",
        r"(?<=delete web_1 )[a-z]+",
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    ):
        said = re.sub(pattern, "…", said)
    return said
