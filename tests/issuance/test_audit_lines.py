"""The audit lines of one order: what each says, and why it failed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handler.cloud.cvm import Cvm
from handler.errors import OutcomeUnknown, StoreUnavailable
from handler.store.memory import MemoryStore
from tests.support.function_under_test import REST, with_parts
from tests.support.instances import LOST, REFUSED, Fault, Instances, Request, connected, issued, refused
from tests.support.key_pairs_in_cloud import left

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.cloud.cvm import CreatedKeyPair, KeyPairSummary
    from tests.support.function_under_test import FunctionUnderTest

TAKEN: Fault = {"kind": "error", "code": "InvalidKeyPairName.Duplicate"}
CUT: Fault = {"kind": "cut"}
"""The create takes effect, and its answer is lost."""


def told(function: FunctionUnderTest) -> list[tuple[str, str | None]]:
    return [(line["decision"], line["reason"]) for line in function.audit_lines()]


def test_an_issue(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    answer = request_.to(function)
    intent, line = function.audit_lines()
    assert (intent["decision"], intent["keyId"], intent["upstreamRequestId"]) == ("intent", None, None)
    assert (line["decision"], line["reason"]) == ("issued", None)
    assert line["keyId"] == issued(answer)
    assert line["fingerprint"] == answer.json["fingerprint"]
    assert len(line["upstreamRequestId"]) == len("00000000-0000-0000-0000-000000000000")
    assert line["recipients"] == answer.json["sealedPrivateKey"]["recipients"]


@pytest.mark.parametrize(
    ("faults", "outcome", "lines"),
    [
        (
            [{"kind": "other-name"}],
            (502, "cloud-answer-invalid"),
            [("removed", "left-over"), ("failed", "answer-other-name")],
        ),
        (
            [{**CUT, "times": 3}],
            (502, "cloud-answer-invalid"),
            [*[("removed", "left-over")] * 3, ("failed", "create-never-certain")],
        ),
        ([LOST], (504, "outcome-unknown"), [("unknown", "create-ClientNetworkError")]),
        # The name is reported as taken, and is free: that does not settle the lost create.
        (
            [{**LOST, "times": 1}, {**TAKEN, "times": 2}],
            (504, "outcome-unknown"),
            [("unknown", "create-ClientNetworkError")],
        ),
        ([REFUSED], (422, "project-not-found"), [("refused", "project-not-found")]),
        (
            [CUT, REFUSED],
            (422, "project-not-found"),
            [("removed", "left-over"), ("refused", "project-not-found")],
        ),
    ],
)
def test_a_create_that_fails(
    instances: Instances,
    request_: Request,
    faults: list[Fault],
    outcome: tuple[int, str],
    lines: list[tuple[str, str]],
) -> None:
    instances.emulator.add_faults(*faults)
    function = instances.instance()
    assert refused(request_.to(function)) == outcome
    assert told(function) == [("intent", None), *lines]
    assert left(instances.emulator) == []


def test_a_former_try_is_settled_only_by_what_is_found(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    instances.emulator.add_faults(LOST, REFUSED)
    assert refused(request_.to(function))[0] == 504
    function.forget_audit()
    # Nothing is found, so that create may still take effect, whatever becomes of this one.
    assert refused(request_.to(function)) == (504, "outcome-unknown")
    assert told(function) == [("intent", None), ("unknown", "former-try-unsettled")]


def test_a_former_try_whose_key_pair_was_removed_is_settled(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    described_badly: Fault = {"action": "DescribeKeyPairs", "kind": "cut", "times": 99}
    instances.emulator.add_faults(CUT, described_badly)
    assert refused(request_.to(function))[0] == 504
    instances.emulator.control("DELETE", "/faults")
    instances.emulator.add_faults(REFUSED)
    function.forget_audit()
    assert refused(request_.to(function)) == (422, "project-not-found")
    assert told(function) == [("removed", "left-over"), ("intent", None), ("refused", "project-not-found")]


def test_a_refusal_leaves_nothing_to_settle(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    for _ in range(2):
        instances.emulator.add_faults(REFUSED)
        assert refused(request_.to(function)) == (422, "project-not-found")
    assert told(function) == [("intent", None), ("refused", "project-not-found")] * 2


class FullStore(MemoryStore):
    """A store that takes no mark of a holder while `full`."""

    full = False

    def add(self, key: str, value: str, ttl: float) -> bool:
        if self.full and key.startswith("holder:"):
            raise StoreUnavailable("full")
        return super().add(key, value, ttl)


@pytest.mark.parametrize(
    ("former", "outcome", "reason"),
    [(False, (503, "store-unavailable"), "full"), (True, (504, "outcome-unknown"), "former-try-unsettled")],
)
def test_a_store_that_fails_before_the_create(
    instances: Instances,
    request_: Request,
    *,
    former: bool,
    outcome: tuple[int, str],
    reason: str,
) -> None:
    function = instances.instance()
    store = FullStore(instances.clock.clock())
    services = function.services
    ledger = replace(services.issuer.ledger, store=store)
    function.services = with_parts(services, issuer=replace(services.issuer, ledger=ledger))
    if former:
        instances.emulator.add_faults(LOST)
        request_.to(function)
        function.forget_audit()
    before = function.create_calls()
    store.full = True
    assert refused(request_.to(function)) == outcome
    assert told(function)[-1] == ("unknown" if former else "failed", reason)
    assert function.create_calls() == before


class Invisible(Cvm):
    """A cloud that finds no key pair by its id."""

    def find_key_pair(self, key_id: str) -> KeyPairSummary | None:  # noqa: ARG002  # whichever it is
        return None


class Silent(Cvm):
    """A cloud that does not say what it finds by an id."""

    def find_key_pair(self, key_id: str) -> KeyPairSummary | None:  # noqa: ARG002  # whichever it is
        raise OutcomeUnknown("describe-ClientNetworkError")


@pytest.mark.parametrize(
    ("cloud", "reason"),
    [
        (Invisible, "release-not-visible"),
        (Silent, "describe-ClientNetworkError"),
    ],
)
def test_a_release_that_cannot_be_read_back(
    instances: Instances, request_: Request, cloud: type[Cvm], reason: str
) -> None:
    function = instances.instance()
    function.services = connected(instances, function, cloud)
    assert refused(request_.to(function)) == (503, "cloud-unreachable")
    assert told(function) == [("intent", None), ("removed", "left-over"), ("failed", reason)]
    assert left(instances.emulator) == []


def test_with_a_shared_store_only_an_expiry_is_read_back(instances: Instances) -> None:
    function = instances.instance(store=instances.shared_store)
    function.services = connected(instances, function, Invisible)
    assert function.call(function.signed(REST, function.rest_body())).status == 201
    lasting = function.call(function.signed(REST, function.rest_body(expiresIn="1d")))
    assert refused(lasting) == (503, "cloud-unreachable")


def test_a_key_pair_that_fails_a_check_is_removed_though_it_is_seen_late(
    instances: Instances, request_: Request
) -> None:
    instances.emulator.behave(lag={"filter": 3})
    instances.emulator.add_faults({"kind": "weak"})
    function = instances.instance()
    assert refused(request_.to(function)) == (502, "cloud-answer-invalid")
    assert told(function)[1] == ("removed", "left-over")
    assert left(instances.emulator) == []


class Interrupting(Cvm):
    """A cloud during whose create the process is told to end."""

    def create_key_pair(self, name: str, project_id: int, tags: Mapping[str, str]) -> CreatedKeyPair:
        super().create_key_pair(name, project_id, tags)
        raise KeyboardInterrupt


def test_after_an_interrupt_the_next_try_settles_it(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    sound = function.services
    function.services = connected(instances, function, Interrupting)
    with pytest.raises(KeyboardInterrupt):
        request_.to(function)
    function.services = sound
    function.forget_audit()
    assert [issued(request_.to(function))] == left(instances.emulator)
    assert told(function) == [("removed", "left-over"), ("intent", None), ("issued", None)]
