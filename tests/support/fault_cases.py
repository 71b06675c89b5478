"""The cases of the fault matrix: every step of an issue with every way in which it can fail."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.faults import CONDUCTS, DELAY, KILLS, STORES, Case, How, Strike, Try

if TYPE_CHECKING:
    from collections.abc import Iterator

Fault = dict[str, object]

CUT: Fault = {"kind": "cut"}
LOST_CREATE: Fault = {"kind": "cut"}
"""The key pair is made but its private key is lost, so the leftover has to be found."""
MISMATCH: Fault = {"kind": "mismatch"}
REFUSED: Fault = {"kind": "error", "code": "InvalidProjectId.NotFound"}
NOTHING_LISTED: Fault = {"action": "DescribeKeyPairs", "kind": "http-status", "status": 502, "times": 99}
NEVER_CERTAIN = "cut before, then refused, in two requests"
UNKNOWN = (LOST_CREATE, NOTHING_LISTED)
"""The outcome of the create cannot be found out: 504."""

_STORE = (How.ERROR, How.CUT, How.TIME_OUT, How.LATE_TIME_OUT, How.DEFECT, *KILLS)
_AUDIT = (How.ERROR, How.CUT, How.TIME_OUT, How.DEFECT, *KILLS)
_LOOK = (How.ERROR, How.CUT, How.TIME_OUT, How.DEFECT, How.INTERRUPT, How.KILL_BEFORE)


def _both(case: Case) -> Iterator[Case]:
    """Yield the case with an immediate last try and, if a process died, with a late one too."""
    yield case
    if case.deadly:
        yield replace(case, later=True)


def _steps(
    step: str,
    strike: tuple[str, int],
    hows: tuple[How, ...],
    cloud: tuple[Fault, ...] = (),
    before: tuple[Try, ...] = (),
) -> Iterator[Case]:
    for how in hows:
        tried = Try((Strike(*strike, how),), cloud)
        yield from _both(Case(step, how.value, (*before, tried)))


def _cloud(step: str, faults: dict[str, tuple[Fault, ...]]) -> Iterator[Case]:
    for name, cloud in faults.items():
        yield from _both(Case(step, name, (Try(cloud=cloud),)))


def _store_steps() -> Iterator[Case]:
    yield from _steps("store: claim", ("add", 1), _STORE)
    yield from _steps("store: creating", ("replace", 1), _STORE)
    yield from _steps("store: sealed", ("replace", 2), _STORE)
    yield from _steps("store: undone after a failed check", ("replace", 2), _STORE, (MISMATCH,))
    yield from _steps("store: undone after a refusal", ("replace", 2), _STORE, (REFUSED,))
    yield from _steps("store: unknown", ("replace", 2), _STORE, UNKNOWN)
    unknown = (Try(cloud=UNKNOWN),)
    yield from _steps("store: claim found", ("add", 1), _STORE, before=unknown)
    yield from _steps("store: claim read", ("get", 1), _STORE, before=unknown)
    yield from _steps("store: claim taken over", ("replace", 1), _STORE, before=unknown)
    yield from _steps("store: creating anew", ("replace", 2), _STORE, before=unknown)
    yield from _steps("store: sealed anew", ("replace", 3), _STORE, before=unknown)
    issued = (Try(),)
    yield from _steps("store: answer found", ("add", 1), _STORE, before=issued)
    yield from _steps("store: answer read", ("get", 1), _STORE, before=issued)
    for first in ("replace", 1), ("replace", 2), ("get", 1):
        for how in (How.ERROR, How.CUT, How.TIME_OUT, How.LATE_TIME_OUT):
            # Withdrawing an answer that may be stored takes all three operations.
            strikes = tuple(
                Strike(step, nth, how, onwards=True)
                for step, nth in (("replace", first[1] if first[0] == "replace" else 3), ("get", 1))
            )
            before = () if first == ("replace", 1) else (Strike("replace", 2, How.CUT),)
            yield Case(f"store: down from {first[0]} {first[1]}", how.value, (Try((*before, *strikes)),))
    for sealed, withdrawn in (
        (How.CUT, How.ERROR),
        (How.ERROR, How.CUT),
        (How.ERROR, How.KILL_BEFORE),
        (How.ERROR, How.KILL_AFTER),
        (How.TIME_OUT, How.ERROR),
        (How.LATE_TIME_OUT, How.KILL_AFTER),
        (How.LATE_TIME_OUT, How.LATE_TIME_OUT),
    ):
        strikes = (Strike("replace", 2, sealed), Strike("replace", 3, withdrawn))
        yield from _both(
            Case("store: sealed and withdrawn", f"{sealed.value} {withdrawn.value}", (Try(strikes),))
        )


def _audit_steps() -> Iterator[Case]:
    yield from _steps("audit: intent", ("audit", 1), _AUDIT)
    yield from _steps("audit: issued", ("audit", 2), _AUDIT)
    yield from _steps("audit: removed", ("audit", 2), _AUDIT, (LOST_CREATE,))
    yield from _steps("audit: issued after a removal", ("audit", 3), _AUDIT, (LOST_CREATE,))
    yield from _steps("audit: removed by the undo", ("audit", 2), _AUDIT, (MISMATCH,))
    yield from _steps("audit: failed", ("audit", 3), _AUDIT, (MISMATCH,))
    yield from _steps("audit: refused", ("audit", 2), _AUDIT, (REFUSED,))
    yield from _steps("audit: unknown", ("audit", 2), _AUDIT, UNKNOWN)
    yield from _steps("audit: replayed", ("audit", 1), _AUDIT, before=(Try(),))
    for nth in (1, 2):
        yield Case(
            "audit: down", f"from line {nth}", (Try((Strike("audit", nth, How.ERROR, onwards=True),)),)
        )


def _delayed(name: str, step: str, action: str, cloud: tuple[Fault, ...] = ()) -> Iterator[Case]:
    """Yield two time-outs of a call: the effect comes late, or only the response does."""
    impatient = (Strike(step, 1, How.IMPATIENT),)
    for after, fault in (("before", "time-out before the effect"), ("effect", "time-out after the effect")):
        delay: Fault = {"action": action, "kind": "delay", "seconds": DELAY, "after": after}
        late = after == "before"
        yield Case(name, fault, (Try(impatient, (*cloud, delay)),), late_effect=late)


def _create_steps() -> Iterator[Case]:
    before: dict[str, tuple[Fault, ...]] = {
        "cut before the effect": ({"kind": "cut", "after": "before"},),
        "500 before the effect": ({"kind": "http-status", "status": 500, "after": "before"},),
        "503 before the effect": ({"kind": "http-status", "status": 503, "after": "before"},),
        "internal error": ({"kind": "error", "code": "InternalServerError"},),
        "unknown code": ({"kind": "error", "code": "SomethingNew"},),
        "throttled twice": ({"kind": "throttle", "times": 2},),
        "throttled for ever": ({"kind": "throttle", "times": 99},),
        "refused": (REFUSED,),
        "quota": ({"kind": "error", "code": "InvalidKeyPair.LimitExceeded"},),
        "credentials refused": ({"kind": "error", "code": "AuthFailure.TokenFailure"},),
        "name taken, by nobody": ({"kind": "error", "code": "InvalidKeyPairName.Duplicate"},),
        "redirect": ({"kind": "redirect", "location": "http://127.0.0.1:9/"},),
    }
    after: dict[str, tuple[Fault, ...]] = {
        "cut": (CUT,),
        "cut twice": ({**CUT, "times": 2},),
        "cut every time": ({**CUT, "times": 99},),
        "cut before and after": ({**CUT, "after": "before"}, CUT),
        "cut, then refused": (CUT, REFUSED),
        "502": ({"kind": "http-status", "status": 502},),
        "404": ({"kind": "http-status", "status": 404},),
        "truncated": ({"kind": "truncate"},),
        "truncated and cut": ({"kind": "truncate", "honest": False},),
        "undecodable": ({"kind": "undecodable"},),
        "other content type": ({"kind": "content-type"},),
        "internal error after the effect": (
            {"kind": "error", "code": "InternalServerError", "after": "effect"},
        ),
        "name taken, by itself": (
            {"kind": "error", "code": "InvalidKeyPairName.Duplicate", "after": "effect"},
        ),
        "a refusal that is a lie": ({"kind": "error", "code": "InvalidParameterValue", "after": "effect"},),
        "redirect after the effect": (
            {"kind": "redirect", "location": "http://127.0.0.1:9/", "after": "effect"},
        ),
        "no key pair in the answer": ({"kind": "no-keypair"},),
    }
    yield from _cloud("cloud: create", before)
    # The outcome of the first call never becomes known, neither in this request nor in the next.
    uncertain = (Try(cloud=({**CUT, "after": "before"}, REFUSED)), Try(cloud=(REFUSED,)))
    yield Case("cloud: create", NEVER_CERTAIN, uncertain)
    yield from _cloud("cloud: create", after)
    yield from _delayed("cloud: create", "create", "CreateKeyPair")
    yield from _steps("cloud: create", ("create", 1), (How.DEFECT, How.INTERRUPT, *KILLS))
    yield from _steps("cloud: second create", ("create", 2), (How.DEFECT, *KILLS), (LOST_CREATE,))
    held: Fault = {"kind": "delay", "seconds": DELAY}
    for killed_when, effect in (("asked", "before"), ("made", "effect")):
        tried = Try(cloud=({**held, "after": effect},), killed_when=killed_when)
        for case in _both(Case("cloud: create", f"kill when {killed_when}", (tried,))):
            yield replace(case, late_effect=True)
    # The first call takes effect long after the response to the request.
    late: tuple[Fault, ...] = ({**held, "after": "before"},)
    impatient = (Strike("create", 1, How.IMPATIENT),)
    for name, more in {
        "late effect, second refused": (REFUSED,),
        "late effect, second never certain": ({**CUT, "after": "before", "times": 2},),
    }.items():
        yield Case("cloud: create", name, (Try(impatient, (*late, *more)),), late_effect=True)


def _faults_of(action: str, first: tuple[Fault, ...] = ()) -> dict[str, tuple[Fault, ...]]:
    """Return the faults of a call other than CreateKeyPair."""
    faults: dict[str, Fault] = {
        "cut": {"kind": "cut"},
        "cut before the effect": {"kind": "cut", "after": "before"},
        "cut every time": {"kind": "cut", "times": 99},
        "500": {"kind": "http-status", "status": 500, "after": "before"},
        "502 after the effect": {"kind": "http-status", "status": 502},
        "undecodable": {"kind": "undecodable"},
        "truncated": {"kind": "truncate"},
        "internal error": {"kind": "error", "code": "InternalServerError"},
        "refused": {"kind": "error", "code": "UnauthorizedOperation.PermissionDenied"},
        "throttled": {"kind": "throttle", "times": 2},
    }
    return {name: (*first, {"action": action, **fault}) for name, fault in faults.items()}


def _settling_steps() -> Iterator[Case]:
    for name, first in (("after a lost create", LOST_CREATE), ("in the undo", MISMATCH)):
        for action, step in (("DescribeKeyPairs", "describe"), ("DeleteKeyPairs", "delete")):
            yield from _cloud(f"cloud: {step} {name}", _faults_of(action, (first,)))
            yield from _delayed(f"cloud: {step} {name}", step, action, (first,))
            yield from _steps(f"cloud: {step} {name}", (step, 1), (How.DEFECT, *KILLS), (first,))
        yield from _steps(f"cloud: second describe {name}", ("describe", 2), (How.DEFECT, *KILLS), (first,))


def _description_steps() -> Iterator[Case]:
    action = "ModifyKeyPairAttribute"
    yield from _cloud("cloud: description", _faults_of(action))
    yield from _delayed("cloud: description", "modify", action)
    yield from _steps("cloud: description", ("modify", 1), (How.DEFECT, How.INTERRUPT, *KILLS))
    # Described as released, but removed nevertheless.
    cut: Fault = {"action": action, "kind": "cut", "times": 99}
    for name, more in _faults_of("DeleteKeyPairs", (cut,)).items():
        yield Case("cloud: delete what has a description", name, (Try(cloud=more),))
    yield from _steps("cloud: delete what has a description", ("delete", 1), KILLS, (cut,))


def _checks() -> Iterator[Case]:
    yield from _cloud(
        "check",
        {
            "halves that differ": (MISMATCH,),
            "weak": ({"kind": "weak"},),
            "other name": ({"kind": "other-name"},),
            "text around the key": ({"kind": "extra-text"},),
        },
    )
    for nth, step in ((2, "check"), (3, "conversion"), (4, "sealing")):
        # The first read is by this test itself, of what the real client returned.
        yield from _steps(f"look at the key: {step}", ("look", nth - 1), _LOOK)


def _answers() -> Iterator[Case]:
    yield from _steps("answer", ("answer", 1), (How.ERROR, How.TIME_OUT, How.DEFECT, How.INTERRUPT, *KILLS))
    yield Case("answer", "cut", (Try(lost=True),))
    yield Case("answer", "cut", (Try(lost=True),), later=True)


def _in_use_or_taken() -> Iterator[Case]:
    bind = (Strike("create", 1, How.BIND),)
    yield Case("in use", "after a lost create", (Try(bind, (LOST_CREATE,)),))
    yield Case("in use", "after a failed check", (Try(bind, (MISMATCH,)),))
    yield Case("in use", "issued", (Try(bind),))
    yield Case("name taken", "by somebody", (Try(),), taken=True)
    yield Case("name taken", "and the answer cut", (Try(cloud=(CUT,)),), taken=True)


def _conducts() -> Iterator[Case]:
    modify_lost: Fault = {"action": "ModifyKeyPairAttribute", "kind": "cut"}
    faults: dict[str, tuple[Fault, ...]] = {
        "none": (),
        "lost create": (LOST_CREATE,),
        "failed check": (MISMATCH,),
        "lost description": (modify_lost,),
    }
    for conduct in CONDUCTS:
        for fault, cloud in faults.items():
            for keyed in (True, False):
                yield Case("conduct", fault, (Try(cloud=cloud),), conduct=conduct, keyed=keyed)


_FAULTS = [
    *_store_steps(),
    *_audit_steps(),
    *_create_steps(),
    *_settling_steps(),
    *_description_steps(),
    *_checks(),
    *_answers(),
    *_in_use_or_taken(),
]

_CONDUCTS = list(_conducts())

CASES = [*_FAULTS, *_CONDUCTS]
MORE_CASES = [
    *(replace(case, keyed=False) for case in _FAULTS),
    # With more than one try, the script of a try counts on what the one before left in the store.
    *(replace(case, fresh=True) for case in CASES if len(case.tries) == 1),
]
"""The same without idempotency keys, and with every try at another instance."""

EVERY_FAULT = [(case, store) for store in STORES for case in [*CASES, *MORE_CASES]]
"""Every case with every store: `pytest --every-fault`."""


def _every_run() -> Iterator[tuple[Case, str]]:
    """Yield each fault with one store, and each kind of bad cloud.

    What handles a fault knows of a store only whether other instances share it and whether it outlives the
    process, and all three pass the same contract in tests/stores. So the stores take turns, and only a killed
    process is tried with both kinds. How the cloud behaves does not depend on the store: its faults take
    the stores in turn too, and one in four is repeated without an idempotency key.
    """
    memory, *shared = STORES
    for number, case in enumerate(_FAULTS):
        if case.deadly or number % 2 == 0:
            yield case, memory
        if case.deadly or number % 2 == 1:
            yield case, shared[number // 2 % len(shared)]
    keyed, unkeyed = ([case for case in _CONDUCTS if case.keyed is wanted] for wanted in (True, False))
    for number, case in enumerate(keyed):
        yield case, STORES[number % len(STORES)]
    # The faults are four: each fifth case is another one of the next conduct.
    for number, case in enumerate(unkeyed[::5]):
        yield case, STORES[number % len(STORES)]


MATRIX = sorted(_every_run(), key=lambda row: STORES.index(row[1]))
"""What every run tries."""
