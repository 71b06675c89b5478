"""What a chat is told when any one step between message and answer fails, or the function dies over it.

Whatever it is: the key pair is made once, and is given to the one who asked. SCF repeats an event whose
invocation died, and the platform a message that was not acknowledged.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import pyrage
import pytest

from handler.chat.jobs import MAX_ROUNDS
from handler.chat.platforms.base import Block, Reply
from handler.chat.published_keys import SelectedKeys
from handler.composition import ChatNetwork
from handler.errors import (
    CloudUnreachable,
    KeyPairFunctionError,
    KeysUnavailable,
    OutcomeUnknown,
    PlatformUnavailable,
    StoreUnavailable,
)
from handler.scf.invocation import MAX_INVOCATION_SECONDS
from tests.support.chat_function import CONTEXT, chat_policy
from tests.support.function_under_test import REGISTERED, FunctionUnderTest, fresh_name, with_parts
from tests.support.quiet_platform import USERS, Quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from handler.chat.platforms.base import Message
    from handler.scf.invocation import Deadline, Invocation
    from handler.store.base import Store
    from tests.support.emulator_process import EmulatorProcess

pytestmark = pytest.mark.slow

_T = TypeVar("_T")


class How(str, Enum):
    """How a step fails."""

    ERROR = "not done"
    CUT = "done, and the answer lost"
    KILL_BEFORE = "killed before"
    KILL_AFTER = "killed after"


class Killed(BaseException):
    """Nothing of the invocation goes on after this."""


@dataclass
class Steps:
    """Counts the steps from the message to its answer; the `nth` one fails, and those that `more` names."""

    nth: int
    how: How
    more: Mapping[int, How] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    dead: bool = False

    def take(self, name: str, error: KeyPairFunctionError, effect: Callable[[], _T]) -> _T:
        if self.dead:
            raise Killed
        self.names.append(name)
        how = {**self.more, self.nth: self.how}.get(len(self.names))
        if how is How.KILL_BEFORE:
            self.dead = True
            raise Killed
        if how is How.ERROR:
            raise error
        done = effect()
        if how is How.KILL_AFTER:
            self.dead = True
            raise Killed
        if how is How.CUT:
            raise error
        return done


@dataclass
class Struck:
    """A store whose operations are steps."""

    inner: Store
    steps: Steps

    shared = True

    def get(self, key: str) -> str | None:
        return self._step("get", key, lambda: self.inner.get(key))

    def add(self, key: str, value: str, ttl: float) -> bool:
        return self._step("add", key, lambda: self.inner.add(key, value, ttl))

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        return self._step("replace", key, lambda: self.inner.replace(key, expected, value, ttl))

    def _step(self, operation: str, key: str, effect: Callable[[], _T]) -> _T:
        return self.steps.take(f"{operation} {key.partition(':')[0]}", StoreUnavailable(), effect)


@dataclass
class Stepping(Quiet):
    """A platform whose taking of a reply is a step."""

    steps: Steps = field(default_factory=lambda: Steps(0, How.ERROR))
    narrow: bool = False
    """Whether no envelope fits into a message."""

    def fits(self, reply: Reply) -> bool:
        del reply
        return not self.narrow

    def deliver(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        self.steps.take("say", PlatformUnavailable(), lambda: Quiet.deliver(self, message, reply, deadline))


@dataclass
class Published:
    """A place where somebody publishes another key each time."""

    steps: Steps
    identities: list[pyrage.x25519.Identity] = field(default_factory=list)
    meanwhile: Callable[[], object] = bool

    def keys(self, place: str, user: str) -> SelectedKeys:
        assert (place, user) == ("place", "alice")
        return self.steps.take("fetch", KeysUnavailable(), self._fetched)

    def _fetched(self) -> SelectedKeys:
        identity = pyrage.x25519.Identity.generate()
        self.meanwhile()
        self.identities.append(identity)
        return SelectedKeys((str(identity.to_public()),))


@dataclass
class Conversation:
    """One message, until nothing is left to do."""

    function: FunctionUnderTest
    platform: Stepping
    steps: Steps
    published: Published
    events: deque[tuple[str, int]] = field(default_factory=deque)
    """With the number of their runs."""

    def invoke_again(self, event: str, invocation: Invocation) -> None:
        del invocation
        error = OutcomeUnknown() if self.steps.how is How.CUT else CloudUnreachable()
        self.steps.take("invoke", error, lambda: self.events.append((event, 1)))

    def send(self, text: str) -> None:
        """Send it as a platform does: three times, where it is not acknowledged."""
        for _ in range(3):
            if self.run(CONTEXT, message(text)) == 200:
                break
            self.function.clock.time += MAX_INVOCATION_SECONDS + 1
        while self.events:
            deferred, runs = self.events.popleft()
            if self.run(CONTEXT, json.loads(deferred)) is None and runs < 3:
                self.function.clock.time += MAX_INVOCATION_SECONDS
                self.events.append((deferred, runs + 1))

    def run(self, context: Mapping[str, object], *events: Mapping[str, Any]) -> int | None:
        """Return the status of the last; None if its invocation dies."""
        status = None
        for event in events:
            self.steps.dead = False
            try:
                status = self.function.call(event, context).status
            except Killed:
                status = None
        return status

    def given(self) -> list[Reply]:
        return [reply for _, reply in self.platform.said if reply.has_key_pair]


def message(text: str) -> dict[str, Any]:
    """Return the platform's request."""
    said = {
        "platform": "quiet", "tenant": "t", "user": "free", "event_id": "e", "text": text,
        "locale": "en", "reply_to": "free",
    }  # fmt: skip
    return {
        "httpMethod": "POST",
        "path": "/chat/quiet",
        "headers": {"x-proof": "good"},
        "body": json.dumps(said),
    }


def conversation(emulator: EmulatorProcess, folder: Path, steps: Steps, *, narrow: bool) -> Conversation:
    platform = Stepping(steps=steps, narrow=narrow)
    function = FunctionUnderTest(
        emulator,
        folder / "policy.json",
        policy=chat_policy("quiet", "t", USERS, keys_from={"place": "https://localhost/{user}.keys"}),
        settings={"KEYPAIR_SCF_ENDPOINT": "http://127.0.0.1:9"},
        chat=ChatNetwork(platforms={"quiet": lambda _settings, _tools: platform}),
    )
    published = Published(steps)
    talk = Conversation(function, platform, steps, published)
    bot = function.services.bot
    struck = Struck(bot.store, steps)
    function.services = with_parts(
        function.services,
        bot=replace(
            bot,
            store=struck,
            deliveries=replace(bot.deliveries, store=struck),
            pickup_links=replace(bot.pickup_links, store=struck),
            published_keys=published,  # type: ignore[arg-type]  # all that the bot asks of one
            invoke_again=talk.invoke_again,
        ),
    )
    return talk


WAYS = {"here": ("", False), "behind a link": ("", True), "to published keys": (" for place:alice", False)}
# Where these fail, the one who asked is told so, and asks again.
BEFORE = {"add heard", "invoke", "get keys", "add keys", "fetch"}
# Where nobody can tell whether a reply was taken, it is said once more: twice is better than never.
DOUBTFUL = {"say": {How.CUT, How.KILL_AFTER}, "replace given": {How.KILL_BEFORE}}


@pytest.mark.parametrize("how", How)
@pytest.mark.parametrize("way", WAYS)
def test_whatever_fails_one_key_pair_is_made_and_given(
    way: str, how: How, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    more, narrow = WAYS[way]
    nth, names = 0, [""]
    while nth <= len(names):
        steps = Steps(nth, how)
        talk = conversation(emulator, tmp_path, steps, narrow=narrow)
        before, name = talk.function.create_calls(), fresh_name()
        talk.send(f"/keypair {name}{more}")
        told = f"step {nth}, {names[nth - 1]}, {how.value}"
        made, given = talk.function.create_calls() - before, talk.given()
        if made == 0 and names[nth - 1] in BEFORE:
            assert [reply.has_key_pair for _, reply in talk.platform.said] == [False], told
            assert emulator.key_pairs() == [], told
            nth += 1
            continue
        assert made == 1, told
        assert [pair["KeyName"] for pair in emulator.key_pairs()] == [name], told
        doubtful = nth > 0 and how in DOUBTFUL.get(names[nth - 1], ())
        assert len(given) == (2 if doubtful else 1), told
        assert envelope_in(given[-1], talk), told
        talk.function.delete_key_pairs()
        if nth == 0:
            names = steps.names
        nth += 1
    assert names.count("say") == 1
    assert ("fetch" in names, "add pickup" in names) == (bool(more), narrow)


def envelope_in(reply: Reply, talk: Conversation) -> bool:
    """Open the envelope, and tell whether there is a private key in it."""
    talk.steps.dead, talk.steps.nth = False, 0
    blocks = [part.text for part in reply.parts if isinstance(part, Block)]
    if blocks[1].startswith("curl"):
        ciphertext = talk.function.services.bot.pickup_links.take(blocks[1].rpartition("/")[2]).ciphertext
    else:
        ciphertext = blocks[1]
    return b"PRIVATE KEY" in pyrage.decrypt(ciphertext.encode(), [REGISTERED, *talk.published.identities])


@pytest.mark.parametrize("how", How)
@pytest.mark.parametrize("way", WAYS)
def test_whatever_fails_after_a_reply_was_not_taken(
    way: str, how: How, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """The key pair is there: it is given, or where that cannot be, it is said that it is there."""
    more, narrow = WAYS[way]
    clean = Steps(0, How.ERROR)
    conversation(emulator, tmp_path, clean, narrow=narrow).send(f"/keypair {fresh_name()}{more}")
    say = clean.names.index("say") + 1
    after = Steps(0, How.ERROR, {say: How.ERROR})
    talk = conversation(emulator, tmp_path, after, narrow=narrow)
    talk.send(f"/keypair {fresh_name()}{more}")
    assert after.names.count("say") == 2
    talk.function.delete_key_pairs()
    for nth in range(say + 1, len(after.names) + 1):
        steps = Steps(nth, how, {say: How.ERROR})
        talk = conversation(emulator, tmp_path, steps, narrow=narrow)
        before, name = talk.function.create_calls(), fresh_name()
        talk.send(f"/keypair {name}{more}")
        told = f"step {nth}, {after.names[nth - 1]}, {how.value}"
        assert talk.function.create_calls() == before + 1, told
        if after.names[nth - 1] == "invoke" and how is How.ERROR:
            ((_, reply),) = talk.platform.said
            assert str(reply.parts[0]).startswith("The key pair was created, but I could not deliver it"), (
                told
            )
        else:
            assert all(reply.has_key_pair for _, reply in talk.platform.said), told
            assert envelope_in(talk.given()[-1], talk), told
        talk.function.delete_key_pairs()


@pytest.mark.parametrize("limit", [30_000, 8_000, 3_000])
def test_one_message_does_not_become_ever_more_invocations(
    limit: int, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """Though the platform takes nothing, all answers of Invoke are lost, and each event runs twice."""
    talk = conversation(emulator, tmp_path, Steps(0, How.ERROR), narrow=False)
    talk.platform.deaf = 10_000
    rounds: Counter[int] = Counter()
    waiting: deque[str] = deque()

    def invoke_again(event: str, invocation: Invocation) -> None:
        assert invocation.deadline.remaining() > 0
        rounds[json.loads(event)["round"]] += 1
        waiting.append(event)
        raise OutcomeUnknown

    application = talk.function.services
    talk.function.services = with_parts(application, bot=replace(application.bot, invoke_again=invoke_again))
    talk.run({**CONTEXT, "time_limit_in_ms": limit}, *[message(f"/keypair {fresh_name()}")] * 3)
    while waiting:
        event = json.loads(waiting.popleft())
        talk.run({**CONTEXT, "time_limit_in_ms": limit}, event, event)
    assert set(rounds.values()) == {1}
    assert len(rounds) <= MAX_ROUNDS + 1


def test_two_invocations_that_fetch_keys_at_once(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """The keys of the faster one count for both: there is one order."""
    talk = conversation(emulator, tmp_path, Steps(0, How.ERROR), narrow=False)
    before = talk.function.create_calls()

    def faster() -> None:
        talk.published.meanwhile = bool
        talk.run(CONTEXT, json.loads(event))

    talk.published.meanwhile = faster
    talk.run(CONTEXT, message(f"/keypair {fresh_name()} for place:alice"))
    ((event, _),) = talk.events
    assert talk.run(CONTEXT, json.loads(event)) == 200
    assert len(talk.published.identities) == 2
    assert talk.function.create_calls() == before + 1
    (given,) = talk.given()
    assert envelope_in(given, talk)


def test_copies_of_a_message_that_come_at_once_make_one_invocation(
    emulator: EmulatorProcess, tmp_path: Path
) -> None:
    talk = conversation(emulator, tmp_path, Steps(0, How.ERROR), narrow=False)
    sent, invoked = message(f"/keypair {fresh_name()}"), []

    def invoke_again(event: str, invocation: Invocation) -> None:
        del invocation
        invoked.append(event)
        # While this one waits for the answer of Invoke.
        talk.run(CONTEXT, *[sent] * 20)

    application = talk.function.services
    talk.function.services = with_parts(application, bot=replace(application.bot, invoke_again=invoke_again))
    talk.run(CONTEXT, *[sent] * 5)
    assert len(invoked) == 1


@pytest.mark.parametrize("how", How)
def test_whatever_fails_a_refusal_is_told(how: How, emulator: EmulatorProcess, tmp_path: Path) -> None:
    nth, names = 0, [""]
    while nth <= len(names):
        steps = Steps(nth, how)
        talk = conversation(emulator, tmp_path, steps, narrow=False)
        before = talk.function.create_calls()
        talk.send(f"/keypair {fresh_name()} in eu-frankfurt")
        told = f"step {nth}, {names[nth - 1]}, {how.value}"
        assert talk.function.create_calls() == before, told
        assert talk.given() == [], told
        said = [str(reply.parts[0]) for _, reply in talk.platform.said]
        refused = ["The policy does not allow this."]
        if names[nth - 1] in BEFORE:
            refused += ["That did not work. Wait a minute,", "I cannot tell whether"]
        assert all(text.startswith(tuple(refused)) for text in said), told
        doubtful = nth > 0 and how in DOUBTFUL.get(names[nth - 1].replace("told", "given"), ())
        assert len(said) == (2 if doubtful else 1), told
        if nth == 0:
            names = steps.names
        nth += 1
    assert names.count("say") == 1
