"""How a retry treats an existing key pair: released, left over or unclear."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pyrage
import pytest

from handler.cloud.cvm import Cvm
from handler.errors import OutcomeUnknown
from handler.issuance.cleanup import ORPHAN_AGE, RELEASED
from handler.issuance.sweeper import NOTICE_DAYS
from handler.order import ANSWER_TTL
from handler.scf.invocation import MAX_INVOCATION_SECONDS
from tests.support.function_under_test import (
    POLICY,
    fresh_name,
)
from tests.support.instances import (
    LOST,
    REFUSED,
    Fault,
    Instances,
    Request,
    connected,
    issued,
    last_line,
    orphan,
    refused,
)
from tests.support.key_pairs_in_cloud import create, describe, left, swept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.cloud.cvm import CreatedKeyPair, KeyPairSummary
    from handler.scf.invocation import Credentials, Deadline

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcfromtimestamp:DeprecationWarning"),
]


# Another instance that does not share the store.


@pytest.mark.parametrize("seconds", [1000, ANSWER_TTL - 1, ANSWER_TTL, ANSWER_TTL + 1, 30 * ANSWER_TTL])
def test_a_released_key_pair_stays(instances: Instances, request_: Request, seconds: int) -> None:
    key_id = issued(request_.to(instances.instance()))
    assert [pair["Description"] for pair in instances.emulator.key_pairs()] == [RELEASED]
    instances.aged(seconds)
    second = instances.instance()
    for _ in range(2):
        assert refused(request_.to(second)) == (409, "name-taken")
    assert left(instances.emulator) == [key_id]
    assert swept(second) == {}
    assert left(instances.emulator) == [key_id]


def test_what_was_just_released_is_taken_at_once(instances: Instances, request_: Request) -> None:
    key_id = issued(request_.to(instances.instance()))
    assert refused(request_.to(instances.instance())) == (409, "name-taken")
    assert left(instances.emulator) == [key_id]


def test_an_orphan_is_left_while_its_maker_may_be_running(instances: Instances, request_: Request) -> None:
    key_id = orphan(instances, request_)
    second = instances.instance()
    for seconds in (0, 1, ORPHAN_AGE - 1):
        instances.aged(seconds)
        assert refused(request_.to(second)) == (409, "request-in-flight")
        assert left(instances.emulator) == [key_id]
        assert swept(second) == {}
    assert left(instances.emulator) == [key_id]


@pytest.mark.parametrize("seconds", [ORPHAN_AGE, ANSWER_TTL - 1])
def test_an_old_orphan_is_removed_and_a_new_key_pair_issued(
    instances: Instances, request_: Request, seconds: int
) -> None:
    key_id = orphan(instances, request_)
    instances.aged(seconds)
    second = instances.instance()
    answer = request_.to(second)
    assert [issued(answer)] == left(instances.emulator)
    assert issued(answer) != key_id
    assert [(one["decision"], one["reason"]) for one in second.audit_lines()] == [
        ("intent", None),
        ("removed", "left-over"),
        ("issued", None),
    ]
    assert second.audit_lines()[1]["keyId"] == key_id


def test_an_orphan_older_than_a_day_is_left(instances: Instances, request_: Request) -> None:
    key_id = orphan(instances, request_)
    instances.aged(ANSWER_TTL)
    second = instances.instance()
    assert refused(request_.to(second)) == (409, "name-taken")
    assert swept(second) == {"left": 1}
    assert second.audit_lines()[-2]["reason"] == "orphan-announced"
    assert left(instances.emulator) == [key_id]


def test_the_same_order_without_a_key_settles_an_unknown_outcome_at_once(instances: Instances) -> None:
    request = Request(fresh_name(), idempotency_key=None)
    function = instances.instance()
    key_id = orphan(instances, request, function)
    instances.clock.time += 1
    new = issued(request.to(function))
    assert new != key_id
    assert left(instances.emulator) == [new]


def test_elsewhere_it_works_once_the_maker_is_gone(instances: Instances) -> None:
    request = Request(fresh_name(), idempotency_key=None)
    key_id = orphan(instances, request)
    other = instances.instance()
    instances.aged(ORPHAN_AGE - 1)
    assert refused(request.to(other)) == (409, "request-in-flight")
    assert left(instances.emulator) == [key_id]
    instances.aged(ORPHAN_AGE)
    assert [issued(request.to(other))] == left(instances.emulator)


def test_another_caller_gets_the_name_of_an_orphan_once_its_maker_has_ended(
    instances: Instances, request_: Request
) -> None:
    function = instances.instance()
    key_id = orphan(instances, request_, function)
    other = replace(request_, caller="second", idempotency_key="deploy-2")
    instances.aged(ORPHAN_AGE - 1)
    assert refused(other.to(function)) == (409, "name-taken")
    assert left(instances.emulator) == [key_id]
    instances.aged(ORPHAN_AGE)
    assert [issued(other.to(function))] == left(instances.emulator)


# The description was cleared by hand.


def test_a_cleared_description_does_not_matter_while_the_record_exists(
    instances: Instances, request_: Request
) -> None:
    function = instances.instance()
    answer = request_.to(function)
    describe(instances.emulator, issued(answer), "")
    for seconds in (ORPHAN_AGE, ANSWER_TTL - 1):
        instances.aged(seconds)
        assert swept(function) == {}
        assert request_.to(function).body == answer.body
    assert [issued(answer)] == left(instances.emulator)


@pytest.mark.parametrize("seconds", [ORPHAN_AGE, ANSWER_TTL - 1])
def test_a_cleared_description_does_not_free_the_name_for_other_requests(
    instances: Instances, request_: Request, seconds: int
) -> None:
    key_id = issued(request_.to(instances.instance(store=instances.shared_store)))
    describe(instances.emulator, key_id, "")
    instances.aged(seconds)
    function = instances.instance(store=instances.shared_store)
    for other in (
        replace(request_, idempotency_key="deploy-2"),
        replace(request_, idempotency_key=None),
        replace(request_, caller="second"),
    ):
        assert refused(other.to(function)) == (409, "name-taken")
    assert left(instances.emulator) == [key_id]


def test_nothing_is_removed_while_the_record_is_unreadable(instances: Instances, request_: Request) -> None:
    """The key pair is an orphan, but its record, which would show that, is damaged."""
    function = instances.instance()
    key_id = orphan(instances, request_, function)
    (pair,) = instances.emulator.key_pairs()
    tags = {tag["Key"]: tag["Value"] for tag in pair["Tags"]}
    holder = "".join(tags[f"keypair-function:mark-{position:02}"] for position in range(1, 8))
    store = function.services.issuer.ledger.store
    claim_id = store.get(f"holder:{holder}")
    stored = store.get(f"claim:{claim_id}")
    assert stored is not None
    assert store.replace(f"claim:{claim_id}", stored, "not a claim", 7 * ANSWER_TTL)
    instances.aged(ORPHAN_AGE)
    other = replace(request_, caller="second")
    assert refused(other.to(function)) == (504, "outcome-unknown")
    assert last_line(function) == ("unknown", "claim-unreadable")
    assert left(instances.emulator) == [key_id]
    assert store.replace(f"claim:{claim_id}", "not a claim", stored, 7 * ANSWER_TTL)
    assert [issued(other.to(function))] == left(instances.emulator)


def test_after_a_day_a_cleared_description_is_announced_first(
    instances: Instances, request_: Request
) -> None:
    function = instances.instance()
    key_id = issued(request_.to(function))
    describe(instances.emulator, key_id, "")
    instances.aged(ANSWER_TTL + 1)
    # The record is at most a moment younger than the key pair.
    instances.clock.time += 5
    for function_ in (function, instances.instance()):
        assert refused(request_.to(function_)) == (409, "name-taken")
    assert swept(function) == {"left": 1}
    assert function.audit_lines()[-2]["reason"] == "orphan-announced"
    instances.clock.time += (NOTICE_DAYS - 1) * 86400
    assert swept(function) == {}
    assert left(instances.emulator) == [key_id]
    instances.clock.time += 86400
    assert swept(function) == {"removed": 1}


def test_who_holds_the_key_changes_the_notice(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    key_id = issued(request_.to(function))
    describe(instances.emulator, key_id, "")
    instances.aged(ANSWER_TTL + 6)
    assert swept(function) == {"left": 1}
    describe(instances.emulator, key_id, "the build server's")
    instances.clock.time += 30 * 86400
    assert swept(function) == {}
    assert left(instances.emulator) == [key_id]


class Describing(Cvm):
    """Somebody describes the key pair between the listing and what follows."""

    def count_key_pairs(self) -> int:
        for pair in self.tagged_key_pairs():
            self.set_description(pair.key_id, "mine")
        return super().count_key_pairs()


@pytest.mark.parametrize("age", [ORPHAN_AGE + 5, ANSWER_TTL + 5])
def test_a_description_that_comes_meanwhile_counts(instances: Instances, request_: Request, age: int) -> None:
    key_id = orphan(instances, request_)
    instances.aged(age)
    function = instances.instance()

    def connect(credentials: Credentials, region: str, deadline: Deadline) -> Cvm:
        return Describing(
            credentials, region, deadline, jitter=float, endpoint=instances.emulator.cvm_endpoint
        )

    own = function.services
    function.services = replace(own, connect=connect)
    assert swept(function) == {}
    assert [(pair["KeyId"], pair["Description"]) for pair in instances.emulator.key_pairs()] == [
        (key_id, "mine")
    ]


@pytest.mark.parametrize("forged", ["another day", "another key pair's", "a guess"])
def test_nobody_else_writes_a_notice(instances: Instances, request_: Request, forged: str) -> None:
    function = instances.instance()
    key_id = issued(request_.to(function))
    signer = function.services.sweeper.tag_signer
    today = datetime.fromtimestamp(instances.clock.time, timezone.utc).date()
    notice = signer.orphan_notice("skey-00000000" if forged == "another key pair's" else key_id, today)
    assert len(notice) <= 60
    changed = {
        "another day": notice.replace(str(today), "2020-01-01"),
        "another key pair's": notice,
        "a guess": notice[:-1] + "23"[notice.endswith("2")],
    }[forged]
    describe(instances.emulator, key_id, changed)
    instances.clock.time += 30 * 86400
    assert swept(function) == {}
    describe(instances.emulator, key_id, signer.orphan_notice(key_id, today))
    assert swept(function) == {"removed": 1}


# An unknown outcome stays unknown until it is resolved.


def test_a_failure_does_not_resolve_an_unknown_outcome(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    instances.emulator.add_faults(LOST)
    assert refused(request_.to(function)) == (504, "outcome-unknown")
    assert last_line(function) == ("unknown", "create-ClientNetworkError")
    failures: list[Fault] = [
        REFUSED,
        {"kind": "error", "code": "InvalidKeyPair.LimitExceeded"},
        {"kind": "error", "code": "AuthFailure.TokenFailure"},
        {"kind": "throttle", "times": 99},
    ]
    for fault in failures:
        instances.emulator.add_faults(fault)
        assert refused(request_.to(function)) == (504, "outcome-unknown")
        assert last_line(function) == ("unknown", "former-try-unsettled")
        instances.emulator.control("DELETE", "/faults")
    assert left(instances.emulator) == []
    assert [issued(request_.to(function))] == left(instances.emulator)


def test_finding_the_key_pair_resolves_the_outcome(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    orphan(instances, request_, function)
    instances.emulator.add_faults(REFUSED)
    assert refused(request_.to(function)) == (422, "project-not-found")
    assert left(instances.emulator) == []
    # The outcome is certain from now on.
    instances.emulator.add_faults(REFUSED)
    assert refused(request_.to(function)) == (422, "project-not-found")


def test_a_name_taken_by_others_resolves_the_outcome(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    instances.emulator.add_faults(LOST)
    assert refused(request_.to(function)) == (504, "outcome-unknown")
    other = issued(replace(request_, caller="second").to(instances.instance()))
    assert refused(request_.to(function)) == (409, "name-taken")
    assert left(instances.emulator) == [other]
    function.delete_key_pairs()
    instances.emulator.add_faults(REFUSED)
    assert refused(request_.to(function)) == (422, "project-not-found")


def test_a_successful_create_resolves_the_outcome(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    instances.emulator.add_faults(LOST)
    assert refused(request_.to(function)) == (504, "outcome-unknown")
    # The key pair is made, fails a check and is removed.
    instances.emulator.add_faults({"kind": "mismatch"})
    assert refused(request_.to(function)) == (502, "cloud-answer-invalid")
    assert left(instances.emulator) == []


def test_an_unresolved_create_within_one_request(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    instances.emulator.add_faults({**LOST, "times": 1}, REFUSED)
    assert refused(request_.to(function)) == (504, "outcome-unknown")
    assert last_line(function) == ("unknown", "create-ClientNetworkError")
    # A name that is reported as taken but is free does not resolve the earlier call.
    duplicate: Fault = {"kind": "error", "code": "InvalidKeyPairName.Duplicate"}
    instances.emulator.add_faults({**LOST, "times": 1}, duplicate, REFUSED)
    fresh = replace(request_, name=fresh_name(), idempotency_key="deploy-2")
    assert refused(fresh.to(function)) == (504, "outcome-unknown")
    # Without an earlier call the outcome is certain.
    instances.emulator.add_faults(duplicate, REFUSED)
    fresh = replace(request_, name=fresh_name(), idempotency_key="deploy-3")
    assert refused(fresh.to(function)) == (422, "project-not-found")
    # The key pair of the lost call is found.
    instances.emulator.add_faults({"kind": "cut"}, REFUSED)
    fresh = replace(request_, name=fresh_name(), idempotency_key="deploy-4")
    assert refused(fresh.to(function)) == (422, "project-not-found")
    assert left(instances.emulator) == []


def test_a_name_taken_during_the_request_resolves_the_outcome(
    instances: Instances, request_: Request
) -> None:
    function = instances.instance()
    taken: list[str] = []

    class Overtaken(Cvm):
        def create_key_pair(self, name: str, project_id: int, tags: Mapping[str, str]) -> CreatedKeyPair:
            if not taken:
                taken.append("")
                raise OutcomeUnknown("create-ClientNetworkError")
            taken.append(create(instances.emulator, {"team": "core"}, name)[0])
            return super().create_key_pair(name, project_id, tags)

    def connect(credentials: Credentials, region: str, deadline: Deadline) -> Cvm:
        return Overtaken(
            credentials, region, deadline, jitter=float, endpoint=instances.emulator.cvm_endpoint
        )

    sound = function.services
    function.services = replace(sound, connect=connect)
    assert refused(request_.to(function)) == (409, "name-taken")
    assert left(instances.emulator) == taken[1:]


def test_without_a_description_nothing_is_released(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    faults: list[tuple[Fault, tuple[int, str], str]] = [
        ({"kind": "cut", "times": 99}, (503, "cloud-unreachable"), "modify-ClientNetworkError"),
        (
            {"kind": "error", "code": "UnauthorizedOperation.PermissionDenied"},
            (502, "cloud-refused"),
            "modify-UnauthorizedOperation",
        ),
    ]
    for fault, outcome, reason in faults:
        function.forget_audit()
        instances.emulator.add_faults({**fault, "action": "ModifyKeyPairAttribute"})
        assert refused(request_.to(function)) == outcome
        assert [(one["decision"], one["reason"]) for one in function.audit_lines()] == [
            ("intent", None),
            ("removed", "left-over"),
            ("failed", reason),
        ]
        instances.emulator.control("DELETE", "/faults")
        assert left(instances.emulator) == []
    assert [issued(request_.to(function))] == left(instances.emulator)


class BrokenCvm(Cvm):
    """A client with a defect, before or after the call."""

    calls_first = False

    def create_key_pair(self, name: str, project_id: int, tags: Mapping[str, str]) -> CreatedKeyPair:
        if self.calls_first:
            super().create_key_pair(name, project_id, tags)
        raise ZeroDivisionError


class LateBrokenCvm(BrokenCvm):
    calls_first = True


class LazyCvm(Cvm):
    """A cloud that confirms a delete but still lists the key pair."""

    def delete_key_pair(self, key_id: str) -> bool:
        return bool(key_id)


class SlowCvm(Cvm):
    """A cloud in which a listing takes longer than an invocation may."""

    def find_key_pairs(self, name: str) -> list[KeyPairSummary]:
        found = super().find_key_pairs(name)
        self._deadline.clock.sleep(MAX_INVOCATION_SECONDS)
        return found


def test_no_delete_is_begun_without_time(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    function.services = connected(instances, function, SlowCvm)
    instances.emulator.add_faults({"kind": "weak"})
    assert refused(request_.to(function)) == (504, "outcome-unknown")
    assert last_line(function) == ("unknown", "out-of-time")
    assert len(left(instances.emulator)) == 1


def test_a_delete_without_effect_is_detected(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    sound = function.services
    function.services = connected(instances, function, LazyCvm)
    instances.emulator.add_faults({"kind": "weak"})
    assert refused(request_.to(function)) == (504, "outcome-unknown")
    assert last_line(function) == ("unknown", "delete-without-effect")
    assert len(left(instances.emulator)) == 1
    function.services = sound
    assert [issued(request_.to(function))] == left(instances.emulator)


def test_a_leftover_that_an_instance_uses_keeps_its_name(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    key_id = orphan(instances, request_, function)
    instances.emulator.control("POST", f"/key-pairs/{key_id}/bind")
    assert refused(request_.to(function)) == (409, "name-taken")
    assert last_line(function)[1] == "name-in-use"
    instances.emulator.control("DELETE", f"/key-pairs/{key_id}/bind")
    assert issued(request_.to(function)) != key_id


@pytest.mark.parametrize("broken", [BrokenCvm, LateBrokenCvm])
def test_after_a_defect_the_outcome_is_unknown(
    instances: Instances, request_: Request, broken: type[BrokenCvm]
) -> None:
    function = instances.instance()
    sound = function.services
    function.services = connected(instances, function, broken)
    assert refused(request_.to(function)) == (504, "outcome-unknown")
    assert last_line(function) == ("unknown", "internal-fault")
    function.services = sound
    assert [issued(request_.to(function))] == left(instances.emulator)


# The policy changes between a request and its retry.

OTHER = str(pyrage.x25519.Identity.generate().to_public())


def changed(how: str) -> dict[str, Any]:
    policy: dict[str, Any] = json.loads(json.dumps(POLICY))
    if how == "escrow replaced":
        policy["escrow"] = [OTHER]
    elif how == "escrow taken away":
        policy["escrow"] = []
    elif how == "escrow added":
        policy["escrow"].append(OTHER)
    elif how == "registered recipient replaced":
        policy["callers"]["registered"]["recipients"] = [OTHER]
    elif how == "another caller's":
        policy["callers"]["pinned"]["recipients"] = [OTHER]
    return policy


@pytest.mark.parametrize(
    ("how", "given_again"),
    [
        ("escrow replaced", False),
        ("escrow taken away", False),
        ("escrow added", False),
        ("registered recipient replaced", False),
        ("another caller's", True),
        ("nothing", True),
    ],
)
def test_an_answer_is_replayed_only_to_the_current_recipients(
    instances: Instances, how: str, *, given_again: bool
) -> None:
    request = Request(fresh_name(), caller="registered", recipients=None)
    answer = request.to(instances.instance(store=instances.shared_store))
    key_id = issued(answer)
    function = instances.instance(store=instances.shared_store, policy=changed(how))
    again = request.to(function)
    if given_again:
        assert again.event == answer.event
        assert last_line(function) == ("replayed", None)
    else:
        assert refused(again) == (403, "not-granted")
        assert "age-encryption" not in again.body
        (line,) = function.audit_lines()
        assert (line["decision"], line["reason"]) == ("refused", "recipients-changed")
        assert (line["keyId"], line["fingerprint"]) == (key_id, answer.json["fingerprint"])
    assert left(instances.emulator) == [key_id]
    # Under the old policy the answer is replayed again.
    assert request.to(instances.instance(store=instances.shared_store)).event == answer.event
