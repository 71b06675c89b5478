"""Ownership tags: only the function can write a tag that makes it delete a key pair."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handler.auth.master_secret import MasterSecrets
from handler.issuance.cleanup import ORPHAN_AGE
from handler.issuance.idempotency import State, StoredRecord
from handler.issuance.ownership_tags import OwnershipTag, TagSigner
from handler.order import ANSWER_TTL, KeyPairOrder
from tests.issuance.test_sweeper import create, describe, left, lines, make, swept, utc
from tests.support.function_under_test import (
    MASTER,
    OTHER_MASTER,
    PREVIOUS_MASTER,
    RECIPIENT,
    REGION,
    REST,
    FunctionUnderTest,
    caller_secret,
    fresh_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcfromtimestamp:DeprecationWarning")

TAG = OwnershipTag("c" * 32, "d" * 32, "a" * 32)
OTHER = "0123456789abcdef" * 2
SIGNER = TagSigner(MasterSecrets([MASTER]))
NAME, EXPIRES = "build_1", "2026-11-24T12:00:00Z"


# The tag alone.


@pytest.mark.parametrize("expires", [None, EXPIRES])
def test_a_written_tag_is_read(expires: str | None) -> None:
    text = SIGNER.write(TAG, NAME, expires)
    assert text.startswith(f"{TAG.record_id}.{TAG.order}.{TAG.holder}.")
    assert len(text) == 131  # of the 255 characters of a tag's value
    assert SIGNER.read(text, NAME, expires) == TAG


def test_the_code_is_an_hmac_over_every_field() -> None:
    text = f"mark:\n{TAG.record_id}\n{TAG.order}\n{TAG.holder}\n{NAME}\n{EXPIRES}"
    code = hmac.new(MASTER, text.encode(), hashlib.sha256).hexdigest()[:32]
    assert SIGNER.write(TAG, NAME, EXPIRES).split(".")[3] == code


def test_a_caller_secret_cannot_sign_a_tag() -> None:
    """Caller secrets are derived from the same master secret, but tags made with them are invalid."""
    own = TagSigner(MasterSecrets([caller_secret("demo").encode()]))
    assert SIGNER.read(own.write(TAG, NAME, None), NAME, None) is None


def test_every_digit_is_verified() -> None:
    text = SIGNER.write(TAG, NAME, EXPIRES)
    for position, digit in enumerate(text):
        if digit == ".":
            continue
        changed = text[:position] + ("0" if digit != "0" else "1") + text[position + 1 :]
        assert SIGNER.read(changed, NAME, EXPIRES) is None, position


@pytest.mark.parametrize(
    ("name", "expires"),
    [
        ("build_2", EXPIRES),
        ("Build_1", EXPIRES),
        ("", EXPIRES),
        (NAME, None),
        (NAME, ""),
        (NAME, "2026-11-24T12:00:01Z"),
        (f"{NAME}\n{EXPIRES}", None),
    ],
)
def test_a_tag_is_valid_for_one_name_and_expiry(name: str, expires: str | None) -> None:
    assert SIGNER.read(SIGNER.write(TAG, NAME, EXPIRES), name, expires) is None


def test_an_expiry_cannot_be_added() -> None:
    assert SIGNER.read(SIGNER.write(TAG, NAME, None), NAME, EXPIRES) is None


WRITTEN = SIGNER.write(TAG, NAME, None)


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
def test_malformed_tags_are_refused(text: str) -> None:
    assert SIGNER.read(text, NAME, None) is None


def test_a_rotation_reads_both_and_writes_the_new_one() -> None:
    before, during, after = (
        TagSigner(MasterSecrets([PREVIOUS_MASTER])),
        TagSigner(MasterSecrets([MASTER, PREVIOUS_MASTER])),
        TagSigner(MasterSecrets([MASTER])),
    )
    old = before.write(TAG, NAME, None)
    new = during.write(TAG, NAME, None)
    assert new != old
    assert (during.read(old, NAME, None), during.read(new, NAME, None)) == (TAG, TAG)
    assert (after.read(old, NAME, None), after.read(new, NAME, None)) == (None, TAG)
    assert before.read(new, NAME, None) is None


def test_same_order() -> None:
    assert TAG.same_order(replace(TAG, holder=OTHER))
    assert not TAG.same_order(replace(TAG, record_id=OTHER))
    assert not TAG.same_order(replace(TAG, order=OTHER))


# What somebody reaches who may set tags, and nothing else.


@pytest.fixture
def function(function: FunctionUnderTest) -> FunctionUnderTest:
    # The cloud's key pairs carry the true time.
    function.clock.time = float(int(time.time()))
    return function


def tagged(order: str, expires: str | None = None) -> dict[str, str]:
    made = {"keypair-function:order": order, "keypair-function:caller": "demo"}
    return made if expires is None else {**made, "keypair-function:expires": expires}


def put_on(name: str, *, tag: OwnershipTag = TAG, expires: str | None = None) -> str:
    return SIGNER.write(tag, name, expires)


def past() -> str:
    return utc(time.time() - 60)


FORGERIES: dict[str, Callable[[str], dict[str, str]]] = {
    "no code": lambda _: tagged(f"{TAG.record_id}.{TAG.order}.{TAG.holder}"),
    "a guessed code": lambda _: tagged(f"{TAG.record_id}.{TAG.order}.{TAG.holder}.{OTHER}"),
    "a guessed code, expired": lambda _: tagged(f"{TAG.record_id}.{TAG.order}.{TAG.holder}.{OTHER}", past()),
    "copied from another key pair": lambda _: tagged(put_on(fresh_name())),
    "copied from another key pair, expired": lambda _: tagged(put_on(fresh_name(), expires=past()), past()),
    "an expiry added": lambda name: tagged(put_on(name), past()),
    "an expiry moved forward": lambda name: tagged(put_on(name, expires=utc(time.time() + 9999)), past()),
    "an expiry that is none": lambda name: tagged(put_on(name, expires=past()), "tomorrow"),
    "an expiry taken away": lambda name: tagged(put_on(name, expires=past())),
    "another holder": lambda name: tagged(put_on(name).replace(TAG.holder, OTHER)),
    "another claim": lambda name: tagged(put_on(name).replace(TAG.record_id, OTHER)),
    "another order": lambda name: tagged(put_on(name).replace(TAG.order, OTHER)),
    "with a caller's secret": lambda name: tagged(
        TagSigner(MasterSecrets([caller_secret("demo").encode()])).write(TAG, name, None)
    ),
    "with another master secret": lambda name: tagged(
        TagSigner(MasterSecrets([OTHER_MASTER])).write(TAG, name, None)
    ),
}


def knows(function: FunctionUnderTest, claim: str, state: State = State.UNKNOWN) -> None:
    """Store a record that says that a key pair may have been left behind."""
    record = StoredRecord(state=state, order=TAG.order, holder=TAG.holder, lease_ends=0)
    store = function.services.issuer.ledger.store
    assert store.add(f"claim:{claim}", record.model_dump_json(), 7 * 24 * 3600)


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES.keys())
def test_the_sweeper_leaves_key_pairs_with_a_forged_tag(
    function: FunctionUnderTest, forged: Callable[[str], dict[str, str]]
) -> None:
    name = fresh_name()
    pair = create(function.emulator, forged(name), name)
    genuine = make(function.emulator)
    # The store would have it removed, had the function made it.
    knows(function, TAG.record_id)
    knows(function, OTHER)
    function.clock.time = time.time() + ORPHAN_AGE + 1
    assert swept(function) == {"left": 1, "removed": 1}
    found = [(one["decision"], one["reason"], one["keyId"]) for one in lines(function.audit.getvalue())[1:-1]]
    assert found == [("left", "mark-unreadable", pair[0]), ("removed", "orphan", genuine[0])]
    assert left(function.emulator) == [pair[0]]


def test_the_sweeper_during_and_after_a_rotation(function: FunctionUnderTest) -> None:
    """The function under test has two master secrets."""
    emulator = function.emulator
    pairs = {
        master: make(emulator, signer=TagSigner(MasterSecrets([master])))
        for master in (MASTER, PREVIOUS_MASTER, OTHER_MASTER)
    }
    function.clock.time = time.time() + ORPHAN_AGE + 1
    assert swept(function) == {"left": 1, "removed": 2}
    assert left(emulator) == [pairs[OTHER_MASTER][0]]
    # Neither of its secrets is known any more: an expired one stays as well, and is reported.
    expired = make(emulator, expires=utc(0), signer=TagSigner(MasterSecrets([OTHER_MASTER])))
    assert swept(function) == {"left": 2}
    found = [
        (one["decision"], one["reason"], one["keyId"]) for one in lines(function.audit.getvalue())[-3:-1]
    ]
    assert found == [("left", "mark-unreadable", one[0]) for one in (pairs[OTHER_MASTER], expired)]


def event(function: FunctionUnderTest, name: str) -> dict[str, object]:
    body = function.rest_body(keyName=name)
    return function.signed(REST, body, also_signed={"idempotency-key": '"deploy-1"'})


def request_tag(name: str) -> OwnershipTag:
    """Return the tag of the request in `event`. Its sender can compute all of it except the holder."""
    order = KeyPairOrder(name, REGION, recipients=(str(RECIPIENT.to_public()),))
    claim = hashlib.sha256(b"demo\nkey:deploy-1").hexdigest()[:32]
    return OwnershipTag(claim, order.digest()[:32], OTHER)


def forge(name: str, how: str) -> dict[str, str]:
    tag = request_tag(name)
    return tagged(
        {
            "guessed": f"{tag.record_id}.{tag.order}.{tag.holder}.{OTHER}",
            "copied": SIGNER.write(tag, fresh_name(), None),
            "of another master secret": TagSigner(MasterSecrets([OTHER_MASTER])).write(tag, name, None),
        }[how]
    )


@pytest.mark.parametrize("how", ["guessed", "copied", "of another master secret"])
@pytest.mark.parametrize("seconds", [0, ORPHAN_AGE + 1, ANSWER_TTL + 1])
def test_a_request_cannot_remove_a_foreign_key_pair(
    function: FunctionUnderTest, how: str, seconds: int
) -> None:
    name = fresh_name()
    pair = create(function.emulator, forge(name, how), name)
    function.clock.time = time.time() + seconds
    for _ in range(2):
        answer = function.call(event(function, name))
        assert (answer.status, answer.code) == (409, "name-taken")
    assert left(function.emulator) == [pair[0]]
    assert {one["decision"] for one in function.audit_lines()} == {"intent", "refused"}


@pytest.mark.parametrize("how", ["guessed", "copied", "of another master secret"])
def test_a_retry_with_an_unknown_outcome_cannot_either(function: FunctionUnderTest, how: str) -> None:
    name = fresh_name()
    fault: dict[str, object] = {"kind": "cut", "after": "before", "times": 3}
    function.emulator.add_faults(fault)
    assert function.call(event(function, name)).code == "outcome-unknown"
    pair = create(function.emulator, forge(name, how), name)
    describe(function.emulator, pair[0], "")
    answer = function.call(event(function, name))
    assert (answer.status, answer.code) == (409, "name-taken")
    assert left(function.emulator) == [pair[0]]


@pytest.mark.parametrize("master", [MASTER, PREVIOUS_MASTER])
def test_the_same_key_pair_with_a_genuine_tag_is_removed(function: FunctionUnderTest, master: bytes) -> None:
    """Otherwise the tests above would prove nothing."""
    name = fresh_name()
    orphan = make(
        function.emulator, tag=request_tag(name), name=name, signer=TagSigner(MasterSecrets([master]))
    )
    answer = function.call(event(function, name))
    assert (answer.status, answer.code) == (409, "request-in-flight")
    function.clock.time = time.time() + ORPHAN_AGE + 1
    answer = function.call(event(function, name))
    assert answer.status == 201
    assert left(function.emulator) == [answer.json["keyId"]]
    assert answer.json["keyId"] != orphan[0]
