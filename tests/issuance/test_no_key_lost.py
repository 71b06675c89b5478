"""A cloud that lags, forgets and limits, and clients that send no idempotency key: no key pair is lost."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from handler.auth.master_secret import MasterSecrets
from handler.cloud.cvm import Cvm
from handler.errors import StoreUnavailable
from handler.issuance.cleanup import LAG_SECONDS, ORPHAN_AGE, RELEASED
from handler.issuance.idempotency import HeldRecord
from handler.issuance.ownership_tags import ALPHABET, OwnershipTag, TagSigner, whole_minutes
from handler.order import CALLER_TAG, TAG_PREFIX
from tests.support.emulator_process import running_emulator
from tests.support.function_under_test import (
    MASTER,
    OTHER_MASTER,
    POLICY,
    REGION,
    REST,
    V3,
    TestClock,
    fresh_name,
)
from tests.support.instances import Instances, Request, connected, issued, last_line, orphan, refused
from tests.support.key_pairs_in_cloud import TIMER, account, create, left, lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from handler.cloud.cvm import CreatedKeyPair, KeyPairSummary
    from tests.support.emulator_process import EmulatorProcess
    from tests.support.function_under_test import FunctionUnderTest

SIGNER = TagSigner(MasterSecrets([MASTER]))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcfromtimestamp:DeprecationWarning"),
]


@pytest.fixture
def unkeyed(request_: Request) -> Request:
    return replace(request_, idempotency_key=None)


def delete(emulator: EmulatorProcess, key_id: str) -> None:
    account(emulator).call_json("DeleteKeyPairs", {"KeyIds": [key_id]})


def sweep(function: FunctionUnderTest) -> list[tuple[str, str | None]]:
    """Sweep; return the decisions and reasons between the first line and the last."""
    function.forget_audit()
    assert function.call(TIMER).status == 200
    return [(line["decision"], line["reason"]) for line in lines(function.audit.getvalue())[1:-1]]


# 1. Clients without an idempotency key.


@pytest.mark.parametrize("store", ["same instance", "shared"])
def test_the_same_order_signed_again_gets_the_same_answer(
    instances: Instances, unkeyed: Request, store: str
) -> None:
    where = instances.shared_store if store == "shared" else "memory:"
    first = instances.instance(store=where)
    answer = unkeyed.to(first)
    instances.clock.time += 1  # another signature
    again = unkeyed.to(first if store == "same instance" else instances.instance(store=where))
    assert (again.status, again.body) == (201, answer.body)
    assert left(instances.emulator) == [answer.json["keyId"]]


def test_the_audit_line_of_a_repeated_answer(instances: Instances, unkeyed: Request) -> None:
    function = instances.instance()
    answer = unkeyed.to(function).json
    function.forget_audit()
    instances.clock.time += 1
    assert unkeyed.to(function).status == 201
    (line,) = function.audit_lines()
    assert line["decision"] == "replayed"
    assert (line["keyId"], line["fingerprint"]) == (answer["keyId"], answer["fingerprint"])
    assert line["recipients"] == answer["sealedPrivateKey"]["recipients"]


def test_a_cut_create_is_settled_by_the_next_try(instances: Instances, unkeyed: Request) -> None:
    function = instances.instance()
    orphan(instances, unkeyed, function)
    instances.clock.time += 1
    assert [issued(unkeyed.to(function))] == left(instances.emulator)


def test_another_order_of_the_same_name_is_refused(instances: Instances, unkeyed: Request) -> None:
    function = instances.instance()
    issued(unkeyed.to(function))
    body = function.rest_body(keyName=unkeyed.name, privateKeyFormat="openssh")
    assert refused(function.call(function.signed(REST, body))) == (409, "name-taken")


def test_another_caller_does_not_get_the_answer(instances: Instances, unkeyed: Request) -> None:
    function = instances.instance()
    issued(unkeyed.to(function))
    assert refused(replace(unkeyed, caller="second").to(function)) == (409, "name-taken")


def test_after_a_delete_the_order_starts_again(instances: Instances, unkeyed: Request) -> None:
    function = instances.instance()
    first = issued(unkeyed.to(function))
    delete(instances.emulator, first)
    instances.clock.time += LAG_SECONDS + 1
    second = issued(unkeyed.to(function))
    assert second != first
    assert left(instances.emulator) == [second]


def test_the_stored_answer_is_repeated_while_the_cloud_does_not_answer(
    instances: Instances, unkeyed: Request
) -> None:
    """Nobody can tell then whether its key pair is still there, and an answer twice does no harm."""
    function = instances.instance()
    answer = unkeyed.to(function)
    instances.clock.time += LAG_SECONDS + 1
    instances.emulator.add_faults({"action": "DescribeKeyPairs", "kind": "cut", "times": 99})
    assert unkeyed.to(function).body == answer.body
    assert function.audit_lines()[-1]["decision"] == "replayed"


def test_the_look_before_the_release_is_repeated(instances: Instances, unkeyed: Request) -> None:
    function = instances.instance()
    instances.emulator.add_faults({"action": "DescribeKeyPairs", "kind": "cut"})
    assert [issued(unkeyed.to(function))] == left(instances.emulator)


def test_a_captured_request_does_not_start_again(instances: Instances, unkeyed: Request) -> None:
    """Whoever sees a signed request go by and sends it again gets the old answer, and makes nothing."""
    function = instances.instance()
    body = function.rest_body(keyName=unkeyed.name)
    event = function.signed(REST, body)
    answer = function.call(event)
    delete(instances.emulator, answer.json["keyId"])
    instances.clock.time += LAG_SECONDS + 1
    assert function.call(event).body == answer.body
    assert left(instances.emulator) == []


def test_no_captured_message_starts_again(instances: Instances, unkeyed: Request) -> None:
    """Neither the first message, nor one that got the stored answer, nor the one before a restart."""
    function = instances.instance()
    body = function.rest_body(keyName=unkeyed.name)
    first = function.signed(REST, body)
    function.call(first)
    instances.clock.time += 1
    second = function.signed(REST, body)
    replayed = function.call(second)
    delete(instances.emulator, replayed.json["keyId"])
    instances.clock.time += LAG_SECONDS + 1
    for captured in (first, second):
        assert function.call(captured).body == replayed.body
    assert left(instances.emulator) == []
    third = function.call(function.signed(REST, body))
    delete(instances.emulator, third.json["keyId"])
    instances.clock.time += LAG_SECONDS + 1
    for captured in (first, second):
        assert function.call(captured).body == third.body
    assert left(instances.emulator) == []


def test_a_key_pair_that_is_not_visible_yet_does_not_count_as_deleted(
    instances: Instances, unkeyed: Request
) -> None:
    function = instances.instance(store=instances.shared_store)
    answer = unkeyed.to(function)
    instances.emulator.behave(lag={"describe": 1000})
    instances.clock.time += 1
    assert unkeyed.to(function).body == answer.body
    instances.clock.time += LAG_SECONDS + 1
    # Later it does, and then the cloud itself says that the name is taken. Nothing is deleted.
    assert unkeyed.to(function).status == 409
    assert left(instances.emulator) == [answer.json["keyId"]]


def test_an_explicit_key_keeps_its_meaning(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    answer = request_.to(function)
    delete(instances.emulator, answer.json["keyId"])
    instances.clock.time += LAG_SECONDS + 1
    assert request_.to(function).body == answer.body
    assert left(instances.emulator) == []


def test_api_v3_without_a_client_token(instances: Instances) -> None:
    function = instances.instance()
    body = function.v3_body()
    answer = function.call(function.signed(V3, body))
    instances.clock.time += 1
    assert function.call(function.signed(V3, body)).body == answer.body


# 2. Tags.


def test_no_value_of_a_tag_is_unique(instances: Instances) -> None:
    function = instances.instance()
    for _ in range(3):
        body = function.rest_body(expiresIn="30d")
        assert function.call(function.signed(REST, body)).status == 201
    tags = instances.emulator.key_pairs()[0]["Tags"]
    ours = {tag["Key"]: tag["Value"] for tag in tags if tag["Key"].startswith(TAG_PREFIX)}
    assert len(ours) == 1 + 15 + 4  # the caller, the digits of holder and code, the parts of the expiry
    assert ours.pop(CALLER_TAG) == "demo"
    for key, value in ours.items():
        assert value in ALPHABET if "mark" in key else len(value) <= len("2026-12")


def test_the_expiry_has_whole_minutes_and_is_never_early(instances: Instances) -> None:
    function = instances.instance()
    answer = function.call(function.signed(REST, function.rest_body(expiresIn="90m"))).json
    expires_at = datetime.strptime(answer["expiresAt"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    early = expires_at.timestamp() - instances.clock.time - 90 * 60
    assert expires_at.second == 0
    assert -1 < early < 60


@pytest.mark.parametrize("code", ["LimitExceeded.TagResourceQuota", "LimitExceeded.TagValue"])
def test_a_full_tag_quota_is_not_the_callers_fault(
    instances: Instances, request_: Request, code: str
) -> None:
    instances.emulator.add_faults({"kind": "error", "code": code})
    function = instances.instance()
    assert refused(request_.to(function)) == (503, "quota-reached")
    assert last_line(function) == ("failed", "tag-quota")
    assert left(instances.emulator) == []


# 3. Lag.


@pytest.mark.parametrize("store", ["memory", "shared"])
@pytest.mark.parametrize("lagging", ["describe", "filter", "tags", "description", "modify"])
def test_a_cloud_that_lags_costs_time_only(
    instances: Instances, request_: Request, lagging: str, store: str
) -> None:
    instances.emulator.behave(lag={lagging: 3})
    function = instances.instance(store=instances.shared_store if store == "shared" else "memory:")
    before = instances.emulator.calls("CreateKeyPair")
    key_id = issued(request_.to(function))
    assert left(instances.emulator) == [key_id]
    assert instances.emulator.calls("CreateKeyPair") == before + 1


@pytest.mark.parametrize("lagging", ["describe", "filter", "tags", "delete", "deleted"])
def test_a_lost_answer_is_settled_on_a_cloud_that_lags(
    instances: Instances, request_: Request, lagging: str
) -> None:
    instances.emulator.behave(lag={lagging: 3})
    instances.emulator.add_faults({"kind": "cut"})
    assert [issued(request_.to(instances.instance()))] == left(instances.emulator)


def test_tags_that_come_late_are_no_false_conflict(instances: Instances, request_: Request) -> None:
    """Another instance, without a store in common, made the key pair a moment ago."""
    orphan(instances, request_)
    instances.emulator.behave(lag={"tags": 2})
    assert refused(request_.to(instances.instance())) == (409, "request-in-flight")


def test_a_key_pair_without_tags_is_somebody_elses_once_it_is_old(
    instances: Instances, request_: Request
) -> None:
    account(instances.emulator).call_json("CreateKeyPair", {"KeyName": request_.name, "ProjectId": 0})
    assert refused(request_.to(instances.instance())) == (409, "request-in-flight")
    instances.aged(LAG_SECONDS + 1)
    assert refused(request_.to(instances.instance())) == (409, "name-taken")


# 4. Fields that are missing or dropped.


def test_a_left_out_description_is_not_an_empty_one(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    key_id = issued(request_.to(function))
    instances.emulator.behave(leftOut=["Description"])
    instances.aged(ORPHAN_AGE + 1)
    assert sweep(instances.instance()) == [("left", "description-missing")]
    assert refused(request_.to(instances.instance())) == (409, "name-taken")
    assert left(instances.emulator) == [key_id]


@pytest.mark.parametrize(
    ("dropped", "expires", "reason"),
    [
        ("Description", None, "description-not-kept"),
        ("Tags", None, "tags-not-kept"),
        ("Tags", "1d", "tags-not-kept"),
    ],
)
def test_what_the_cloud_does_not_keep_is_not_promised(
    instances: Instances, dropped: str, expires: str | None, reason: str
) -> None:
    instances.emulator.behave(dropped=[dropped])
    function = instances.instance()
    answer = function.call(function.signed(REST, function.rest_body(expiresIn=expires)))
    assert refused(answer) == (502, "cloud-answer-invalid")
    assert last_line(function) == ("failed", reason)
    assert left(instances.emulator) == []


class ForgetfulCvm(Cvm):
    """A cloud that keeps some of the tags."""

    def create_key_pair(self, name: str, project_id: int, tags: Mapping[str, str]) -> CreatedKeyPair:
        kept = {key: value for key, value in tags.items() if not key.endswith(("mark-03", "caller"))}
        return super().create_key_pair(name, project_id, kept)


def test_a_key_pair_that_lost_some_tags_is_removed(instances: Instances) -> None:
    function = instances.instance()
    function.services = connected(instances, function, ForgetfulCvm)
    answer = function.call(function.signed(REST, function.rest_body(tags={"note": "a"})))
    assert refused(answer) == (502, "cloud-answer-invalid")
    assert last_line(function) == ("failed", "tags-not-kept")
    assert left(instances.emulator) == []


class SlowToFind(Cvm):
    """A cloud that needs a second to show a key pair by its id."""

    def find_key_pair(self, key_id: str) -> KeyPairSummary | None:
        self._deadline.clock.sleep(1)
        return super().find_key_pair(key_id)


def test_without_time_to_remove_it_the_outcome_is_unknown(instances: Instances) -> None:
    """Not 503, which would say that nothing is left."""
    instances.emulator.behave(dropped=["Tags"])
    function = instances.instance()
    function.services = connected(instances, function, SlowToFind)
    answer = function.call(function.signed(REST))
    assert answer.status == (504 if left(instances.emulator) else 502)


class InUse(Cvm):
    """A cloud in which an instance uses each key pair at once."""

    def delete_key_pair(self, key_id: str) -> bool:  # noqa: ARG002  # whichever it is
        return False


def test_a_key_pair_that_cannot_be_removed_is_told_of(instances: Instances) -> None:
    instances.emulator.behave(dropped=["Description"])
    function = instances.instance()
    function.services = connected(instances, function, InUse)
    assert refused(function.call(function.signed(REST))) == (504, "outcome-unknown")
    assert last_line(function) == ("unknown", "undo-without-effect")


def test_in_flight_is_not_the_end_of_it(instances: Instances, request_: Request) -> None:
    """The key pair is this order's own, but its tags come late; the account is full meanwhile."""
    function = instances.instance()
    instances.emulator.behave(lag={"tags": 1000})
    instances.emulator.add_faults({"kind": "cut"})
    assert refused(request_.to(function)) == (409, "request-in-flight")
    assert len(left(instances.emulator)) == 1
    instances.emulator.behave()
    assert [issued(request_.to(function))] == left(instances.emulator)


def test_a_shared_store_vouches_for_the_release(instances: Instances, request_: Request) -> None:
    instances.emulator.behave(dropped=["Description"])
    key_id = issued(request_.to(instances.instance(store=instances.shared_store)))
    instances.aged(ORPHAN_AGE + 1)
    assert sweep(instances.instance(store=instances.shared_store)) == []
    assert left(instances.emulator) == [key_id]


@pytest.mark.parametrize("kind", ["cut", "undecodable"])
def test_a_lost_answer_of_modify_is_asked_for_again(
    instances: Instances, request_: Request, kind: str
) -> None:
    instances.emulator.add_faults({"action": "ModifyKeyPairAttribute", "kind": kind})
    key_id = issued(request_.to(instances.instance()))
    assert [pair["Description"] for pair in instances.emulator.key_pairs()] == [RELEASED]
    assert left(instances.emulator) == [key_id]


# 5. The sweeper.


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Instances]:
    """An account with 80 expired key pairs in use, one free expired one, and one orphan, the youngest."""
    with running_emulator(quota=200) as emulator:
        instances = Instances(emulator, tmp_path, TestClock(time.time()))
        for number in range(82):
            name = fresh_name()
            expires = None if number == 81 else whole_minutes(0)
            tags = SIGNER.write(OwnershipTag("demo", "2345678", expires), name)
            key_id, _ = create(emulator, tags, name)
            if number < 80:
                emulator.control("POST", f"/key-pairs/{key_id}/bind")
        instances.clock.time = time.time() + ORPHAN_AGE + 5
        yield instances


@pytest.mark.parametrize("told", [True, False])
def test_key_pairs_in_use_do_not_hold_up_the_others(
    crowded: Instances,
    told: bool,  # noqa: FBT001  # pytest hands it over by name
) -> None:
    """Also if the cloud does not say what is in use; then each is tried once a day."""
    if not told:
        crowded.emulator.behave(leftOut=["AssociatedInstanceIds"])
    function = crowded.instance()
    assert len(left(crowded.emulator)) == 82
    found = Counter(sweep(function))
    for _ in range(0 if told else 3):
        found.update(sweep(function))
    assert found["removed", "expired"] == found["removed", "orphan"] == 1
    assert found["left", "expired-in-use"] == 80
    assert len(left(crowded.emulator)) == 80
    assert sweep(function) == []
    crowded.clock.time += 86401
    assert sweep(function)[0] == ("left", "expired-in-use")


def test_orphans_go_before_anything_else(crowded: Instances) -> None:
    assert sweep(crowded.instance())[0] == ("removed", "orphan")


def test_key_pairs_of_another_deployment_are_left_in_silence(instances: Instances) -> None:
    for _ in range(3):
        name = fresh_name()
        other = TagSigner(MasterSecrets([OTHER_MASTER])).write(OwnershipTag("demo", "2345678"), name)
        create(instances.emulator, other, name)
    instances.clock.time += ORPHAN_AGE + 5
    function = instances.instance()
    assert sweep(function) == []
    assert function.audit_lines()[-1]["reason"] == "foreign 3"


def test_a_frozen_instance_cannot_release_what_another_request_removed(instances: Instances) -> None:
    """The instance was frozen before it described its key pair; 15 minutes later somebody takes the name."""
    frozen = instances.instance(store=instances.shared_store)
    name = fresh_name()
    ledger = frozen.services.issuer.ledger
    held = ledger.acquire("demo", "key:frozen", "0" * 64, lease=15)
    assert isinstance(held, HeldRecord)
    held.begin()
    create(instances.emulator, SIGNER.write(OwnershipTag("demo", held.holder), name), name)
    instances.aged(ORPHAN_AGE + 1)
    other = Request(name, "another")
    assert [issued(other.to(instances.instance(store=instances.shared_store)))] == left(instances.emulator)
    with pytest.raises(StoreUnavailable):
        held.finish("{}", "r")


@pytest.mark.parametrize("count", [79, 80])
def test_the_summary_warns_of_the_quota(tmp_path: Path, count: int) -> None:
    with running_emulator(quota=200) as emulator:
        for _ in range(count):
            create(emulator, {})
        function = Instances(emulator, tmp_path, TestClock(time.time())).instance()
        assert sweep(function) == []
        warning = f"80 of 100 key pairs in {REGION}, 80 of 100 key pairs in ap-shanghai"
        assert function.audit_lines()[-1]["reason"] == ("nothing" if count < 80 else warning)


# 6. After the store is lost.


def test_what_was_released_is_known_without_the_store(instances: Instances, unkeyed: Request) -> None:
    key_id = issued(unkeyed.to(instances.instance()))
    assert refused(unkeyed.to(instances.instance())) == (409, "name-taken")
    assert left(instances.emulator) == [key_id]


# 7. A stored answer comes before vetting.


def certificate(clock: float, hours: int) -> str:
    """Return a certificate that expires `hours` after `clock`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")])
    begin = datetime.fromtimestamp(clock, timezone.utc) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=1, hours=hours))
    )
    made = builder.sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_a_retry_after_the_certificate_expired(instances: Instances, request_: Request) -> None:
    policy = {**POLICY, "escrow": []}
    function = instances.instance(policy=policy)
    once = replace(request_, recipients=(certificate(instances.clock.time, 1),))
    answer = once.to(function)
    assert answer.status == 201, answer.body
    instances.clock.time += 2 * 3600
    assert once.to(function).body == answer.body
    assert refused(replace(once, idempotency_key="another").to(function))[0] == 422


def test_a_retry_whose_certificate_expired_gets_nothing_sealed_to_a_former_recipient(
    instances: Instances, request_: Request
) -> None:
    once = replace(request_, recipients=(certificate(instances.clock.time, 1),))
    store = instances.shared_store
    before, after = ({**POLICY, "escrow": [certificate(instances.clock.time, 9)]} for _ in range(2))
    answer = once.to(instances.instance(policy=before, store=store))
    assert answer.status == 201, answer.body
    instances.clock.time += 2 * 3600
    assert once.to(instances.instance(policy=before, store=store)).body == answer.body
    changed_escrow = instances.instance(policy=after, store=store)
    assert refused(once.to(changed_escrow)) == (422, "recipient-refused")
    assert last_line(changed_escrow) == ("refused", "recipient-certificate-expired")


def test_a_retry_after_the_policys_certificate_expired(
    instances: Instances, unkeyed: Request, caplog: pytest.LogCaptureFixture
) -> None:
    policy = {**POLICY, "escrow": [certificate(instances.clock.time, 1)]}
    function = instances.instance(policy=policy)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    once = replace(unkeyed, recipients=(pem.decode(),))
    answer = once.to(function)
    assert answer.status == 201, answer.body
    instances.clock.time += 2 * 3600
    again = once.to(function)
    assert (again.status, again.body) == (201, answer.body)
    # Nobody who asks anew is told whose certificate it is.
    anew = replace(once, name=fresh_name()).to(function)
    assert refused(anew) == (503, "misconfigured")
    assert last_line(function) == ("failed", "misconfigured")
    assert "a recipient in the policy is refused: recipient-certificate-expired" in caplog.messages


# 8. Refusals that waiting does not help.


@pytest.mark.parametrize(
    ("code", "status", "public"),
    [
        ("InvalidAccount.InsufficientBalance", 502, "cloud-refused"),
        ("OperationDenied", 502, "cloud-refused"),
        ("UnauthorizedOperation", 502, "cloud-refused"),
        ("FailedOperation.IllegalTagKey", 502, "cloud-refused"),
        ("FailedOperation.IllegalTagValue", 502, "cloud-refused"),
        ("InvalidParameterValue.DuplicateTags", 502, "cloud-refused"),
        ("InvalidParameterValue.TagQuotaLimitExceeded", 503, "quota-reached"),
    ],
)
def test_a_permanent_refusal_is_told_once(
    instances: Instances, request_: Request, code: str, status: int, public: str
) -> None:
    instances.emulator.add_faults(
        {"kind": "error", "code": code, "message": "Denied: cvm\u2028:Create", "times": 9}
    )
    function = instances.instance()
    before = instances.emulator.calls("CreateKeyPair")
    answer = request_.to(function)
    assert refused(answer) == (status, public)
    assert instances.emulator.calls("CreateKeyPair") == before + 1
    line = function.audit_lines()[-1]
    assert (line["upstreamCode"], line["upstreamMessage"]) == (code, "Denied: cvm :Create")
    assert "Denied" not in answer.body


def test_a_role_that_may_not_modify_leaves_nothing(instances: Instances, request_: Request) -> None:
    instances.emulator.behave(denied=["ModifyKeyPairAttribute"])
    function = instances.instance()
    assert refused(request_.to(function)) == (502, "cloud-refused")
    assert function.audit_lines()[-1]["upstreamCode"] == "UnauthorizedOperation"
    assert left(instances.emulator) == []


# 9. Records of a later version.


def test_a_record_of_a_later_version_is_in_flight(instances: Instances, request_: Request) -> None:
    function = instances.instance()
    store = function.services.issuer.ledger.store
    issued(request_.to(function))
    key = "claim:" + hashlib.sha256(b"demo\nkey:deploy-1").hexdigest()[:32]
    text = store.get(key)
    assert text is not None
    later = text.replace('"version":', '"colour":"blue","version":9')
    assert later != text
    assert store.replace(key, text, later, 1000)
    assert refused(request_.to(function)) == (409, "request-in-flight")
    assert last_line(function)[1] == "record-of-later-version"
