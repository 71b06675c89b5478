"""Ownership tags: nobody but the function writes some that make it remove a key pair."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import replace
from datetime import datetime, timezone
from random import Random
from typing import TYPE_CHECKING

import pytest

from handler.auth.master_secret import MasterSecrets
from handler.issuance import stored_json
from handler.issuance.cleanup import LAG_SECONDS, ORPHAN_AGE
from handler.issuance.idempotency import State, StoredRecord
from handler.issuance.ownership_tags import ALPHABET, HOLDER_DIGITS, OwnershipTag, TagSigner, whole_minutes
from handler.order import ANSWER_TTL
from tests.support.former_tags import FormerSigner, FormerTag, former_tags
from tests.support.function_under_test import (
    MASTER,
    OTHER_MASTER,
    PREVIOUS_MASTER,
    REST,
    FunctionUnderTest,
    base64url,
    caller_secret,
    fresh_name,
)
from tests.support.key_pairs_in_cloud import create, describe, left, lines, make, swept, utc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcfromtimestamp:DeprecationWarning")

NAME = "build_1"
EXPIRES = datetime(2026, 11, 24, 12, 5, tzinfo=timezone.utc)
TAG = OwnershipTag("demo", "abcdefg", EXPIRES)
FOREVER = replace(TAG, expires_at=None)
SIGNER = TagSigner(MasterSecrets([MASTER]))
DIGITS = [f"keypair-function:mark-{position:02}" for position in range(1, 16)]

FORMER = FormerTag("c" * 32, "d" * 32, "a" * 32)
FORMER_SIGNER = FormerSigner([MASTER])
OTHER = "0123456789abcdef" * 2


# The tags alone.


@pytest.mark.parametrize("tag", [TAG, FOREVER])
def test_what_was_written_is_read(tag: OwnershipTag) -> None:
    tags = SIGNER.write(tag, NAME)
    assert SIGNER.read(tags, NAME) == tag
    assert SIGNER.read({**tags, "team": "core"}, NAME) == tag


def test_the_code_is_an_hmac_over_everything_that_the_tags_say() -> None:
    digest = hmac.new(
        MASTER, f"own:\ndemo\nabcdefg\n{NAME}\n2026-11-24T12:05Z".encode(), hashlib.sha256
    ).digest()
    number = int.from_bytes(digest, "big")
    code = "".join(ALPHABET[number >> 5 * position & 31] for position in range(8))
    tags = SIGNER.write(TAG, NAME)
    assert "".join(tags[key] for key in DIGITS) == "abcdefg" + code


def test_the_expiry_is_readable() -> None:
    tags = SIGNER.write(TAG, NAME)
    parts = ["month", "day", "hour", "minute"]
    assert [tags[f"keypair-function:expires-{part}"] for part in parts] == ["2026-11", "24", "12", "05"]
    assert tags["keypair-function:caller"] == "demo"


@pytest.mark.slow
def test_five_thousand_key_pairs_need_fewer_than_a_thousand_values() -> None:
    """Tags outlive key pairs, and an account has a quota of them."""
    random = Random(7)  # noqa: S311  # only numbers to count with
    values: set[tuple[str, str]] = set()
    growth = []
    for number in range(5000):
        holder = "".join(random.choice(ALPHABET) for _ in range(HOLDER_DIGITS))
        expires = whole_minutes(1_795_521_600 + random.random() * 365 * 86400)
        values |= SIGNER.write(OwnershipTag(f"caller-{number % 10}", holder, expires), f"k_{number}").items()
        growth.append(len(values))
    assert growth[-1] < 1000
    assert growth[-1] == growth[1000]


@pytest.mark.parametrize(
    ("seconds", "minute"), [(0.0, 0), (0.001, 1), (59.0, 1), (60.0, 1), (60.001, 2), (61.0, 2)]
)
def test_an_expiry_is_never_early(seconds: float, minute: int) -> None:
    assert whole_minutes(seconds) == datetime(1970, 1, 1, 0, minute, tzinfo=timezone.utc)


def test_what_callers_hold_makes_no_code() -> None:
    """A caller's secret comes from the same master secret; nothing that is made with it counts."""
    own = TagSigner(MasterSecrets([caller_secret("demo").encode()]))
    assert SIGNER.read(own.write(TAG, NAME), NAME) is None


@pytest.mark.parametrize("key", [*DIGITS, *SIGNER.write(TAG, NAME)])
def test_every_tag_counts(key: str) -> None:
    tags = SIGNER.write(TAG, NAME)
    other = {"month": "2026-12", "caller": "second"}.get(
        key.rpartition("-")[2].rpartition(":")[2], "23"[tags[key] == "2"]
    )
    assert SIGNER.read({**tags, key: other}, NAME) is None
    assert SIGNER.read({name: value for name, value in tags.items() if name != key}, NAME) is None


@pytest.mark.parametrize("name", ["build_2", "Build_1", "", f"{NAME}\n", "demo"])
def test_they_stand_for_one_name(name: str) -> None:
    assert SIGNER.read(SIGNER.write(TAG, NAME), name) is None


def test_an_expiry_can_be_neither_added_nor_removed() -> None:
    with_expiry, without = SIGNER.write(TAG, NAME), SIGNER.write(FOREVER, NAME)
    expiry = {key: value for key, value in with_expiry.items() if ":expires-" in key}
    assert len(expiry) == 4
    assert SIGNER.read({**without, **expiry}, NAME) is None
    assert SIGNER.read({key: value for key, value in with_expiry.items() if key not in expiry}, NAME) is None


@pytest.mark.parametrize("value", ["", "ab", "A", "0", "\uff41"])
def test_no_other_digit_is_read(value: str) -> None:
    assert SIGNER.read({**SIGNER.write(TAG, NAME), DIGITS[3]: value}, NAME) is None


def test_a_rotation_reads_both_and_writes_the_new_one() -> None:
    before = TagSigner(MasterSecrets([PREVIOUS_MASTER]))
    during = TagSigner(MasterSecrets([MASTER, PREVIOUS_MASTER]))
    after = TagSigner(MasterSecrets([MASTER]))
    old, new = before.write(TAG, NAME), during.write(TAG, NAME)
    assert new != old
    assert (during.read(old, NAME), during.read(new, NAME)) == (TAG, TAG)
    assert (after.read(old, NAME), after.read(new, NAME)) == (None, TAG)
    assert before.read(new, NAME) is None


# The tag that version 0.1 wrote.


FORMER_EXPIRES = "2026-11-24T12:00:00Z"
WRITTEN = FORMER_SIGNER.write(FORMER, NAME, None)


@pytest.mark.parametrize("expires", [None, FORMER_EXPIRES])
def test_a_former_tag_is_read(expires: str | None) -> None:
    expected = OwnershipTag(
        "demo",
        FORMER.holder,
        None if expires is None else datetime(2026, 11, 24, 12, tzinfo=timezone.utc),
        FORMER.claim,
    )
    tags = former_tags(FORMER_SIGNER.write(FORMER, NAME, expires), expires)
    assert SIGNER.read(tags, NAME) == expected


def test_every_digit_of_a_former_tag_counts() -> None:
    for position, digit in enumerate(WRITTEN):
        if digit != ".":
            changed = WRITTEN[:position] + ("0" if digit != "0" else "1") + WRITTEN[position + 1 :]
            assert SIGNER.read(former_tags(changed), NAME) is None, position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mine",
        WRITTEN.upper(),
        WRITTEN + "\n",
        " " + WRITTEN,
        WRITTEN + ".",
        WRITTEN[:-1],
        WRITTEN + "0",
        WRITTEN.rpartition(".")[0],
        WRITTEN.rpartition(".")[0] + ".",
        WRITTEN.replace(".", "-"),
        WRITTEN.replace("c", "с"),  # noqa: RUF001  # the Cyrillic letter is the point
        "".join(chr(0xFF10 + int(sign)) if sign.isdigit() else sign for sign in WRITTEN),
    ],
)
def test_no_other_former_form_is_read(text: str) -> None:
    assert SIGNER.read(former_tags(text), NAME) is None


# What somebody reaches who may set tags, and nothing else.


@pytest.fixture
def function(function: FunctionUnderTest) -> FunctionUnderTest:
    # The cloud's key pairs carry the true time.
    function.clock.time = float(int(time.time()))
    return function


def put_on(name: str, *, tag: OwnershipTag = FOREVER) -> dict[str, str]:
    return SIGNER.write(tag, name)


def expired(name: str) -> dict[str, str]:
    return SIGNER.write(replace(TAG, expires_at=whole_minutes(time.time() - 120)), name)


def expiry_of(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if ":expires-" in key}


FORGERIES: dict[str, Callable[[str], dict[str, str]]] = {
    "no code": lambda name: {key: put_on(name)[key] for key in ["keypair-function:caller", *DIGITS[:7]]},
    "a guessed code": lambda name: {**put_on(name), **dict.fromkeys(DIGITS[7:], "a")},
    "a guessed code, expired": lambda name: {**expired(name), **dict.fromkeys(DIGITS[7:], "a")},
    "copied from another key pair": lambda _: put_on(fresh_name()),
    "copied from another key pair, expired": lambda _: expired(fresh_name()),
    "an expiry added": lambda name: {**put_on(name), **expiry_of(expired(name))},
    "an expiry moved forward": lambda name: {**SIGNER.write(TAG, name), **expiry_of(expired(name))},
    "an expiry that is none": lambda name: {**expired(name), "keypair-function:expires-hour": "25"},
    "another holder": lambda name: {**put_on(name), DIGITS[0]: "z"},
    "another caller": lambda name: {**put_on(name), "keypair-function:caller": "second"},
    "with a caller's secret": lambda name: TagSigner(MasterSecrets([caller_secret("demo").encode()])).write(
        FOREVER, name
    ),
    "with another master secret": lambda name: TagSigner(MasterSecrets([OTHER_MASTER])).write(FOREVER, name),
    "former, without a code": lambda _: former_tags(f"{FORMER.claim}.{FORMER.order}.{FORMER.holder}"),
    "former, guessed": lambda _: former_tags(f"{FORMER.claim}.{FORMER.order}.{FORMER.holder}.{OTHER}"),
    "former, copied": lambda _: former_tags(FORMER_SIGNER.write(FORMER, fresh_name(), None)),
    "former, an expiry added": lambda name: former_tags(
        FORMER_SIGNER.write(FORMER, name, None), utc(time.time() - 60)
    ),
    "former, an expiry that is none": lambda name: former_tags(
        FORMER_SIGNER.write(FORMER, name, None), "tomorrow"
    ),
    "former, another holder": lambda name: former_tags(
        FORMER_SIGNER.write(FORMER, name, None).replace(FORMER.holder, OTHER)
    ),
    "former, another master secret": lambda name: former_tags(
        FormerSigner([OTHER_MASTER]).write(FORMER, name, None)
    ),
}


def knows(function: FunctionUnderTest, claim: str, state: State = State.UNKNOWN) -> None:
    """Let the store say of a claim that it left something behind."""
    record = StoredRecord(state=state, order=FORMER.order, holder=FORMER.holder, lease_ends=0)
    store = function.services.issuer.ledger.store
    assert store.add(f"claim:{claim}", stored_json.dump(record), 7 * 24 * 3600)


@pytest.mark.slow
@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES.keys())
def test_the_sweeper_leaves_key_pairs_with_forged_tags(
    function: FunctionUnderTest, forged: Callable[[str], dict[str, str]]
) -> None:
    name = fresh_name()
    pair = create(function.emulator, forged(name), name)
    genuine = make(function.emulator)
    # The store would have it removed, had the function made it.
    knows(function, FORMER.claim)
    knows(function, OTHER)
    function.clock.time = time.time() + ORPHAN_AGE + 1
    assert swept(function) == {"foreign": 1, "removed": 1}
    found = [(one["decision"], one["reason"], one["keyId"]) for one in lines(function.audit.getvalue())[1:-1]]
    assert found == [("removed", "orphan", genuine[0])]
    assert left(function.emulator) == [pair[0]]


def test_the_sweeper_during_and_after_a_rotation(function: FunctionUnderTest) -> None:
    """The function under test has two master secrets."""
    emulator = function.emulator
    pairs = {
        master: make(emulator, signer=FormerSigner([master]))
        for master in (MASTER, PREVIOUS_MASTER, OTHER_MASTER)
    }
    name = fresh_name()
    create(emulator, TagSigner(MasterSecrets([PREVIOUS_MASTER])).write(FOREVER, name), name)
    function.clock.time = time.time() + ORPHAN_AGE + 1
    assert swept(function) == {"foreign": 1, "removed": 3}
    assert left(emulator) == [pairs[OTHER_MASTER][0]]
    # Neither of its secrets is known any more, so an expired one stays as well.
    make(emulator, expires=utc(0), signer=FormerSigner([OTHER_MASTER]))
    assert swept(function) == {"foreign": 2}


def test_a_retired_secret_recognises_key_pairs_and_signs_nothing(
    function: FunctionUnderTest, tmp_path: Path
) -> None:
    """After a leak: as PREVIOUS the secret would still let anybody sign who has it."""
    retired = FunctionUnderTest(
        function.emulator,
        tmp_path / "retired.json",
        settings={"KEYPAIR_RETIRED_MASTER_SECRETS": f"{base64url(OTHER_MASTER)},{base64url(b'x' * 32)}"},
        clock=function.clock,
    )
    name = fresh_name()
    create(function.emulator, TagSigner(MasterSecrets([OTHER_MASTER])).write(FOREVER, name), name)
    assert retired.call(retired.signed(REST, master=OTHER_MASTER)).status == 401
    function.clock.time = time.time() + ORPHAN_AGE + 1
    assert swept(function) == {"foreign": 1}
    assert swept(retired) == {"removed": 1}


def event(function: FunctionUnderTest, name: str) -> dict[str, object]:
    body = function.rest_body(keyName=name)
    return function.signed(REST, body, also_signed={"idempotency-key": '"deploy-1"'})


def forge(name: str, how: str) -> dict[str, str]:
    return {
        "guessed": {**put_on(name), **dict.fromkeys(DIGITS[7:], "a")},
        "copied": put_on(fresh_name()),
        "of another master secret": TagSigner(MasterSecrets([OTHER_MASTER])).write(FOREVER, name),
    }[how]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["guessed", "copied", "of another master secret"])
@pytest.mark.parametrize(
    ("seconds", "code"),
    # At first, a tag that would make the code right may not be visible yet.
    [
        (0, "request-in-flight"),
        (LAG_SECONDS + 1, "name-taken"),
        (ORPHAN_AGE + 1, "name-taken"),
        (ANSWER_TTL + 1, "name-taken"),
    ],
)
def test_a_request_does_not_get_the_key_pair_of_somebody_else_removed(
    function: FunctionUnderTest, how: str, seconds: int, code: str
) -> None:
    name = fresh_name()
    pair = create(function.emulator, forge(name, how), name)
    function.clock.time = time.time() + seconds
    for _ in range(2):
        answer = function.call(event(function, name))
        assert (answer.status, answer.code) == (409, code)
    assert left(function.emulator) == [pair[0]]
    assert {one["decision"] for one in function.audit_lines()} == {"intent", "refused"}


@pytest.mark.parametrize("how", ["guessed", "copied", "of another master secret"])
def test_nor_does_a_retry_that_has_something_to_settle(function: FunctionUnderTest, how: str) -> None:
    name = fresh_name()
    fault: dict[str, object] = {"kind": "cut", "after": "before", "times": 3}
    function.emulator.add_faults(fault)
    assert function.call(event(function, name)).code == "outcome-unknown"
    pair = create(function.emulator, forge(name, how), name)
    describe(function.emulator, pair[0], "")
    for later, code in (0, "request-in-flight"), (LAG_SECONDS + 1, "name-taken"):
        function.clock.time = time.time() + later
        answer = function.call(event(function, name))
        assert (answer.status, answer.code) == (409, code)
    assert left(function.emulator) == [pair[0]]


@pytest.mark.parametrize("master", [MASTER, PREVIOUS_MASTER])
@pytest.mark.parametrize("former", [False, True])
def test_the_same_key_pair_with_genuine_tags_is_removed(
    function: FunctionUnderTest,
    master: bytes,
    former: bool,  # noqa: FBT001  # pytest hands it over by name
) -> None:
    """Otherwise the tests above would prove nothing."""
    name = fresh_name()
    orphan = (
        make(function.emulator, tag=FORMER, name=name, signer=FormerSigner([master]))
        if former
        else create(function.emulator, TagSigner(MasterSecrets([master])).write(FOREVER, name), name)
    )
    answer = function.call(event(function, name))
    assert (answer.status, answer.code) == (409, "request-in-flight")
    function.clock.time = time.time() + ORPHAN_AGE + 1
    answer = function.call(event(function, name))
    assert answer.status == 201
    assert left(function.emulator) == [answer.json["keyId"]]
    assert answer.json["keyId"] != orphan[0]
