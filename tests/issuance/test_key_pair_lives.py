"""Sequences of all verbs against a model, and deletes in the midst of issues and sweeps.

The suite runs a few. KEYPAIR_SEQUENCES=5000 and KEYPAIR_INTERLEAVINGS=1000 run more.
"""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.test_key_pairs import FULL, GRANT, public_key
from tests.support.function_under_test import NOON, RECIPIENT, REST, Answer, FunctionUnderTest, TestClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from handler.cloud.cvm import Cvm
    from handler.scf.invocation import Credentials, Deadline
    from handler.store.base import Store
    from tests.support.emulator_process import EmulatorProcess

pytestmark = pytest.mark.slow

SEQUENCES = int(os.environ.get("KEYPAIR_SEQUENCES", "30"))
INTERLEAVINGS = int(os.environ.get("KEYPAIR_INTERLEAVINGS", "40"))

POLICY: dict[str, Any] = {
    "callers": {
        "demo": {"tc3": True, "grants": [FULL]},
        "second": {"tc3": True, "grants": [FULL]},
        "oncall": {"tc3": True, "grants": [{**GRANT, "actions": ["list", "delete"], "callers": ["*"]}]},
    }
}
OWNERS = ("demo", "second")
NAMES = ("n_1", "n_2")
KEYS = tuple(public_key(rsa.generate_private_key(65537, 2048).public_key()) for _ in range(2))
NEVER = "skey-00000000"
TIMER = {"Type": "Timer"}


@pytest.fixture
def emulator(emulator: EmulatorProcess) -> Iterator[EmulatorProcess]:
    emulator.control("POST", "/clock", {"at": NOON})
    yield emulator
    emulator.control("POST", "/clock", {})
    emulator.control("DELETE", "/faults")


_numbers = count()


def two_instances(emulator: EmulatorProcess, folder: Path) -> list[FunctionUnderTest]:
    """Return two instances of one function with an empty store and an empty account."""
    place = folder / f"run-{next(_numbers)}"
    shutil.rmtree(folder / f"run-{int(place.name[4:]) - 1}", ignore_errors=True)
    place.mkdir()
    clock = TestClock()
    store = {"KEYPAIR_STORE": f"sqlite:{place}/store"}
    first, second = (
        FunctionUnderTest(emulator, place / "policy.json", POLICY, store, clock) for _ in range(2)
    )
    emulator.control("DELETE", "/faults")
    for pair in emulator.key_pairs():
        emulator.control("DELETE", f"/key-pairs/{pair['KeyId']}/bind")
    first.delete_key_pairs()
    return [first, second]


# ---------------------------------------------------------------- sequences


@dataclass
class Entry:
    """A key pair in the model."""

    key_id: str
    owner: str
    order: tuple[str, ...]
    """`create`, or `import` and the public key."""
    expires_at: float | None
    bound: bool = False


@dataclass
class Account:
    """The model: what the account holds, by name, and what each caller has tried to delete."""

    entries: dict[str, Entry] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    attempts: set[tuple[str, str]] = field(default_factory=set)

    def visible(self, who: str) -> list[str]:
        return sorted(name for name, entry in self.entries.items() if who in (entry.owner, "oncall"))

    def named(self, key_id: str) -> str | None:
        return next((name for name, entry in self.entries.items() if entry.key_id == key_id), None)


@dataclass(frozen=True)
class Step:
    kind: str
    who: str
    name: str
    key: int
    instance: int
    fault: tuple[str, str, str] | None


ACTIONS = ("CreateKeyPair", "ImportKeyPair", "DescribeKeyPairs", "DeleteKeyPairs", "ModifyKeyPairAttribute")
FAULTS = st.tuples(
    st.sampled_from(ACTIONS),
    st.sampled_from(("cut", "error", "throttle")),
    st.sampled_from(("before", "effect")),
)
STEPS = st.builds(
    Step,
    kind=st.sampled_from(
        ("delete", "create", "import", "create", "delete", "show", "bind", "unbind", "sweep", "later", "list")
    ),
    who=st.sampled_from((*OWNERS, "oncall")),
    name=st.sampled_from((*NAMES, "gone")),
    key=st.integers(0, len(KEYS) - 1),
    instance=st.integers(0, 1),
    fault=st.none() | FAULTS,
)


@dataclass
class World:
    emulator: EmulatorProcess
    instances: Sequence[FunctionUnderTest]
    model: Account = field(default_factory=Account)

    @property
    def clock(self) -> TestClock:
        return self.instances[0].clock

    def call(self, step: Step, make: Callable[[FunctionUnderTest], dict[str, Any]]) -> Answer:
        """Send a request, with a fault of the cloud; repeat it at the other instance while it is unclear."""
        if step.fault is not None:
            action, kind, after = step.fault
            fault: dict[str, object] = {"action": action, "kind": kind}
            fault |= {} if kind == "throttle" else {"after": after}
            fault |= {"code": "InternalServerError"} if kind == "error" else {}
            self.emulator.add_faults(fault)
        answer = self._sent(step.instance, make)
        self.emulator.control("DELETE", "/faults")
        if answer.status in (502, 503):
            # Nothing is left and nothing is gone.
            self.compare()
            answer = self._sent(step.instance, make)
        for number in range(3):
            if answer.status != 504:
                break
            answer = self._sent(1 - step.instance + number, make)
        return answer

    def _sent(self, instance: int, make: Callable[[FunctionUnderTest], dict[str, Any]]) -> Answer:
        self.clock.time += 1
        function = self.instances[instance % 2]
        return function.call(make(function))

    def compare(self) -> None:
        """The account holds what the model says."""
        held = {pair["KeyName"]: pair["KeyId"] for pair in self.emulator.key_pairs()}
        assert held == {name: entry.key_id for name, entry in self.model.entries.items()}

    def do(self, step: Step) -> None:
        getattr(self, f"_{step.kind}")(step)
        self.compare()

    def _create(self, step: Step) -> None:
        self._order(step, ("create",), {"recipients": [str(RECIPIENT.to_public())]})

    def _import(self, step: Step) -> None:
        key = KEYS[step.key]
        self._order(step, ("import", key), {"publicKey": key, "expiresIn": "3h"})

    def _order(self, step: Step, order: tuple[str, ...], body: dict[str, object]) -> None:
        entries = self.model.entries
        body = {**body, "keyName": step.name}
        answer = self.call(step, lambda function: function.signed(REST, body, step.who))
        entry = entries.get(step.name)
        told = (answer.status, answer.code)
        if step.who == "oncall":
            assert told == (403, "not-granted")
        elif entry is not None and (entry.owner, entry.order) == (step.who, order):
            assert (answer.status, answer.json["keyId"]) == (201, entry.key_id)
        elif entry is not None:
            assert told in ((409, "name-taken"), (409, "public-key-taken"))
        elif order[0] == "import" and any(one.order == order for one in entries.values()):
            assert told == (409, "public-key-taken")
        else:
            assert answer.status == 201, answer.body
            expires = self.clock.time + 3 * 3600 + 60 if order[0] == "import" else None
            key_id = answer.json["keyId"]
            assert key_id not in self.model.gone
            entries[step.name] = Entry(key_id, step.who, order, expires)

    def _list(self, step: Step) -> None:
        answer = self.call(step, lambda function: function.asking("GET", caller=step.who))
        assert [pair["keyName"] for pair in answer.json["keyPairs"]] == self.model.visible(step.who)

    def _id(self, step: Step) -> str:
        if step.name in self.model.entries:
            return self.model.entries[step.name].key_id
        return self.model.gone[-1] if self.model.gone else NEVER

    def _show(self, step: Step) -> None:
        key_id = self._id(step)
        answer = self.call(step, lambda function: function.asking("GET", f"{REST}/{key_id}", caller=step.who))
        seen = self.model.named(key_id) in self.model.visible(step.who)
        assert answer.status == (200 if seen else 404)

    def _delete(self, step: Step) -> None:
        key_id = self._id(step)
        name = self.model.named(key_id)
        answer = self.call(
            step, lambda function: function.asking("DELETE", f"{REST}/{key_id}", caller=step.who)
        )
        if name is None or name not in self.model.visible(step.who):
            assert answer.status == (204 if (step.who, key_id) in self.model.attempts else 404)
        elif self.model.entries[name].bound:
            assert (answer.status, answer.code) == (409, "key-pair-in-use")
        else:
            assert answer.status == 204, answer.body
            self.model.attempts.add((step.who, key_id))
            del self.model.entries[name]
            self.model.gone.append(key_id)

    def _bind(self, step: Step) -> None:
        self._bound(step, "POST", bound=True)

    def _unbind(self, step: Step) -> None:
        self._bound(step, "DELETE", bound=False)

    def _bound(self, step: Step, method: str, *, bound: bool) -> None:
        entry = self.model.entries.get(step.name)
        if entry is not None:
            self.emulator.control(method, f"/key-pairs/{entry.key_id}/bind")
            entry.bound = bound

    def _sweep(self, step: Step) -> None:
        self.call(replace(step, fault=None), lambda _: TIMER)
        for name, entry in list(self.model.entries.items()):
            if entry.expires_at is not None and entry.expires_at <= self.clock.time and not entry.bound:
                del self.model.entries[name]
                self.model.gone.append(entry.key_id)

    def look_around(self) -> None:
        """Each caller sees its own key pairs; what others have, it can neither see nor delete."""
        for who in (*OWNERS, "oncall"):
            step = Step("", who, "", 0, 0, None)
            self._list(step)
            for name, entry in self.model.entries.items():
                if name not in self.model.visible(who):
                    self._show(replace(step, name=name))
                    self._delete(replace(step, name=name))
                    assert self.model.entries[name] is entry
        self.compare()

    def _later(self, step: Step) -> None:
        del step
        self.clock.time += 2 * 3600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_sequences_agree_with_the_model(emulator: EmulatorProcess, folder: Path) -> None:
    """No key is lost, none is left over, and nobody sees or changes what is another caller's."""

    @settings(
        max_examples=SEQUENCES,
        deadline=None,
        database=None,
        derandomize=SEQUENCES < 1000,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(STEPS, min_size=8, max_size=12))
    def run(steps: list[Step]) -> None:
        world = World(emulator, two_instances(emulator, folder))
        for step in steps:
            world.do(step)
        world.look_around()

    run()


# ---------------------------------------------------------------- interleavings


@dataclass
class Interruptions:
    """Counts the cloud calls and store operations of requests, and runs something before some of them."""

    at: dict[int, Callable[[], None]]
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        meanwhile = self.at.pop(self.steps, None)
        if meanwhile is not None:
            meanwhile()


@dataclass(frozen=True)
class SteppedStore:
    store: Store
    interruptions: Interruptions

    @property
    def shared(self) -> bool:
        return self.store.shared

    def get(self, key: str) -> str | None:
        self.interruptions.step()
        return self.store.get(key)

    def add(self, key: str, value: str, ttl: float) -> bool:
        self.interruptions.step()
        return self.store.add(key, value, ttl)

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        self.interruptions.step()
        return self.store.replace(key, expected, value, ttl)


@dataclass(frozen=True)
class SteppedApi:
    api: Any
    interruptions: Interruptions

    def call(self, action: str, parameters: object, seconds: float) -> object:
        self.interruptions.step()
        return self.api.call(action, parameters, seconds)


def stepped(function: FunctionUnderTest, interruptions: Interruptions) -> FunctionUnderTest:
    """Let every step of this instance count."""
    services = function.services

    def connect(credentials: Credentials, region: str, deadline: Deadline) -> Cvm:
        cvm = services.connect(credentials, region, deadline)
        cvm._api = SteppedApi(cvm._api, interruptions)  # type: ignore[assignment]  # noqa: SLF001  # the only seam below the SDK
        return cvm

    function.services = replace(services, store=SteppedStore(services.store, interruptions), connect=connect)
    return function


def interleaved(emulator: EmulatorProcess, folder: Path, seed: int) -> None:
    """Interrupt an issue, a delete or a sweep by the others, at random steps, and check what is left."""
    chance = random.Random(seed)  # noqa: S311  # to repeat a failure
    interruptions = Interruptions({})
    functions = [stepped(one, interruptions) for one in two_instances(emulator, folder)]
    clock = functions[0].clock
    body = {"keyName": "raced", "recipients": [str(RECIPIENT.to_public())]}
    issued: list[Answer] = []
    deleted: set[str] = set()
    too_late: list[str] = []

    def issue(function: FunctionUnderTest) -> None:
        clock.time += 1
        issued.append(function.call(function.signed(REST, body)))
        if issued[-1].status == 201 and issued[-1].json["keyId"] in deleted:
            too_late.append(issued[-1].json["keyId"])

    def delete(function: FunctionUnderTest) -> None:
        clock.time += 1
        pairs = emulator.key_pairs()
        key_id = pairs[0]["KeyId"] if pairs else NEVER
        answer = function.call(function.asking("DELETE", f"{REST}/{key_id}"))
        assert answer.status in (204, 401, 404, 409, 503, 504), answer.body
        if answer.status == 204:
            deleted.add(key_id)

    def sweep(function: FunctionUnderTest) -> None:
        function.call(TIMER)

    requests = (issue, delete, sweep)
    if chance.random() < 0.5:
        issue(functions[1])
    for _ in range(chance.randint(1, 3)):
        request, function = chance.choice(requests), chance.choice(functions)
        pause = chance.choice((0, 0, 0, 20, 1000))

        def meanwhile(
            request: Callable[[FunctionUnderTest], None] = request,
            function: FunctionUnderTest = function,
            pause: float = pause,
        ) -> None:
            clock.pause(pause)
            request(function)

        interruptions.at[interruptions.steps + chance.randint(1, 20)] = meanwhile
    chance.choice((issue, *requests))(functions[0])

    # 401: the signature expired in a pause.
    assert {answer.status for answer in issued} <= {201, 401, 409, 410, 503, 504}
    held = {pair["KeyId"] for pair in emulator.key_pairs()}
    # What was deleted is gone, and what was handed out is there unless it was deleted.
    assert not held & deleted
    assert not too_late
    released = {answer.json["keyId"] for answer in issued if answer.status == 201}
    assert released <= held | deleted
    # Repeated, the order gets the key pair that there is, and nothing else is left.
    interruptions.at.clear()
    clock.time += 1000
    sweep(functions[0])
    final: list[Answer] = []
    while not final or final[-1].status != 201:
        assert len(final) < 4, [one.body for one in final]
        clock.time += 61
        final.append(functions[1].call(functions[1].signed(REST, body)))
    assert [pair["KeyId"] for pair in emulator.key_pairs()] == [final[-1].json["keyId"]]
    assert final[-1].json["keyId"] not in deleted


def test_deletes_racing_with_issues_and_sweeps(emulator: EmulatorProcess, folder: Path) -> None:
    for seed in range(INTERLEAVINGS):
        try:
            interleaved(emulator, folder, seed)
        except Exception as failure:
            raise AssertionError(f"seed {seed}") from failure
