"""The sweeper, started by timer events and as a command, against the CVM emulator."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from handler.auth.master_secret import MasterSecrets
from handler.cloud.cvm import Cvm, KeyPairSummary
from handler.errors import OutcomeUnknown, OutOfTime, RequestInFlight, StoreUnavailable
from handler.issuance.cleanup import ORPHAN_AGE, RELEASED, Cleanup
from handler.issuance.idempotency import FoundRecord, HeldRecord, State
from handler.issuance.ownership_tags import OwnershipTag, TagSigner
from handler.issuance.sweeper import MARGIN, PAUSE, Finding
from handler.order import ANSWER_TTL
from handler.scf.invocation import Deadline, Invocation
from handler.store.authenticated import RECORD_FORGED
from tests.support.emulator_process import ROOT, EmulatorProcess, running_emulator
from tests.support.former_tags import FormerTag, former_tags
from tests.support.function_process import clean_environment, running_function
from tests.support.function_under_test import (
    MASTER,
    POLICY,
    REGION,
    REST,
    FunctionUnderTest,
    base64url,
    fresh_name,
    with_parts,
)
from tests.support.key_pairs_in_cloud import (
    CLAIM,
    HOLDER,
    LATER_HOLDER,
    ORDER,
    SIGNER,
    TAG,
    TIMER,
    create,
    describe,
    left,
    lines,
    make,
    swept,
    utc,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from handler.issuance.idempotency import IdempotencyLedger
    from handler.scf.invocation import Credentials

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcfromtimestamp:DeprecationWarning"),
]

OTHER_REGION = "ap-shanghai"

UNREADABLE = ".".join([CLAIM, ORDER, HOLDER, "0" * 32])
DAY = 24 * 3600


def make_held(emulator: EmulatorProcess, record: HeldRecord) -> tuple[str, str]:
    """Create a key pair as the holder of `record` would; return its id and name."""
    name = fresh_name()
    tags = TagSigner(MasterSecrets([MASTER])).write(OwnershipTag("demo", record.holder), name)
    return create(emulator, tags, name)


@pytest.fixture
def function(function: FunctionUnderTest) -> FunctionUnderTest:
    # The cloud's key pairs carry the true time.
    function.clock.time = float(int(time.time()))
    return function


def line(decision: str, reason: str, **facts: object) -> dict[str, object]:
    return {
        "audit": "keypair-function/1",
        "requestId": "timer-1",
        "door": "sweeper",
        "decision": decision,
        "reason": reason,
        "caller": None,
        "keyName": None,
        "region": None,
        "projectId": None,
        "recipients": None,
        "keyId": None,
        "fingerprint": None,
        "upstreamRequestId": None,
        "upstreamCode": None,
        "upstreamMessage": None,
        "remoteAddress": "",
        "checks": "store ok, role ok" if decision == "swept" else None,
        "owner": None,
        **facts,
    }


def pair_line(decision: str, reason: str, pair: tuple[str, str], **facts: object) -> dict[str, object]:
    known: dict[str, object] = {"keyId": pair[0], "keyName": pair[1], "caller": "demo", "region": REGION}
    return line(decision, reason, **known | facts)


BEGIN = line("intent", "sweep")


@dataclass(frozen=True)
class Case:
    """A key pair of ours, aged `seconds`; `expires` is in seconds from the sweep."""

    finding: tuple[str, str] | None
    seconds: float = ORPHAN_AGE + 100
    tag: FormerTag | str = TAG
    expires: float | None = None
    record: Mapping[str, object] | None = None
    description: str = ""
    bound: bool = False


def claim(state: State, *, lease: float = -1, holder: str = HOLDER, former: tuple[str, ...] = ()) -> Any:  # noqa: ANN401  # fields of a model
    answer = "{}" if state is State.SEALED else None
    return {"state": state, "lease": lease, "holder": holder, "former": former, "answer": answer}


UNFINISHED = [state for state in State if state is not State.SEALED]
EXPIRED, ORPHAN, ANNOUNCED = ("removed", "expired"), ("removed", "orphan"), ("left", "orphan-announced")
FOREIGN = ("foreign", "")
CASES = {
    "expired": Case(EXPIRED, expires=-1, record=claim(State.SEALED), description=RELEASED),
    "expires now": Case(EXPIRED, expires=0, record=claim(State.SEALED), description=RELEASED),
    "expires later": Case(None, expires=1, record=claim(State.SEALED), description=RELEASED),
    "expired, store knows nothing": Case(EXPIRED, expires=-1, seconds=10),
    "expired, used": Case(("left", "expired-in-use"), expires=-1, bound=True),
    "mark of another form": Case(FOREIGN, tag="mine", expires=-1),
    "mark in capitals": Case(FOREIGN, tag=UNREADABLE.upper()),
    "mark without its code": Case(FOREIGN, tag=f"{CLAIM}.{ORDER}.{HOLDER}", record=claim(State.UNKNOWN)),
    "mark with a wrong code": Case(FOREIGN, tag=UNREADABLE, record=claim(State.UNKNOWN)),
    "mark with a wrong code, expired": Case(FOREIGN, tag=UNREADABLE, expires=-1),
    "finished": Case(None, record=claim(State.SEALED), description=RELEASED),
    "finished, lease running": Case(None, record=claim(State.SEALED, lease=60), description=RELEASED),
    "finished by a later try": Case(
        ORPHAN, record=claim(State.SEALED, holder=LATER_HOLDER, former=(HOLDER,))
    ),
    "later try at work": Case(
        ORPHAN, record=claim(State.CREATING, lease=60, holder=LATER_HOLDER, former=(HOLDER,))
    ),
    # Its holder set the description and stopped there.
    "described, and finished by a later try": Case(
        ORPHAN, record=claim(State.SEALED, holder=LATER_HOLDER, former=(HOLDER,)), description=RELEASED
    ),
    # No claim that knows the maker: the description tells.
    "claim missing, too young": Case(None, seconds=ORPHAN_AGE - 1),
    "claim missing, just old enough": Case(ORPHAN, seconds=ORPHAN_AGE),
    "claim missing, just below a day": Case(ORPHAN, seconds=ANSWER_TTL - 1),
    "claim missing, a day old": Case(ANNOUNCED, seconds=ANSWER_TTL),
    "claim missing, old": Case(ANNOUNCED, seconds=30 * DAY),
    "claim missing, used": Case(None, bound=True),
    **{
        f"claim missing, released, {seconds} s": Case(None, seconds=seconds, description=RELEASED)
        for seconds in (ORPHAN_AGE, ANSWER_TTL - 1, ANSWER_TTL, 30 * DAY)
    },
    "claim missing, described by somebody": Case(None, description="the build server's"),
    # The idempotency key was used again after its time to live: the first key pair was given to somebody.
    **{
        f"key reused later, {state.value}": Case(
            None, seconds=2 * DAY, record=claim(state, holder=LATER_HOLDER), description=RELEASED
        )
        for state in State
    },
    "key reused later, description cleared": Case(
        ANNOUNCED, seconds=2 * DAY, record=claim(State.SEALED, holder=LATER_HOLDER)
    ),
    "holder unknown, not released": Case(ORPHAN, record=claim(State.UNDONE, holder=LATER_HOLDER)),
    # A claim that knows the maker counts, whatever became of the description.
    "finished, description cleared": Case(None, record=claim(State.SEALED)),
    "finished, description cleared, just below a day": Case(
        None, seconds=ANSWER_TTL - 1, record=claim(State.SEALED)
    ),
    "described, and not finished": Case(ORPHAN, record=claim(State.UNKNOWN), description=RELEASED),
    **{f"orphan, {state.value}": Case(ORPHAN, record=claim(state)) for state in UNFINISHED},
    "its lease ends now": Case(ORPHAN, record=claim(State.CREATING, lease=0)),
    **{f"at work, {state.value}": Case(None, record=claim(state, lease=60)) for state in UNFINISHED},
    **{
        f"too young, {state.value}": Case(None, seconds=ORPHAN_AGE - 1, record=claim(state))
        for state in UNFINISHED
    },
    "orphan, just old enough": Case(ORPHAN, seconds=ORPHAN_AGE, record=claim(State.UNKNOWN)),
    "orphan, old": Case(ORPHAN, seconds=6 * DAY, record=claim(State.UNKNOWN)),
    "orphan, used": Case(("left", "orphan-in-use"), record=claim(State.UNKNOWN), bound=True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_each_key_pair_is_judged_by_its_tags_age_and_record(function: FunctionUnderTest, case: Case) -> None:
    emulator = function.emulator
    foreign = create(emulator, {"keypair-function:caller": "demo", "team": "core"})
    # One second is what CreatedTime is cut to: created within this very one.
    start = time.time()
    function.clock.time = now = float(int(start)) + case.seconds
    expires = None if case.expires is None else utc(now + case.expires)
    # The cloud's clock so that the age is exact, whatever second it is by now.
    emulator.control("POST", "/clock", {"at": int(start)})
    try:
        pair = make(emulator, tag=case.tag, expires=expires)
    finally:
        emulator.control("POST", "/clock", {"offset": 0})
    created = next(p["CreatedTime"] for p in emulator.key_pairs() if p["KeyId"] == pair[0])
    assert created == utc(start)
    if case.description:
        describe(emulator, pair[0], case.description)
    if case.bound:
        emulator.control("POST", f"/key-pairs/{pair[0]}/bind")
    if case.record is not None:
        fields = {name: value for name, value in case.record.items() if name != "lease"}
        ends = now + float(str(case.record["lease"]))
        record: dict[str, object] = {**fields, "order": ORDER, "lease_ends": ends}
        store = function.services.issuer.ledger.store
        assert store.add(f"claim:{CLAIM}", json.dumps(record), 7 * DAY)

    counts = swept(function)

    removed = case.finding is not None and case.finding[0] == "removed"
    assert left(emulator) == [foreign[0], *([] if removed else [pair[0]])]
    silent = case.finding in (None, FOREIGN)
    findings = [] if silent or case.finding is None else [pair_line(*case.finding, pair)]
    # `foreign` counts the one above too: it names a caller, and nothing proves that.
    expected = Counter({"foreign": 1}) + Counter([] if case.finding is None else [case.finding[0]])
    summary = ", ".join(f"{what} {count}" for what, count in sorted(expected.items()))
    assert lines(function.audit.getvalue()) == [BEGIN, *findings, line("swept", summary)]
    assert counts == expected
    if case.bound:
        emulator.control("DELETE", f"/key-pairs/{pair[0]}/bind")


def test_a_released_key_pair_stays(function: FunctionUnderTest) -> None:
    issued = function.call(function.signed(REST)).json
    function.forget_audit()
    for seconds in (ORPHAN_AGE - 1, ORPHAN_AGE, DAY, 30 * DAY):
        function.clock.time = time.time() + seconds
        assert swept(function) == {}
    assert left(function.emulator) == [issued["keyId"]]


def test_a_key_pair_is_removed_at_the_requested_expiry(function: FunctionUnderTest) -> None:
    body = function.rest_body(expiresIn="2h")
    issued = function.call(function.signed(REST, body)).json
    function.forget_audit()
    start = function.clock.time
    function.clock.time = start + 7199
    assert swept(function) == {}
    function.clock.time = start + 7260  # the next whole minute
    assert swept(function) == {"removed": 1}
    assert left(function.emulator) == []
    pair = (issued["keyId"], issued["keyName"])
    assert lines(function.audit.getvalue())[3] == pair_line("removed", "expired", pair)


def test_the_leftover_of_a_dead_holder_is_removed(
    function: FunctionUnderTest,
) -> None:
    # The create takes effect, its response is lost, and the key pair cannot be looked up.
    function.emulator.add_faults(
        {"kind": "cut"}, {"action": "DescribeKeyPairs", "kind": "cut", "after": "before", "times": 9}
    )
    event = function.signed(REST)
    assert function.call(event).code == "outcome-unknown"
    function.emulator.control("DELETE", "/faults")
    (orphan,) = left(function.emulator)
    function.forget_audit()
    function.clock.time = time.time() + ORPHAN_AGE + 1
    assert swept(function) == {"removed": 1}
    assert left(function.emulator) == []
    assert [one["keyId"] for one in lines(function.audit.getvalue())] == [None, orphan, None]


RECORD_ID = hashlib.sha256(b"demo\nkey:1").hexdigest()[:32]


def hold(ledger: IdempotencyLedger) -> HeldRecord:
    record = ledger.acquire("demo", "key:1", ORDER, lease=15)
    assert isinstance(record, HeldRecord)
    return record


def test_a_holder_that_wakes_up_after_the_sweep_cannot_finish(function: FunctionUnderTest) -> None:
    ledger = function.services.issuer.ledger
    held = hold(ledger)
    held.begin()
    pair = make_held(function.emulator, held)
    function.clock.time = time.time() + ORPHAN_AGE + 1
    assert swept(function) == {"removed": 1}
    with pytest.raises(StoreUnavailable) as raised:
        held.finish("an answer that names a key pair which is gone", "r")
    assert raised.value.reason == "answer-not-stored"
    assert left(function.emulator) == []
    assert lines(function.audit.getvalue())[1] == pair_line("removed", "orphan", pair)


def test_a_record_that_has_changed_cannot_be_withdrawn(function: FunctionUnderTest) -> None:
    ledger = function.services.issuer.ledger
    held = hold(ledger)
    held.begin()
    found = ledger.find(RECORD_ID)
    assert found is not None
    held.finish("answer", "r")
    assert not ledger.withdraw(FoundRecord(RECORD_ID, found))
    sealed = ledger.find(RECORD_ID)
    assert sealed is not None
    assert (sealed.state, sealed.answer) == (State.SEALED, "answer")
    assert not ledger.withdraw(FoundRecord("0" * 32, found))


class MovingStore:
    """A store in which a record is finished between two reads."""

    shared = False

    def __init__(self, inner: Any, finish: Any) -> None:  # noqa: ANN401  # stands between
        self._inner = inner
        self._finish = finish

    def get(self, key: str) -> str | None:
        text: str | None = self._inner.get(key)
        if self._finish is not None and key.startswith("claim:"):
            finish, self._finish = self._finish, None
            finish()
        return text

    def add(self, key: str, value: str, ttl: float) -> bool:
        return bool(self._inner.add(key, value, ttl))

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        return bool(self._inner.replace(key, expected, value, ttl))


def test_a_key_pair_whose_record_moves_during_another_request_is_left(function: FunctionUnderTest) -> None:
    """Its maker was frozen, and wakes up while another order wants the name."""
    ledger = function.services.issuer.ledger
    held = hold(ledger)
    held.begin()
    key_id, name = make_held(function.emulator, held)
    function.clock.time = time.time() + ORPHAN_AGE + 1
    moving = replace(ledger, store=MovingStore(ledger.store, lambda: held.finish("answer", "r")))
    issuer = replace(function.services.issuer, ledger=moving)
    function.services = with_parts(function.services, issuer=issuer)
    answer = function.call(function.signed(REST, function.rest_body(keyName=name)))
    assert (answer.status, answer.code) == (409, "request-in-flight")
    assert left(function.emulator) == [key_id]


def test_a_key_pair_whose_record_is_finished_during_the_sweep_is_left(function: FunctionUnderTest) -> None:
    ledger = function.services.issuer.ledger
    held = hold(ledger)
    held.begin()
    pair = make_held(function.emulator, held)
    function.clock.time = time.time() + ORPHAN_AGE + 1
    moving = replace(ledger, store=MovingStore(ledger.store, lambda: held.finish("answer", "r")))
    findings = sweep_with(function, ledger=moving)
    assert findings == [("left", "claim-moved", pair[0])]
    assert left(function.emulator) == [pair[0]]


def sweep_with(function: FunctionUnderTest, **changed: Any) -> list[tuple[str, str, str]]:  # noqa: ANN401  # parts of a sweeper
    """Sweep with some parts replaced; return what the audit log says about the key pairs."""
    own = function.services.sweeper
    sweeper = replace(own, **{"regions": [REGION], **changed})
    invocation = Invocation.begin(None, function.environ, function.clock.clock())
    sweeper.sweep(invocation)
    found = lines(function.audit.getvalue())[1:-1]
    return [(one["decision"], one["reason"], one["keyId"]) for one in found]


class OddCloud(Cvm):
    """A cloud that lists key pairs the emulator never would."""

    def count_key_pairs(self) -> int:
        return 2

    def tagged_key_pairs(self) -> list[KeyPairSummary]:
        marked = former_tags(SIGNER.write(TAG, "b", None))
        return [
            KeyPairSummary("skey-notours0", "a", {"team": "core"}, "2020-01-01T00:00:00Z", "", ()),
            KeyPairSummary("skey-noage000", "b", marked, "", "", ()),
            # Twice, as when something is deleted between two pages.
            KeyPairSummary("skey-noage000", "b", marked, "", "", ()),
        ]


def test_a_listing_without_filter_and_age(function: FunctionUnderTest) -> None:
    def connect(credentials: Credentials, region: str, deadline: Deadline) -> Cvm:
        return OddCloud(credentials, region, deadline, jitter=float, endpoint="http://127.0.0.1:9")

    assert sweep_with(function, connect=connect) == [("left", "age-unreadable", "skey-noage000")]
    assert lines(function.audit.getvalue())[1]["region"] == REGION


def test_a_region_that_cannot_be_listed_is_reported_and_the_other_one_swept(
    function: FunctionUnderTest,
) -> None:
    pair = make(function.emulator, expires=utc(0))
    function.emulator.add_faults({"action": "DescribeKeyPairs", "kind": "error", "code": "InternalError"})
    assert swept(function) == {"failed": 1, "removed": 1}
    found = lines(function.audit.getvalue())
    upstream = found[1].pop("upstreamRequestId")
    assert len(upstream) == 36
    expected = line("failed", "describe-InternalError", region=REGION)
    del expected["upstreamRequestId"]
    expected |= {"upstreamCode": "InternalError", "upstreamMessage": "An error on demand."}
    assert found == [
        BEGIN,
        expected,
        pair_line("removed", "expired", pair, region=OTHER_REGION),
        line("swept", "failed 1, removed 1", checks="store ok, role describe-InternalError"),
    ]


def test_each_key_pair_is_reported_once_whatever_the_number_of_regions(function: FunctionUnderTest) -> None:
    pairs = [make(function.emulator, tag="unreadable"), make(function.emulator, expires=utc(0))]
    before = function.emulator.calls("DescribeKeyPairs")
    assert swept(function) == {"foreign": 1, "removed": 1}
    # For each region a list and a count.
    assert function.emulator.calls("DescribeKeyPairs") == before + 4
    assert lines(function.audit.getvalue()) == [
        BEGIN,
        pair_line("removed", "expired", pairs[1]),
        line("swept", "foreign 1, removed 1"),
    ]


@pytest.mark.parametrize(
    ("fault", "reason", "remains"),
    [
        ({"kind": "error", "code": "InternalServerError"}, "delete-InternalServerError", True),
        ({"kind": "cut", "after": "before"}, "delete-ClientNetworkError", True),
        ({"kind": "cut"}, "delete-ClientNetworkError", False),
        ({"kind": "http-status", "status": 502}, "delete-ServerNetworkError", False),
    ],
)
def test_a_delete_that_fails_is_reported_and_done_by_the_next_sweep(
    function: FunctionUnderTest, fault: dict[str, object], reason: str, *, remains: bool
) -> None:
    pair = make(function.emulator, expires=utc(0))
    other = make(function.emulator, expires=utc(0))
    function.emulator.add_faults({"action": "DeleteKeyPairs", **fault})
    assert swept(function) == {"failed": 1, "removed": 1}
    found = lines(function.audit.getvalue())
    # Where there was an answer with them.
    code = fault.get("code") or (
        "ServerNetworkError" if fault["kind"] == "http-status" else "ClientNetworkError"
    )
    assert found[1]["upstreamCode"] == code
    found[1] |= {"upstreamRequestId": None, "upstreamCode": None, "upstreamMessage": None}
    assert found == [
        BEGIN,
        pair_line("failed", reason, pair),
        pair_line("removed", "expired", other),
        line("swept", "failed 1, removed 1"),
    ]
    assert left(function.emulator) == ([pair[0]] if remains else [])
    assert swept(function) == ({"removed": 1} if remains else {})
    assert left(function.emulator) == []


def test_without_a_store_only_expired_key_pairs_are_removed(
    emulator: EmulatorProcess, tmp_path: Path
) -> None:
    function = FunctionUnderTest(
        emulator, tmp_path / "policy.json", settings={"KEYPAIR_STORE": f"sqlite:{tmp_path}/missing/store"}
    )
    expired, other = make(emulator, expires=utc(0)), make(emulator)
    function.clock.time = time.time() + ORPHAN_AGE + 1
    assert swept(function) == {"failed": 1, "removed": 1}
    assert lines(function.audit.getvalue()) == [
        BEGIN,
        pair_line("failed", "sqlite-unavailable", other),
        pair_line("removed", "expired", expired),
        line("swept", "failed 1, removed 1", checks="store sqlite-unavailable, role ok"),
    ]
    function.delete_key_pairs()


class FullLog(io.StringIO):
    """A stream that accepts a limited number of lines."""

    room = 0

    def write(self, text: str) -> int:
        if self.room == 0:
            raise OSError("no space left on device")
        self.room -= 1
        return super().write(text)


@pytest.mark.parametrize(("room", "removed"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3)])
def test_the_sweep_stops_when_the_audit_log_fails(
    emulator: EmulatorProcess, tmp_path: Path, room: int, removed: int
) -> None:
    audit = FullLog()
    audit.room = room
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", audit=audit)
    function.clock.time = time.time()
    pairs = [make(emulator, expires=utc(0))[0] for _ in range(3)]
    answer = function.call(TIMER)
    assert (answer.status, answer.code) == (503, "audit-unavailable")
    assert left(emulator) == pairs[removed:]
    assert [one["keyId"] for one in lines(audit.getvalue())] == [None, *pairs][:room]
    function.delete_key_pairs()


@pytest.fixture(scope="module")
def large_account() -> Iterator[EmulatorProcess]:
    with running_emulator(quota=300) as emulator:
        yield emulator


def test_pages_and_time(large_account: EmulatorProcess, tmp_path: Path) -> None:
    """150 own and 30 foreign key pairs fill two pages. Several sweeps remove the own ones."""
    function = FunctionUnderTest(large_account, tmp_path / "policy.json")
    function.clock.time = time.time()
    ours, foreign = [], []
    for number in range(180):
        if number % 6 == 0:
            foreign.append(create(large_account, {"team": "core"})[0])
        else:
            ours.append(make(large_account, expires=utc(0))[0])
    before = large_account.calls("DescribeKeyPairs")

    # 15 seconds: a delete every PAUSE for as long as MARGIN is left.
    start = function.clock.time
    first = 0
    while 15 - first * PAUSE >= MARGIN:
        first += 1
    counts = swept(function, 15_000)
    assert counts == {"removed": first, "postponed": 150 - first}
    assert function.clock.time - start < 15
    assert large_account.calls("DescribeKeyPairs") == before + 2 * (
        2 + 1
    )  # two pages and a count for each region
    assert left(large_account) == [
        key_id for key_id in left(large_account) if key_id in {*foreign, *ours[first:]}
    ]
    found = lines(function.audit.getvalue())
    assert [one["keyId"] for one in found] == [None, *ours[:first], None]
    quota = [f"180 of 100 key pairs in {region}" for region in (REGION, OTHER_REGION)]
    assert found[-1] == line("swept", ", ".join([f"postponed {150 - first}", f"removed {first}", *quota]))

    assert swept(function, 60_000) == {"removed": 150 - first}
    assert left(large_account) == foreign
    # Less than the margin from the start: nothing is begun.
    make(large_account, expires=utc(0))
    assert swept(function, int(MARGIN * 1000) - 1) == {"postponed": 1}


def test_the_regions_not_reached_are_reported(function: FunctionUnderTest) -> None:
    assert swept(function, 1200) == {"failed": 2}
    assert lines(function.audit.getvalue()) == [
        BEGIN,
        line("failed", "out-of-time", region=REGION),
        line("failed", "out-of-time", region=OTHER_REGION),
        line("swept", "failed 2", checks="store ok, role out-of-time"),
    ]


# Over HTTP.

SMUGGLED: list[dict[str, Any]] = [
    {"body": TIMER},
    {"body": TIMER, "target": "/?Type=Timer&TriggerName=sweep"},
    {"body": TIMER, "target": "/v1/key-pairs"},
    {"body": TIMER, "headers": {"Type": "Timer", "TriggerName": "sweep", "Content-Type": "application/json"}},
    {"body": {**TIMER, "httpMethod": None}, "headers": {"x-scf-type": "Timer"}},
    {"method": "GET", "target": "/healthz?Type=Timer", "headers": {"Type": "Timer"}},
]


def test_a_timer_event_cannot_come_over_http(emulator: EmulatorProcess, tmp_path: Path) -> None:
    pair = make(emulator, expires=utc(0))
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(POLICY), encoding="utf-8")
    with running_function(environment=environment(emulator, KEYPAIR_POLICY=str(policy))) as process:
        statuses = []
        for smuggled in SMUGGLED:
            connection = http.client.HTTPConnection(process.url.removeprefix("http://"), timeout=20)
            connection.request(
                smuggled.get("method", "POST"),
                smuggled.get("target", "/"),
                json.dumps(smuggled["body"]) if "body" in smuggled else None,
                smuggled.get("headers", {}),
            )
            statuses.append(connection.getresponse().status)
            connection.close()
        # The v3 door answers 200 to all there is.
        assert statuses == [200, 200, 401, 200, 200, 200]
        doors = [one["door"] for one in process.audit_lines()]
        assert doors == ["tencent-v3", "tencent-v3", "rest", "tencent-v3", "tencent-v3"]
        assert {one["decision"] for one in process.audit_lines()} == {"refused"}
    assert left(emulator) == [pair[0]]
    FunctionUnderTest(emulator, policy).delete_key_pairs()


@pytest.mark.parametrize("key", ["httpMethod", "path", "headers", "body", "requestContext"])
@pytest.mark.parametrize("value", [None, "", "POST", {}])
def test_an_event_with_any_field_of_http_is_not_a_timer_event(
    function: FunctionUnderTest, key: str, value: object
) -> None:
    pair = make(function.emulator, expires=utc(0))
    answer = function.call({**TIMER, key: value})
    assert answer.status == 400
    assert left(function.emulator) == [pair[0]]
    assert function.audit.getvalue() == ""


# Processes of their own, in true time.


def environment(emulator: EmulatorProcess, **changed: str) -> dict[str, str]:
    return {
        "KEYPAIR_REGION": REGION,
        "KEYPAIR_HOSTS": "keys.example.com",
        "KEYPAIR_MASTER_SECRET": base64url(MASTER),
        "KEYPAIR_CVM_ENDPOINT": emulator.cvm_endpoint,
        "TENCENTCLOUD_SECRETID": emulator.secret_id,
        "TENCENTCLOUD_SECRETKEY": emulator.secret_key,
        **({"TENCENTCLOUD_SESSIONTOKEN": emulator.token} if emulator.token else {}),
        **changed,
    }


@dataclass
class Command:
    """The command `scripts/sweep` with a policy and an account."""

    emulator: EmulatorProcess
    policy: Path
    changed: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        settings = environment(self.emulator, KEYPAIR_POLICY=str(self.policy), **self.changed)
        settings = {name: value for name, value in {**settings, **changed}.items() if value}
        return subprocess.run(
            [sys.executable, "-m", "scripts.sweep", *arguments],
            env=clean_environment(settings),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def command(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Command]:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(POLICY), encoding="utf-8")
    yield Command(emulator, policy, {"KEYPAIR_STORE": f"sqlite:{tmp_path}/store"})
    FunctionUnderTest(emulator, policy).delete_key_pairs()


def test_the_command_previews_and_sweeps(command: Command) -> None:
    emulator = command.emulator
    expired = make(emulator, expires=utc(0))
    unsure = make(emulator, tag="unreadable")
    foreign = create(emulator, {"team": "core"})
    deletes = emulator.calls("DeleteKeyPairs")

    told = command.run("--dry-run")
    assert (told.returncode, told.stderr) == (0, "scripts/sweep --dry-run: 1 foreign, 1 removed\n")
    assert told.stdout == f"would remove {expired[0]} {expired[1]} in {REGION}: expired\n"
    assert emulator.calls("DeleteKeyPairs") == deletes
    assert left(emulator) == [expired[0], unsure[0], foreign[0]]

    done = command.run()
    assert (done.returncode, done.stderr) == (0, "scripts/sweep: 1 foreign, 1 removed\n")
    found = lines(done.stdout)
    (request_id,) = {one["requestId"] for one in found}
    assert request_id.startswith("sweep-")
    expected = [
        BEGIN,
        pair_line("removed", "expired", expired),
        line("swept", "foreign 1, removed 1"),
    ]
    assert found == [{**one, "requestId": request_id} for one in expected]
    assert left(emulator) == [unsure[0], foreign[0]]


def test_the_command_has_nothing_to_do(command: Command) -> None:
    done = command.run()
    assert (done.returncode, done.stderr) == (0, "scripts/sweep: nothing to do\n")
    assert [one["reason"] for one in lines(done.stdout)] == ["sweep", "nothing"]
    told = command.run("--dry-run")
    assert (told.returncode, told.stdout) == (0, "")
    assert told.stderr == "scripts/sweep --dry-run: nothing to do\n"


def test_the_exit_status_shows_failures(command: Command) -> None:
    make(command.emulator, expires=utc(0))
    fault = {"action": "DescribeKeyPairs", "kind": "error", "code": "InternalError", "times": 2}
    command.emulator.add_faults(fault)
    done = command.run()
    assert (done.returncode, done.stderr) == (1, "scripts/sweep: 2 failed\n")
    command.emulator.add_faults({**fault, "times": 1})
    told = command.run("--dry-run")
    assert (told.returncode, told.stderr) == (1, "scripts/sweep --dry-run: 1 failed, 1 removed\n")
    assert told.stdout.splitlines()[0] == f"failed the listing in {REGION}: describe-InternalError"


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_the_command_removes_nothing_if_it_cannot_write(command: Command, unbuffered: str) -> None:
    pair = make(command.emulator, expires=utc(0))
    done = swept_onto_a_full_device(command, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == (
        "scripts/sweep: The audit log is not available. (audit-unavailable)"
    )
    assert left(command.emulator) == [pair[0]]


def test_a_dry_run_that_nobody_can_read_has_failed(command: Command) -> None:
    make(command.emulator, expires=utc(0))
    done = swept_onto_a_full_device(command, "--dry-run", PYTHONUNBUFFERED="")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "scripts/sweep --dry-run: 1 removed",
        "scripts/sweep: standard output: No space left on device",
    ]


def swept_onto_a_full_device(
    command: Command, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    settings = environment(command.emulator, KEYPAIR_POLICY=str(command.policy), **environ)
    with open("/dev/full", "w") as full:  # noqa: PTH123  # a device
        return subprocess.run(
            [sys.executable, "-m", "scripts.sweep", *arguments],
            env=clean_environment(settings),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"KEYPAIR_REGION": ""}, "KEYPAIR_REGION is missing; it takes a region, for example ap-guangzhou"),
        ({"KEYPAIR_REGOIN": "x"}, "KEYPAIR_REGOIN is not a setting; remove it or correct its name"),
        (
            {"KEYPAIR_POLICY": "/missing"},
            "/missing: not a readable policy in JSON; scripts/build creates one from policy.toml",
        ),
        (
            {"TENCENTCLOUD_SECRETID": "", "TENCENTCLOUD_SECRETKEY": ""},
            "no cloud credentials: give the function an execution role",
        ),
    ],
)
def test_the_command_explains_misconfigurations(command: Command, changed: dict[str, str], text: str) -> None:
    done = command.run(**changed)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"scripts/sweep: {text}\n")


def test_deletes_stay_below_the_rate_limit_of_the_cloud(command: Command) -> None:
    for _ in range(14):
        make(command.emulator, expires=utc(0))
    before = command.emulator.calls("DeleteKeyPairs")
    command.emulator.control("POST", "/rate", {"perSecond": 10})
    try:
        done = command.run()
    finally:
        command.emulator.control("POST", "/rate", {"perSecond": 0})
    assert (done.returncode, done.stderr) == (0, "scripts/sweep: 14 removed\n")
    # Not one of them had to be repeated.
    assert command.emulator.calls("DeleteKeyPairs") == before + 14


def test_main_handler_sweeps_at_a_timer_event_with_a_temporary_credential(tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(POLICY), encoding="utf-8")
    program = (
        "import json, sys; from handler.index import main_handler; "
        "print(json.dumps(main_handler(json.loads(sys.argv[1]), {'request_id': 'timer-1'})))"
    )
    with running_emulator(token="a temporary credential's token") as emulator:
        pair = make(emulator, expires=utc(0))
        done = subprocess.run(
            [sys.executable, "-c", program, json.dumps(TIMER)],
            env=clean_environment(environment(emulator, KEYPAIR_POLICY=str(policy))),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert left(emulator) == []
    *audit, answer = done.stdout.splitlines()
    assert lines("\n".join(audit)) == [
        BEGIN,
        pair_line("removed", "expired", pair),
        line("swept", "removed 1"),
    ]
    assert json.loads(answer) == {
        "isBase64Encoded": False,
        "statusCode": 200,
        "headers": {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
        "body": '{"swept":{"removed":1}}',
    }


def test_a_preview_removes_and_writes_nothing(function: FunctionUnderTest) -> None:
    pair = make(function.emulator, expires=utc(0))
    findings: list[Finding] = []
    invocation = Invocation.begin(None, function.environ, function.clock.clock())
    counts = function.services.sweeper.sweep(invocation, preview=findings.append)
    assert counts == {"removed": 1}
    assert [
        (one.decision.value, one.reason, one.region, one.pair and one.pair.key_id) for one in findings
    ] == [("removed", "expired", REGION, pair[0])]
    assert left(function.emulator) == [pair[0]]
    assert function.audit.getvalue() == ""


def test_a_preview_announces_nothing(function: FunctionUnderTest) -> None:
    pair = make(function.emulator)
    function.clock.time += ANSWER_TTL + 1
    findings: list[Finding] = []
    invocation = Invocation.begin(None, function.environ, function.clock.clock())
    function.services.sweeper.sweep(invocation, preview=findings.append)
    assert [(one.decision.value, one.reason) for one in findings] == [("left", "orphan-announced")]
    assert next(p["Description"] for p in function.emulator.key_pairs() if p["KeyId"] == pair[0]) == ""


def test_what_the_delete_showed_is_not_reported_again_by_the_list(function: FunctionUnderTest) -> None:
    """First the list does not show that an instance uses the key pair, later it does: one report in a day."""
    pair = make(function.emulator, expires=utc(0))

    class Unseen(Cvm):
        def delete_key_pair(self, key_id: str) -> bool:  # noqa: ARG002  # an instance that the list does not show
            return False

    def connect(credentials: Credentials, region: str, deadline: Deadline) -> Cvm:
        endpoint = function.emulator.cvm_endpoint
        return Unseen(credentials, region, deadline, jitter=float, endpoint=endpoint)

    assert sweep_with(function, connect=connect) == [("left", "expired-in-use", pair[0])]
    function.emulator.control("POST", f"/key-pairs/{pair[0]}/bind")
    assert swept(function) == {}
    function.emulator.control("DELETE", f"/key-pairs/{pair[0]}/bind")


def test_the_report_lists_key_pairs_and_removes_nothing(command: Command) -> None:
    emulator = command.emulator
    expired = make(emulator, expires=utc(0))
    used = make(emulator)
    foreign = make(emulator, tag="unreadable")
    emulator.control("POST", f"/key-pairs/{used[0]}/bind")
    told = command.run("--report")
    emulator.control("DELETE", f"/key-pairs/{used[0]}/bind")
    assert (told.returncode, told.stderr) == (0, "")
    rows = {line.split()[0]: line.split() for line in told.stdout.splitlines()}
    assert rows[f"{REGION}:"][1:4] == ["3", "of", "100"]
    assert rows[expired[0]][1:] == [expired[1], "demo", "0.0", "d", "expired", "-"]
    assert rows[used[0]][1:] == [used[1], "demo", "0.0", "d", "never", "ins-emulated"]
    assert rows[foreign[0]][1:] == [foreign[1], "(foreign)", "0.0", "d", "never", "-"]
    assert left(emulator) == [expired[0], used[0], foreign[0]]


class FailingReports:
    """A store that answers what the ledger asks, and keeps no report of a key pair."""

    shared = True

    def __init__(self, *, fails: bool) -> None:
        self.fails = fails

    def get(self, _key: str) -> None:
        """Show nothing, as if each report had just been lost."""

    def add(self, _key: str, _value: str, _ttl: float) -> bool:
        if self.fails:
            raise StoreUnavailable("test")
        return False


@pytest.mark.parametrize("fails", [True, False])
def test_a_used_key_pair_is_reported_unless_the_store_knows_of_it(
    function: FunctionUnderTest, *, fails: bool
) -> None:
    class InUse(Cvm):
        def delete_key_pair(self, key_id: str) -> bool:  # noqa: ARG002  # an instance that the list does not show
            return False

    def connect(credentials: Credentials, region: str, deadline: Deadline) -> Cvm:
        endpoint = function.emulator.cvm_endpoint
        return InUse(credentials, region, deadline, jitter=float, endpoint=endpoint)

    pair = make(function.emulator, expires=utc(0))
    store: Any = FailingReports(fails=fails)
    ledger = replace(function.services.sweeper.ledger, store=store)
    found = sweep_with(function, ledger=ledger, connect=connect)
    assert found == ([("left", "expired-in-use", pair[0])] if fails else [])


def test_a_preview_also_shows_what_was_reported(function: FunctionUnderTest) -> None:
    pair = make(function.emulator, expires=utc(0))
    function.emulator.control("POST", f"/key-pairs/{pair[0]}/bind")
    assert swept(function) == {"left": 1}
    findings: list[Finding] = []
    invocation = Invocation.begin(None, function.environ, function.clock.clock())
    function.services.sweeper.sweep(invocation, preview=findings.append)
    assert [(one.decision.value, one.reason) for one in findings] == [("left", "expired-in-use")]
    function.emulator.control("DELETE", f"/key-pairs/{pair[0]}/bind")


def test_removing_an_untagged_key_pair_without_time_or_effect() -> None:
    class Cloud:
        key_pair: KeyPairSummary | None = None

        def find_key_pair(self, _key_id: str) -> KeyPairSummary | None:
            if self.key_pair is None:
                raise OutOfTime
            return self.key_pair

        def delete_key_pair(self, _key_id: str) -> bool:
            return False

    class Young(Cleanup):
        def _may_lack_tags(self, _pair: KeyPairSummary) -> bool:
            return True

    nothing: Any = None
    cloud: Any = Cloud()
    cleanup = Young(cloud, nothing, "demo", nothing, nothing, nothing)
    with pytest.raises(OutcomeUnknown) as unknown:
        cleanup.remove_untagged("skey-1", "web_1")
    assert unknown.value.reason == "out-of-time"
    pair: Any = SimpleNamespace(key_name="web_1")
    cloud.key_pair = pair
    assert cleanup.remove_untagged("skey-1", "web_1") is False
    # Another one of that id, which it must not touch.
    cloud.delete_key_pair = lambda _key_id: pytest.fail("deleted")
    assert cleanup.remove_untagged("skey-1", "web_2") is False


@pytest.mark.parametrize(
    ("problem", "asked", "decisions"),
    [
        (StoreUnavailable("test"), 1, ["failed", "failed"]),
        # One record that was forged, or was written under a former master secret, says nothing of the others.
        (StoreUnavailable(RECORD_FORGED), 2, ["failed", "failed"]),
        (RequestInFlight(), 2, []),  # a record of a later version of the function
    ],
)
def test_a_store_that_fails_is_asked_once(
    function: FunctionUnderTest, problem: Exception, asked: int, decisions: list[str]
) -> None:
    class Store(FailingReports):
        asked = 0

        def get(self, key: str) -> None:
            if not key.startswith("claim:"):
                return
            self.asked += 1
            raise problem

    store: Any = Store(fails=True)
    for _ in range(2):
        make(function.emulator)
    function.clock.time += ORPHAN_AGE + 60
    found = sweep_with(function, ledger=replace(function.services.sweeper.ledger, store=store))
    assert [decision for decision, _, _ in found] == decisions
    assert store.asked == asked
