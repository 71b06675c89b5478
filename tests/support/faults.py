"""Runs one request with faults and collects what is left of it.

Faults on the side of the function (store, audit log, sealing, response) are parts that are passed to
`handler.composition.compose`. Faults on the side of the cloud go through the control port of the emulator.
A killed process is a fork of this one.
"""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import signal
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from pydantic import SecretBytes

from handler.api.rest import RestEndpoint
from handler.cloud.cvm import CreatedKeyPair, Cvm, KeyPairSummary
from handler.cloud.sdk import Api, Failure
from handler.composition import ChatNetwork, Services, compose
from handler.errors import StoreUnavailable
from handler.http.endpoint import Route
from handler.policy.model import Policy
from handler.scf.invocation import Credentials, Deadline, Invocation
from handler.settings import Settings
from handler.startup import records
from handler.store.memory import MemoryStore
from handler.store.redis import RedisStore
from handler.store.sqlite import SqliteStore
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.function_under_test import POLICY, REGION, REST, Answer, FunctionUnderTest
from tests.support.store_servers import HAS_VALKEY, StoreServer, running_redis62, running_valkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from handler.application import Application
    from handler.http.messages import Response
    from handler.issuance.issuer import IssuedKeyPair
    from handler.store.base import Store

STORES = ("memory", "sqlite", "valkey")

IMPATIENCE = 0.25
"""Seconds after which a call with the fault IMPATIENT times out."""
LATER = 1000.0
"""Seconds, longer than any lease and than ORPHAN_AGE."""

_T = TypeVar("_T")


class How(str, Enum):
    """How a step fails."""

    ERROR = "exception"
    """It reports the failure and has no effect."""
    CUT = "cut"
    """It takes effect, but the response is lost."""
    TIME_OUT = "time-out"
    """No response. It takes effect before the next step of its kind."""
    LATE_TIME_OUT = "late-time-out"
    """No response. It takes effect after the request has ended."""
    DEFECT = "defect"
    """It raises an unexpected Exception."""
    INTERRUPT = "interrupt"
    """It raises a BaseException that is not an Exception."""
    KILL_BEFORE = "kill-before"
    KILL_AFTER = "kill-after"
    IMPATIENT = "impatient"
    """A call to the cloud gives up after IMPATIENCE."""
    BIND = "bind"
    """An instance starts to use the key pair in the meantime."""


KILLS = (How.KILL_BEFORE, How.KILL_AFTER)


@dataclass(frozen=True)
class Strike:
    """The fault of the `nth` step of a kind (from 1), and of all later ones if `onwards` is set."""

    step: str
    nth: int
    how: How
    onwards: bool = False


@dataclass(frozen=True)
class Try:
    """One attempt to send the request."""

    strikes: tuple[Strike, ...] = ()
    cloud: tuple[dict[str, object], ...] = ()
    """Faults for the emulator."""
    lost: bool = False
    """Whether the response is lost on its way to the caller."""
    killed_when: str | None = None
    """Kill the process from outside when CreateKeyPair was called (`asked`) or took effect (`made`)."""

    @property
    def deadly(self) -> bool:
        return self.killed_when is not None or any(strike.how in KILLS for strike in self.strikes)


_LAGGING = ("describe", "filter", "tags", "description", "modify", "delete", "deleted")
CONDUCTS: dict[str, dict[str, object]] = {
    **{f"{what} lags": {"lag": {what: 2}} for what in _LAGGING},
    **{f"{what} lags for ever": {"lag": {what: 999}} for what in _LAGGING},
    **{
        f"{name} left out": {"leftOut": [name]}
        for name in ("Description", "Tags", "AssociatedInstanceIds", "CreatedTime")
    },
    **{f"{name} dropped": {"dropped": [name]} for name in ("Description", "Tags")},
    **{
        f"{action} denied": {"denied": [action]}
        for action in ("ModifyKeyPairAttribute", "DeleteKeyPairs", "DescribeKeyPairs")
    },
    "regions apart": {"separateRegions": True},
}
"""How the cloud may behave, for `scripts/cvm_emulator/conduct.py`."""


@dataclass(frozen=True)
class Case:
    """The faulty tries of a request, which is then sent once more without faults."""

    step: str
    fault: str
    tries: tuple[Try, ...]
    later: bool = False
    """Whether the last try comes after all leases have ended, instead of at once."""
    late_effect: bool = False
    """Whether the cloud is still executing a call that timed out."""
    taken: bool = False
    """Whether somebody else has a key pair of this name."""
    conduct: str = ""
    """A name in CONDUCTS: how badly the cloud behaves until the last try."""
    keyed: bool = True
    """Whether the requests have an idempotency key; if not, each try is signed anew."""
    fresh: bool = False
    """Whether each try meets another instance, which matters to a store in memory."""

    @property
    def name(self) -> str:
        variant = "" if self.keyed else ", without a key"
        variant += ", elsewhere" if self.fresh else ""
        variant += f", {self.conduct}" if self.conduct else ""
        return f"{self.step}, {self.fault}, {'later' if self.later else 'at once'}{variant}"

    @property
    def deadly(self) -> bool:
        return any(tried.deadly for tried in self.tries)

    @property
    def bound(self) -> bool:
        return any(strike.how is How.BIND for tried in self.tries for strike in tried.strikes)


class Script:
    """Counts the steps of one request and decides which of them fail."""

    def __init__(self, strikes: tuple[Strike, ...]) -> None:
        self._strikes = strikes
        self._counts: Counter[str] = Counter()

    def reach(self, step: str) -> How | None:
        self._counts[step] += 1
        for strike in self._strikes:
            late = strike.onwards and self._counts[step] > strike.nth
            if strike.step == step and (self._counts[step] == strike.nth or late):
                return strike.how
        return None


def kill_if(kill: bool) -> None:  # noqa: FBT001  # one word says it
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)


def raise_unexpected(how: How | None) -> None:
    if how is How.DEFECT:
        raise RuntimeError("a defect on demand")
    if how is How.INTERRUPT:
        raise KeyboardInterrupt


@dataclass
class ScriptedStore:
    """A store that fails as the script says and remembers everything it was given."""

    inner: Store
    script: Script
    given: list[str]
    _pending: list[Callable[[], object]] = field(default_factory=list)
    _late: list[Callable[[], object]] = field(default_factory=list)

    @property
    def shared(self) -> bool:
        return self.inner.shared

    def get(self, key: str) -> str | None:
        return self._do("get", lambda: self.inner.get(key))

    def add(self, key: str, value: str, ttl: float) -> bool:
        self.given += [key, value]
        return self._do("add", lambda: self.inner.add(key, value, ttl))

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        self.given += [key, value]
        return self._do("replace", lambda: self.inner.replace(key, expected, value, ttl))

    def end(self) -> None:
        """Execute the operations that timed out."""
        for effect in (*self._pending, *self._late):
            effect()

    def _do(self, operation: str, effect: Callable[[], _T]) -> _T:
        how = self.script.reach(operation)
        for pending in self._pending:
            pending()
        self._pending.clear()
        kill_if(how is How.KILL_BEFORE)
        raise_unexpected(how)
        if how is How.ERROR:
            raise StoreUnavailable
        if how in (How.TIME_OUT, How.LATE_TIME_OUT):
            (self._pending if how is How.TIME_OUT else self._late).append(effect)
            raise StoreUnavailable
        done = effect()
        kill_if(how is How.KILL_AFTER)
        if how is How.CUT:
            raise StoreUnavailable
        return done


class ScriptedStream(io.StringIO):
    """An audit log that fails as the script says. It is a file, so that it survives the process."""

    def __init__(self, path: Path, script: Script) -> None:
        super().__init__()
        self._path = path
        self._script = script
        self._how: How | None = None

    def write(self, text: str, /) -> int:
        self._how = self._script.reach("audit")
        kill_if(self._how is How.KILL_BEFORE)
        raise_unexpected(self._how)
        if self._how is How.ERROR:
            raise OSError(errno.ENOSPC, "no space on demand")
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text[: len(text) // 2] + "\n" if self._how is How.TIME_OUT else text)
        if self._how is How.TIME_OUT:
            raise TimeoutError
        return len(text)

    def flush(self) -> None:
        kill_if(self._how is How.KILL_AFTER)
        if self._how is How.CUT:
            raise BrokenPipeError


class ScriptedSecret(SecretBytes):
    """The private key in a response. Reading it (to check, convert or seal) fails as the script says."""

    script = Script(())

    def get_secret_value(self) -> bytes:
        how = self.script.reach("look")
        kill_if(how is How.KILL_BEFORE)
        raise_unexpected(how)
        if how is How.ERROR:
            raise MemoryError
        if how is How.TIME_OUT:
            raise TimeoutError
        if how is How.CUT:
            raise ConnectionResetError
        return super().get_secret_value()


@records.dataclass(frozen=True)
class ScriptedRest(RestEndpoint):
    """The REST endpoint, whose rendering fails as the script says."""

    script: Script

    def render(self, issued: IssuedKeyPair) -> Response:
        how = self.script.reach("answer")
        kill_if(how is How.KILL_BEFORE)
        raise_unexpected(how)
        if how is How.ERROR:
            raise MemoryError
        if how is How.TIME_OUT:
            raise TimeoutError
        response = super().render(issued)
        kill_if(how is How.KILL_AFTER)
        return response


class ImpatientApi(Api):
    """An API client that waits for a response for IMPATIENCE at most."""

    def call(self, action: str, parameters: Mapping[str, object], seconds: float) -> dict[str, Any] | Failure:
        del seconds
        return super().call(action, parameters, IMPATIENCE)


class ScriptedCvm(Cvm):
    """The real CVM client, interrupted before and after its calls as the script says."""

    script = Script(())
    emulator: EmulatorProcess

    def create_key_pair(self, name: str, project_id: int, tags: Any) -> CreatedKeyPair:  # noqa: ANN401  # as it is
        with self._step("create"):
            created = super().create_key_pair(name, project_id, tags)
        secret = ScriptedSecret(created.private_key.get_secret_value())
        secret.script = self.script
        return replace(created, private_key=secret)

    def find_key_pairs(self, name: str) -> list[KeyPairSummary]:
        with self._step("describe"):
            return super().find_key_pairs(name)

    def delete_key_pair(self, key_id: str) -> bool:
        with self._step("delete"):
            return super().delete_key_pair(key_id)

    def set_description(self, key_id: str, description: str) -> None:
        with self._step("modify"):
            super().set_description(key_id, description)

    @contextmanager
    def _step(self, step: str) -> Iterator[None]:
        how = self.script.reach(step)
        patient = self._api
        if how is How.IMPATIENT:
            self._api = ImpatientApi(**vars(patient))
        kill_if(how is How.KILL_BEFORE)
        try:
            yield
        finally:
            self._api = patient
            if how is How.BIND:
                pair = self.emulator.key_pairs()[-1]
                self.emulator.control("POST", f"/key-pairs/{pair['KeyId']}/bind")
        kill_if(how is How.KILL_AFTER)
        raise_unexpected(how)


@dataclass
class Outcome:
    """The outcome of a case."""

    case: Case
    store: str
    name: str
    answers: list[Answer | None]
    """Responses to the faulty tries; None if the process died or raised an exception."""
    left_after_first: int
    """How many key pairs with this name existed after the first try."""
    retry: Answer
    key_pairs: list[dict[str, Any]]
    """The key pairs with this name that are left."""
    foreign_before: list[dict[str, Any]]
    foreign_after: list[dict[str, Any]]
    audit: str
    private_keys: list[str]
    """All private keys that the cloud returned."""
    traces: dict[str, bytes]
    """Everything that was written or returned."""
    settled: Answer | None = None
    """The response to one more try after the sweep, if no key pair is left."""

    @property
    def given(self) -> list[Answer]:
        """The responses that contain a key, whether or not they reached the caller."""
        return [
            answer for answer in (*self.answers, self.retry) if answer is not None and answer.status < 300
        ]

    @property
    def instance_lost(self) -> bool:
        """Whether the store died together with the process."""
        return self.store == "memory" and (self.case.deadly or self.case.fresh)


class World:
    """A cloud that contains foreign key pairs, and one kind of store."""

    def __init__(self, kind: str, stack: ExitStack, connect: type[ScriptedCvm] = ScriptedCvm) -> None:
        self.kind = kind
        self.connect = connect
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        self.emulator = stack.enter_context(running_emulator())
        self.server: StoreServer | None = None
        if kind == "valkey":
            # Redis replaces Valkey where Valkey has no wheel.
            self.server = stack.enter_context(running_valkey() if HAS_VALKEY else running_redis62())
        self.function = FunctionUnderTest(self.emulator, self.folder / "policy.json")
        self.settings = Settings.from_environ(self.function.environ)
        self.policy = Policy.parse(POLICY)
        self._number = 0
        # Foreign key pairs whose names share the prefix of all names here. They must never be touched.
        for name, tags in (
            ("key", {}),
            ("key_", {"keypair-function:caller": "demo"}),
            ("key_1", {"keypair-function:order": "of another program", "keypair-function:caller": "demo"}),
        ):
            self.client().create_key_pair(name, 0, tags)
        self._handed_out = len(self.emulator.private_keys())

    def client(self) -> Cvm:
        """Return a CVM client of the owner of the account."""
        clock = self.function.clock.clock()
        credentials = Credentials(self.emulator.secret_id, self.emulator.secret_key)
        deadline = Deadline(clock, clock.monotonic() + 60)
        return Cvm(credentials, REGION, deadline, jitter=lambda: 0.5, endpoint=self.emulator.cvm_endpoint)

    def run(self, case: Case) -> Outcome:
        self._number += 1
        name = f"key_1_{self._number:04}"
        folder = self.folder / name
        folder.mkdir()
        if self.server is not None:
            with self.server.admin() as admin:
                admin.flushdb()
        outcome = _Run(self, case, name, folder).outcome()
        private_keys = self.emulator.private_keys()
        outcome.private_keys = private_keys[self._handed_out :]
        self._handed_out = len(private_keys)
        return outcome


class _Run:
    """One case from beginning to end."""

    def __init__(self, world: World, case: Case, name: str, folder: Path) -> None:
        self._world = world
        self._emulator = world.emulator
        self._case = case
        self._name = name
        self._audit = folder / "audit"
        self._audit.touch()
        self._log = folder / "log"
        self._output = folder / "output"
        self._database = folder / "claims.sqlite"
        self._body = world.function.rest_body(keyName=name)
        self._given: list[str] = []
        self._answered: list[str] = []
        self._dumps: list[bytes] = []
        self._memory = self._fresh_store()
        self._pass(0)

    def outcome(self) -> Outcome:
        if self._case.taken:
            self._world.client().create_key_pair(self._name, 0, {"team": "core"})
        _, foreign = self._key_pairs()
        self._began = time.monotonic()
        self._emulator.behave(**CONDUCTS.get(self._case.conduct, {}))
        with self._recorded():
            answers = []
            for tried in self._case.tries:
                answers.append(self._sent(tried))
                if len(answers) == 1:
                    left_after_first = len(self._key_pairs()[0])
            self._emulator.behave()
            if self._case.later:
                self._await_late_effect()
                self._pass(LATER)
            retry = self._sent(Try())
            assert retry is not None
            self._await_late_effect()
            self._pass(LATER)
            self._instance(Script(()))[0].sweeper.sweep(self._invocation())
            left, foreign_after = self._key_pairs()
            settled = None if left else self._sent(Try())
        self._delete(left or self._key_pairs()[0])
        traces = {
            "log": self._log.read_bytes(),
            "stdout and stderr": self._output.read_bytes(),
            "audit": self._audit.read_bytes(),
            "answers": "\n".join(self._answered).encode(),
            "given to the store": "\n".join(self._given).encode(),
            "store": b"\n".join(self._dumps),
        }
        return Outcome(
            self._case,
            self._world.kind,
            self._name,
            answers,
            left_after_first,
            retry,
            left,
            foreign,
            foreign_after,
            self._audit.read_text(encoding="utf-8"),
            [],
            traces,
            settled,
        )

    def _key_pairs(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the key pairs with this name, and those that must never be touched."""
        all_pairs = self._emulator.key_pairs()
        own = [pair for pair in all_pairs if pair["KeyName"] == self._name]
        return own, [pair for pair in all_pairs if self._case.taken or pair not in own]

    def _pass(self, seconds: float) -> None:
        """Let time pass for the function and the cloud."""
        clock = self._world.function.clock
        clock.time += seconds
        self._emulator.control("POST", "/clock", {"offset": clock.time - time.time()})

    def _await_late_effect(self) -> None:
        if self._case.late_effect:
            # The only sign of a call that timed out is its effect, if it has one.
            time.sleep(max(0, self._began + LATE_EFFECT - time.monotonic()))

    def _delete(self, key_pairs: list[dict[str, Any]]) -> None:
        for pair in key_pairs:
            if not pair["AssociatedInstanceIds"]:
                self._world.client().delete_key_pair(pair["KeyId"])

    def _fresh_store(self) -> Store:
        if self._world.kind == "memory":
            return MemoryStore(self._world.function.clock.clock())
        if self._world.server is not None:
            return RedisStore(self._world.server.url)
        return SqliteStore(self._database, self._world.function.clock.clock())

    def _instance(self, script: Script) -> tuple[Services, Application]:
        world = self._world

        def connect(credentials: Credentials, region: str, deadline: Deadline) -> Cvm:
            cvm = world.connect(
                credentials, region, deadline, jitter=lambda: 0.5, endpoint=self._emulator.cvm_endpoint
            )
            cvm.script, cvm.emulator = script, self._emulator
            return cvm

        # A new instance every time, except that a memory store lives as long as its instance.
        store = self._memory if world.kind == "memory" else self._fresh_store()
        self._store = ScriptedStore(store, script, self._given)
        services = compose(
            world.settings,
            policy=world.policy,
            store=self._store,
            connect=connect,
            chat=ChatNetwork(),
            environ={},
            clock=world.function.clock.clock(),
            audit_stream=lambda: ScriptedStream(self._audit, script),
        )
        application = services.application()
        rest = ScriptedRest(
            services.authenticator.token_or_tc3,
            services.admission,
            services.issuer,
            world.settings.region,
            script,
        )
        route = Route(REST, ("POST",), "rest", lambda: rest)
        return services, replace(application, routes={**application.routes, REST: [route]})

    def _invocation(self) -> Invocation:
        function = self._world.function
        return Invocation.begin({}, function.environ, function.clock.clock())

    def _sent(self, tried: Try) -> Answer | None:
        if tried.cloud:
            self._emulator.add_faults(*tried.cloud)
        key = {"idempotency-key": f'"{self._name}"'} if self._case.keyed else {}
        event = self._world.function.signed(REST, self._body, also_signed=key)
        if not self._case.keyed:
            self._pass(1)  # the next try has another signature
        _, application = self._instance(Script(tried.strikes))
        answer = self._forked(application, event, tried) if tried.deadly else self._here(application, event)
        if tried.cloud:
            self._emulator.control("DELETE", "/faults")
        self._store.end()
        self._dumps.append(self._dump())
        if answer is not None:
            self._answered.append(json.dumps(answer.event))
        if tried.deadly or self._case.fresh:
            self._memory = self._fresh_store()
        return answer

    def _here(self, application: Application, event: dict[str, Any]) -> Answer | None:
        try:
            return Answer(dict(application.dispatch(event, self._invocation()).to_event()))
        except KeyboardInterrupt:
            return None

    def _forked(self, application: Application, event: dict[str, Any], tried: Try) -> Answer | None:
        calls = self._emulator.calls("CreateKeyPair")
        child = os.fork()
        if child == 0:
            try:
                self._here(application, event)
            finally:
                os._exit(0)
        if tried.killed_when is not None:
            while not self._moment(tried.killed_when, calls):
                pass  # each check takes a request, so there is no need to sleep
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the process was to be killed and was not"
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None

    def _moment(self, killed_when: str, calls: int) -> bool:
        if killed_when == "asked":
            return self._emulator.calls("CreateKeyPair") > calls
        return bool(self._key_pairs()[0])

    def _dump(self) -> bytes:
        """Return the contents of the store in its own format."""
        if self._world.server is not None:
            with self._world.server.admin() as admin:
                parts = [part for name in admin.keys("*") for part in (name, admin.get(name))]
                return b"\n".join(part for part in parts if isinstance(part, bytes))
        return b"\n".join(path.read_bytes() for path in sorted(self._database.parent.glob("claims.sqlite*")))

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        """Record everything printed or logged, with the root logger at DEBUG as on SCF."""
        root = logging.getLogger()
        level = root.level
        with self._output.open("a", encoding="utf-8") as output, self._log.open("a", encoding="utf-8") as log:
            handler = logging.StreamHandler(log)
            root.addHandler(handler)
            root.setLevel(logging.DEBUG)
            saved = [os.dup(number) for number in (1, 2)]
            try:
                with redirect_stdout(output), redirect_stderr(output):
                    for number in (1, 2):
                        os.dup2(output.fileno(), number)
                    yield
            finally:
                for number, copy in zip((1, 2), saved, strict=True):
                    os.dup2(copy, number)
                    os.close(copy)
                root.removeHandler(handler)
                root.setLevel(level)


LATE_EFFECT = 0.8
"""Seconds after which a call that was held for DELAY has taken effect."""
DELAY = IMPATIENCE + 0.1
"""Seconds for which the emulator holds a call that times out."""


class Matrix:
    """Runs each case once per store, however many tests use the outcome."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._worlds: dict[str, World] = {}
        self._outcomes: dict[tuple[str, str], Outcome] = {}

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes so far."""
        return list(self._outcomes.values())

    def outcome(self, case: Case, store: str) -> Outcome:
        if store not in self._worlds:
            self._worlds[store] = World(store, self._stack)
        key = (case.name, store)
        if key not in self._outcomes:
            self._outcomes[key] = self._worlds[store].run(case)
        return self._outcomes[key]


_KEY = pytest.StashKey[Matrix]()


def shared_matrix(config: pytest.Config) -> Matrix:
    """Return the matrix of this test run."""
    if _KEY not in config.stash:
        stack = ExitStack()
        config.add_cleanup(stack.close)
        config.stash[_KEY] = Matrix(stack)
    return config.stash[_KEY]
