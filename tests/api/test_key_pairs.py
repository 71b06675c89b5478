"""`/v1/key-pairs`: list, show, delete and import, each caller its own key pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handler.errors import StoreUnavailable
from handler.issuance.cleanup import LAG_SECONDS, ORPHAN_AGE, RELEASED
from handler.issuance.idempotency import HeldRecord
from handler.issuance.ownership_tags import OwnershipTag
from handler.order import CALLER_TAG
from tests.support.former_tags import FormerSigner, FormerTag, former_tags
from tests.support.function_under_test import (
    MASTER,
    NOON,
    RECIPIENT,
    REGION,
    REST,
    Answer,
    FunctionUnderTest,
    fresh_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from handler.cloud.cvm import Cvm
    from handler.store.base import Store
    from tests.support.emulator_process import EmulatorProcess

ACTIONS = ["create", "list", "delete", "import"]
GRANT: dict[str, Any] = {
    "names": ["*"],
    "projects": [0, 1234],
    "regions": [REGION, "ap-shanghai"],
    "optional_tags": {"team": "*"},
    "own_recipients": True,
}
FULL = {**GRANT, "actions": ACTIONS}
POLICY: dict[str, Any] = {
    "failed_rate": "999999/minute",
    "callers": {
        "demo": {"tc3": True, "grants": [FULL]},
        "second": {"tc3": True, "grants": [FULL]},
        "third": {"tc3": True, "grants": [{**FULL, "callers": ["second"]}]},
        "oncall": {"tc3": True, "grants": [{**GRANT, "actions": ["list", "delete"], "callers": ["*"]}]},
        "old": {"tc3": True, "grants": [GRANT]},
        "registered": {"tc3": True, "recipients": [str(RECIPIENT.to_public())], "grants": [FULL]},
    },
}
GONE = (404, "key-pair-not-found")


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[FunctionUnderTest]:
    emulator.control("POST", "/clock", {"at": NOON})
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", POLICY)
    yield function
    emulator.behave()
    emulator.control("POST", "/clock", {})
    function.delete_key_pairs()


def create(function: FunctionUnderTest, caller: str = "demo", **changes: object) -> dict[str, Any]:
    answer = function.call(function.signed(REST, function.rest_body(**changes), caller))
    assert answer.status == 201, answer.body
    return answer.json


def listed(function: FunctionUnderTest, who: str = "demo", **query: str) -> list[str]:
    """Return the names in a list."""
    answer = function.call(function.asking("GET", query=query, caller=who))
    assert answer.status == 200, answer.body
    return [pair["keyName"] for pair in answer.json["keyPairs"]]


def ask(function: FunctionUnderTest, method: str, key_id: str, who: str = "demo", **query: str) -> Answer:
    return function.call(function.asking(method, f"{REST}/{key_id}", query, who))


def told(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code if answer.body else None


def decisions(function: FunctionUnderTest) -> list[tuple[str, str | None]]:
    lines = [(line["decision"], line["reason"]) for line in function.audit_lines()]
    function.forget_audit()
    return lines


def public_key(key: PublicKeyTypes | None = None) -> str:
    key = key or rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


KEY = public_key()


def import_body(**changes: object) -> dict[str, object]:
    return {"keyName": fresh_name(), "publicKey": KEY, **changes}


# ---------------------------------------------------------------- list and show


def test_what_a_caller_has(function: FunctionUnderTest) -> None:
    made = create(function, keyName="web_1", tags={"team": "core"}, projectId=1234, expiresIn="7d")
    function.forget_audit()
    answer = function.call(function.asking("GET"))
    shown = {
        **{key: made[key] for key in ("keyId", "keyName", "projectId", "region")},
        "caller": "demo",
        **{key: made[key] for key in ("publicKey", "fingerprint", "createdAt", "expiresAt")},
        "expiresSoon": True,
        "instanceIds": [],
        "tags": {"team": "core"},
    }
    assert (answer.status, answer.json) == (200, {"keyPairs": [shown], "next": None})
    (line,) = function.audit_lines()
    assert (line["decision"], line["reason"], line["caller"], line["region"]) == (
        "listed",
        "1 key pairs",
        "demo",
        REGION,
    )
    function.forget_audit()
    one = ask(function, "GET", made["keyId"])
    assert (one.status, one.json) == (200, shown)
    (line,) = function.audit_lines()
    assert (line["decision"], line["keyId"], line["owner"]) == ("listed", made["keyId"], "demo")


def test_filters_and_pages(function: FunctionUnderTest) -> None:
    for name, expires in (("a_1", "8d"), ("a_2", "1h"), ("b_1", None), ("c_1", "6d")):
        create(function, keyName=name, expiresIn=expires)
    assert listed(function) == ["a_1", "a_2", "b_1", "c_1"]
    assert listed(function, name="a_*") == ["a_1", "a_2"]
    assert listed(function, name="a_?") == ["a_1", "a_2"]
    assert listed(function, name="b_1") == ["b_1"]
    assert listed(function, name="*", expiringBefore="2026-12-01T00:00:00Z") == ["a_2", "c_1"]
    assert listed(function, "second", region="ap-shanghai") == []
    first = function.call(function.asking("GET", query={"limit": "3", "name": "?_*"})).json
    assert [pair["keyName"] for pair in first["keyPairs"]] == ["a_1", "a_2", "b_1"]
    assert [pair["expiresSoon"] for pair in first["keyPairs"]] == [False, True, False]
    rest = function.call(function.asking("GET", query={"limit": "3", "after": first["next"]})).json
    assert ([pair["keyName"] for pair in rest["keyPairs"]], rest["next"]) == (["c_1"], None)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "-1"},
        {"limit": "1e1"},
        {"limit": "\uff11"},
        {"after": "a-b"},
        {"name": "[a]"},
        {"name": ""},
        {"expiringBefore": "2026-12-01"},
        {"expiringBefore": "2026-12-01T00:00:00+08:00"},
        {"region": "nowhere"},
        {"caller": ""},
        {"offset": "1"},
    ],
)
def test_bad_queries(function: FunctionUnderTest, query: dict[str, str]) -> None:
    answer = function.call(function.asking("GET", query=query))
    assert told(answer) == (400, "malformed-request")
    assert [problem["field"] for problem in answer.json["errors"]] == list(query)
    if query.keys() != {"region"}:
        assert told(ask(function, "DELETE", "skey-aaaaaaaa", **query)) == (400, "malformed-request")


def test_a_query_is_signed(function: FunctionUnderTest) -> None:
    event = function.asking("GET", query={"name": "a b/%+*\u4e2d"})
    assert told(function.call(event)) == (400, "malformed-request")  # the signature is right
    assert told(function.call({**event, "queryString": {"name": "a"}})) == (401, "unauthenticated")
    assert told(function.call({**event, "queryString": {"name": "\ud800"}})) == (401, "unauthenticated")
    assert told(function.call({**event, "queryString": {}})) == (401, "unauthenticated")
    assert told(function.call({**event, "httpMethod": "DELETE"})) == (405, "method-not-allowed")
    pair = create(function)
    shown = function.asking("GET", f"{REST}/{pair['keyId']}")
    assert function.call(shown).status == 200
    assert told(function.call({**shown, "httpMethod": "DELETE"})) == (401, "unauthenticated")
    assert told(function.call({**shown, "body": "{}"})) == (401, "unauthenticated")


# ---------------------------------------------------------------- delete


def test_deleting(function: FunctionUnderTest) -> None:
    pair = create(function)
    function.forget_audit()
    for number in range(2):  # a retry gets the same answer
        answer = ask(function, "DELETE", pair["keyId"])
        assert (answer.status, answer.body) == (204, "")
        assert decisions(function) == [("intent", "delete")] * (1 - number) + [("deleted", None)]
    assert function.emulator.key_pairs() == []
    assert listed(function) == []
    assert told(ask(function, "GET", pair["keyId"])) == GONE
    # Another caller never had it.
    assert told(ask(function, "DELETE", pair["keyId"], "second")) == GONE


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_id_that_the_cloud_would_not_give(function: FunctionUnderTest, method: str) -> None:
    assert told(ask(function, method, "skey-0")) == GONE


def test_a_key_pair_in_use_stays(function: FunctionUnderTest) -> None:
    pair = create(function)
    for hidden in ([], ["AssociatedInstanceIds"]):
        function.emulator.control("POST", f"/key-pairs/{pair['keyId']}/bind")
        function.emulator.behave(leftOut=hidden)
        assert told(ask(function, "DELETE", pair["keyId"])) == (409, "key-pair-in-use")
        assert listed(function) == [pair["keyName"]]
    function.emulator.behave()
    assert ask(function, "GET", pair["keyId"]).json["instanceIds"] == ["ins-emulated"]
    # It was not deleted, so its answer is still good.
    again = function.rest_body(keyName=pair["keyName"])
    assert function.call(function.signed(REST, again)).json["keyId"] == pair["keyId"]
    function.emulator.control("DELETE", f"/key-pairs/{pair['keyId']}/bind")
    assert ask(function, "DELETE", pair["keyId"]).status == 204


def test_a_delete_that_was_refused_is_no_proof_later(
    function: FunctionUnderTest, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    """Neither in a region where the key pair never was, nor when the policy has put it out of reach."""
    pair = create(function)
    function.emulator.control("POST", f"/key-pairs/{pair['keyId']}/bind")
    function.emulator.behave(leftOut=["AssociatedInstanceIds"], separateRegions=True)
    store = {"KEYPAIR_STORE": f"sqlite:{tmp_path}/store"}
    before, after = (
        FunctionUnderTest(emulator, tmp_path / f"{names}.json", policy, settings=store, clock=function.clock)
        for names, policy in (
            ("all", POLICY),
            ("few", {"callers": {"demo": {"tc3": True, "grants": [{**FULL, "names": ["few_*"]}]}}}),
        )
    )
    assert told(ask(before, "DELETE", pair["keyId"])) == (409, "key-pair-in-use")
    assert told(ask(before, "DELETE", pair["keyId"], region="ap-shanghai")) == GONE
    assert told(ask(after, "DELETE", pair["keyId"])) == GONE
    assert len(function.emulator.key_pairs()) == 1
    function.emulator.control("DELETE", f"/key-pairs/{pair['keyId']}/bind")


def test_the_stored_answer_of_a_deleted_key_pair_is_not_released(function: FunctionUnderTest) -> None:
    """With an idempotency key the request is over. Without one, a new message makes a new key pair."""
    body = function.rest_body()
    keyed = function.signed(REST, {**body, "keyName": "keyed"}, also_signed={"idempotency-key": "k-1"})
    plain = function.signed(REST, body)
    first = {name: function.call(event).json["keyId"] for name, event in (("keyed", keyed), ("plain", plain))}
    for key_id in first.values():
        assert ask(function, "DELETE", key_id).status == 204
    for event in (keyed, plain):  # the plain one is the same message as before
        function.forget_audit()
        assert told(function.call(event)) == (410, "key-pair-deleted")
        assert decisions(function) == [("refused", "key-pair-deleted")]
    function.clock.time += 1  # much less than LAG_SECONDS
    assert LAG_SECONDS > 1
    second = function.call(function.signed(REST, body))
    assert second.status == 201
    assert second.json["keyId"] not in first.values()


def test_a_retry_goes_on_where_a_delete_was_interrupted(function: FunctionUnderTest) -> None:
    pair = create(function)
    function.emulator.add_faults({"action": "DeleteKeyPairs", "kind": "cut"})
    assert told(ask(function, "DELETE", pair["keyId"])) == (504, "outcome-unknown")
    assert ask(function, "DELETE", pair["keyId"]).status == 204
    # The cloud may go on showing it for a while.
    shown = create(function)
    function.emulator.behave(lag={"deleted": 2})
    assert [ask(function, "DELETE", shown["keyId"]).status for _ in range(3)] == [204] * 3


def test_a_delete_that_the_store_did_not_note_is_not_certain(function: FunctionUnderTest) -> None:
    """503 would mean that the key pair is still there, and its stored answer still of use."""
    order = function.signed(REST, function.rest_body(), also_signed={"idempotency-key": "k-1"})
    key_id = function.call(order).json["keyId"]
    services = function.services
    function.services = replace(services, store=StoreWithoutMarks(services.store))
    assert told(ask(function, "DELETE", key_id)) == (504, "outcome-unknown")
    assert function.audit_lines()[-1]["reason"] == "delete-not-noted"
    assert function.emulator.key_pairs() == []
    function.services = services
    assert ask(function, "DELETE", key_id).status == 204
    assert told(function.call(order)) == (410, "key-pair-deleted")


@dataclass(frozen=True)
class StoreWithoutMarks:
    """Fails when it is to note that a key pair was deleted."""

    store: Store

    @property
    def shared(self) -> bool:
        return self.store.shared

    def get(self, key: str) -> str | None:
        return self.store.get(key)

    def add(self, key: str, value: str, ttl: float) -> bool:
        if key.startswith("deleted:"):
            raise StoreUnavailable
        return self.store.add(key, value, ttl)

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        return self.store.replace(key, expected, value, ttl)


def test_without_the_audit_log_or_the_store_nothing_is_deleted(function: FunctionUnderTest) -> None:
    pair = create(function)
    function.audit.close()
    assert told(ask(function, "DELETE", pair["keyId"])) == (503, "audit-unavailable")
    assert told(function.call(function.asking("GET"))) == (503, "audit-unavailable")
    assert len(function.emulator.key_pairs()) == 1


# ---------------------------------------------------------------- import


def test_importing(function: FunctionUnderTest) -> None:
    body = import_body(tags={"team": "core"}, expiresIn="1d", publicKey=f"{KEY} me@laptop")
    answer = function.call(function.signed(REST, body))
    assert (answer.status, answer.headers["Idempotency-Key-TTL"]) == (201, "86400")
    assert list(answer.json) == [
        "keyId", "keyName", "projectId", "region", "publicKey", "fingerprint", "createdAt", "expiresAt",
        "requestId",
    ]  # fmt: skip
    assert answer.json["publicKey"] == KEY
    assert answer.json["expiresAt"] == "2026-11-25T12:00:00Z"
    assert decisions(function) == [("intent", "import"), ("imported", None)]
    (stored,) = function.emulator.key_pairs()
    assert (stored["Description"], stored["PublicKey"].split()[1]) == (RELEASED, KEY.split()[1])
    tags = {tag["Key"]: tag["Value"] for tag in stored["Tags"]}
    assert (tags["team"], tags[CALLER_TAG]) == ("core", "demo")
    assert listed(function) == [body["keyName"]]
    # The same order with a new signature is the same request.
    function.clock.time += 5
    again = function.call(function.signed(REST, body))
    assert again.event == answer.event
    assert decisions(function)[-1] == ("replayed", None)
    assert ask(function, "DELETE", answer.json["keyId"]).status == 204


def test_the_sweeper_removes_an_import_that_has_expired(function: FunctionUnderTest) -> None:
    function.call(function.signed(REST, import_body(expiresIn="1h")))
    function.clock.time += 3601
    function.call({"Type": "Timer"})
    assert function.emulator.key_pairs() == []


def test_keys_that_cannot_be_imported(function: FunctionUnderTest) -> None:
    for key, rule in (
        (public_key(ed25519.Ed25519PrivateKey.generate().public_key()), "public-key-not-rsa"),
        (str(RECIPIENT.to_public()), "public-key-not-rsa"),
        (public_key(rsa.generate_private_key(65537, 1024).public_key()), "public-key-rsa-size"),  # noqa: S505  # to be refused
        (KEY[:-8], "recipient-ssh-malformed"),
        ("ssh-rsa", "recipient-ssh-malformed"),
    ):
        answer = function.call(function.signed(REST, import_body(publicKey=key)))
        assert told(answer) == (422, "public-key-refused")
        assert [(one["field"], one["rule"]) for one in answer.json["errors"]] == [("publicKey", rule)]
    assert function.emulator.key_pairs() == []


@pytest.mark.parametrize("field", ["recipients", "privateKeyFormat", "envelopeFormat"])
def test_an_import_has_nothing_to_seal(function: FunctionUnderTest, field: str) -> None:
    answer = function.call(function.signed(REST, import_body(**{field: "x"})))
    assert told(answer) == (400, "malformed-request")
    assert [(one["field"], one["rule"]) for one in answer.json["errors"]] == [(field, "unknown")]


def test_a_public_key_is_in_an_account_once(function: FunctionUnderTest) -> None:
    first = import_body()
    assert function.call(function.signed(REST, first)).status == 201
    for caller in ("demo", "second"):
        answer = function.call(function.signed(REST, import_body(), caller))
        assert told(answer) == (409, "public-key-taken")
    taken = function.call(function.signed(REST, {**first, "publicKey": public_key()}))
    assert told(taken) == (409, "name-taken")


def test_a_key_under_another_name_settles_an_import_that_was_cut(function: FunctionUnderTest) -> None:
    first = import_body()
    assert function.call(function.signed(REST, first)).status == 201
    function.emulator.add_faults({"action": "ImportKeyPair", "kind": "cut", "after": "before"})
    answer = function.call(function.signed(REST, {**first, "keyName": fresh_name()}))
    assert told(answer) == (409, "public-key-taken")
    assert [pair["KeyName"] for pair in function.emulator.key_pairs()] == [first["keyName"]]


def test_a_key_that_nobody_seems_to_have_settles_nothing(function: FunctionUnderTest) -> None:
    duplicate = {"kind": "error", "code": "InvalidPublicKey.Duplicate"}
    for fault in ({"kind": "cut"}, duplicate):
        function.emulator.add_faults({"action": "ImportKeyPair", "after": "before", **fault})
    body = import_body()
    assert told(function.call(function.signed(REST, body))) == (504, "outcome-unknown")
    assert function.call(function.signed(REST, body)).status == 201


@pytest.mark.parametrize("kind", ["cut", "truncate", "http-status"])
@pytest.mark.parametrize("after", ["before", "effect"])
def test_an_import_whose_answer_was_lost(function: FunctionUnderTest, kind: str, after: str) -> None:
    """It is neither lost nor left over: the answer comes in the end, and the key pair is there once."""
    body = import_body()
    fault = {"action": "ImportKeyPair", "kind": kind, "times": 3}
    fault |= {"status": 502} if kind == "http-status" else {}
    function.emulator.add_faults({**fault, "after": after} if kind != "truncate" else fault)
    answers: list[Answer] = []
    while not answers or answers[-1].status != 201:
        assert len(answers) < 4
        answers.append(function.call(function.signed(REST, body)))
        function.clock.time += 60
    function.emulator.control("DELETE", "/faults")
    assert {told(answer) for answer in answers[:-1]} <= {
        (504, "outcome-unknown"),
        (502, "cloud-answer-invalid"),
    }
    (stored,) = function.emulator.key_pairs()
    assert stored["KeyId"] == answers[-1].json["keyId"]
    assert listed(function) == [body["keyName"]]


def test_an_import_of_which_the_cloud_keeps_too_little_is_removed(function: FunctionUnderTest) -> None:
    function.emulator.behave(dropped=["Description"])
    answer = function.call(function.signed(REST, import_body()))
    assert told(answer) == (502, "cloud-answer-invalid")
    assert function.emulator.key_pairs() == []


# ---------------------------------------------------------------- isolation


def test_three_callers_with_all_verbs(function: FunctionUnderTest) -> None:
    """Nothing is seen, nothing changes, and the answers are those for a key pair that never was."""
    owners = ("demo", "second", "old")
    pairs = {owner: create(function, owner, keyName=f"of_{owner}", tags={"team": owner}) for owner in owners}
    account = function.emulator.key_pairs()
    for caller in ("demo", "second"):
        never = "skey-00000000"
        own = [f"of_{caller}"]
        assert listed(function, caller) == own
        assert listed(function, caller, name="of_*") == own
        assert listed(function, caller, caller=caller) == own
        for other in owners:
            if other == caller:
                continue
            for query in ({"name": f"of_{other}"}, {"caller": other}, {"after": f"of_{caller}"}):
                answer = function.call(function.asking("GET", query=query, caller=caller))
                assert answer.json == {"keyPairs": [], "next": None}
            for method in ("GET", "DELETE"):
                calls = function.emulator.state()["calls"]
                theirs = ask(function, method, pairs[other]["keyId"], caller)
                between = function.emulator.state()["calls"]
                nobodys = ask(function, method, never, caller)
                after = function.emulator.state()["calls"]
                assert told(theirs) == told(nobodys) == GONE
                assert {**theirs.json, "requestId": ""} == {**nobodys.json, "requestId": ""}
                assert theirs.headers == nobodys.headers
                # As many calls, so as much time.
                assert {name: between[name] - calls[name] for name in calls} == {
                    name: after[name] - between[name] for name in calls
                }
    for method, path in (("GET", REST), ("GET", f"{REST}/{pairs['old']['keyId']}"),
                         ("DELETE", f"{REST}/{pairs['old']['keyId']}")):  # fmt: skip
        assert told(function.call(function.asking(method, path, caller="old"))) == (403, "not-granted")
    assert told(function.call(function.signed(REST, import_body(), "old"))) == (403, "not-granted")
    assert function.emulator.key_pairs() == account


def test_who_reaches_further(function: FunctionUnderTest) -> None:
    pairs = {owner: create(function, owner, keyName=f"of_{owner}") for owner in ("demo", "second")}
    assert listed(function, "third") == ["of_second"]
    assert listed(function, "oncall") == ["of_demo", "of_second"]
    assert listed(function, "oncall", caller="demo") == ["of_demo"]
    assert told(ask(function, "DELETE", pairs["demo"]["keyId"], "third")) == GONE
    function.forget_audit()
    assert ask(function, "DELETE", pairs["demo"]["keyId"], "oncall").status == 204
    line = function.audit_lines()[-1]
    assert [line[key] for key in ("decision", "caller", "owner", "keyName", "projectId", "region")] == [
        "deleted",
        "oncall",
        "demo",
        "of_demo",
        0,
        REGION,
    ]
    assert ask(function, "DELETE", pairs["second"]["keyId"], "third").status == 204
    assert told(function.call(function.signed(REST, import_body(), "oncall"))) == (403, "not-granted")
    assert told(function.call(function.asking("GET", query={"region": "ap-beijing"}, caller="oncall"))) == (
        403,
        "not-granted",
    )


def test_names_and_other_tags_decide_nothing(function: FunctionUnderTest) -> None:
    """Not the caller's tag alone, nor tags that were copied or changed."""
    own = create(function)
    (stored,) = function.emulator.key_pairs()
    tags = {tag["Key"]: tag["Value"] for tag in stored["Tags"]}
    cvm = cloud(function)
    forged = [
        cvm.import_key_pair("forged_1", 0, {CALLER_TAG: "demo"}, public_key()),
        cvm.import_key_pair("forged_2", 0, tags, public_key()),
        cvm.import_key_pair("forged_3", 0, {**tags, CALLER_TAG: "second"}, public_key()),
    ]
    for pair in forged:
        cvm.set_description(pair.key_id, RELEASED)
    for caller in ("demo", "second", "oncall"):
        assert set(listed(function, caller)) <= {own["keyName"]}
        for pair in forged:
            for method in ("GET", "DELETE"):
                assert told(ask(function, method, pair.key_id, caller)) == GONE
    assert len(function.emulator.key_pairs()) == 4


def test_a_key_pair_of_version_0_1_is_nobodys(function: FunctionUnderTest) -> None:
    """The code of its tags does not cover the caller. An operator of all callers reaches it."""
    former = FormerSigner([MASTER]).write(FormerTag(*(digit * 32 for digit in "abc")), "former_1", None)
    tags = former_tags(former)
    pair = cloud(function).import_key_pair("former_1", 0, tags, public_key())
    cloud(function).set_description(pair.key_id, RELEASED)
    assert listed(function, "demo") == listed(function, "third") == []
    assert listed(function, "oncall") == ["former_1"]


# ---------------------------------------------------------------- beside other requests


def test_a_key_pair_that_is_being_made_does_not_exist_yet(function: FunctionUnderTest) -> None:
    """Once it is described it does, but nobody deletes it before its maker has finished or has died."""
    cvm = cloud(function)
    ledger = function.services.issuer.ledger
    record = ledger.acquire("demo", "key:k", "0" * 32, 10.0)
    assert isinstance(record, HeldRecord)
    record.begin()
    tags = function.services.issuer.tag_signer.write(OwnershipTag("demo", record.holder), "early_1")
    pair = cvm.import_key_pair("early_1", 0, tags, public_key())
    assert listed(function) == []
    assert told(ask(function, "DELETE", pair.key_id)) == GONE
    cvm.set_description(pair.key_id, RELEASED)
    function.clock.time = NOON + 1  # looking took time
    assert listed(function) == ["early_1"]
    assert told(ask(function, "DELETE", pair.key_id)) == (409, "request-in-flight")
    function.clock.time = NOON + 11
    assert ask(function, "DELETE", pair.key_id).status == 204
    with pytest.raises(StoreUnavailable):  # woken up, it can no longer release the key pair
        record.finish("{}", "")


def test_a_finished_record_counts_more_than_a_missing_description(function: FunctionUnderTest) -> None:
    """The cloud may not show yet what it was told, or somebody has cleared it."""
    pair = create(function)
    cloud(function).set_description(pair["keyId"], "")
    assert listed(function) == [pair["keyName"]]
    assert ask(function, "DELETE", pair["keyId"]).status == 204


def test_old_key_pairs_without_description_or_date(function: FunctionUnderTest) -> None:
    pair = create(function)
    function.clock.time += ORPHAN_AGE + 8 * 86400  # its record has expired
    cloud(function).set_description(pair["keyId"], "")
    assert listed(function) == [pair["keyName"]]
    function.emulator.behave(leftOut=["CreatedTime", "PublicKey"])
    assert listed(function) == []
    cloud(function).set_description(pair["keyId"], RELEASED)
    shown = ask(function, "GET", pair["keyId"]).json
    assert [shown[key] for key in ("createdAt", "publicKey", "fingerprint")] == [None] * 3


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "throttle", "times": 99}, (503, "cloud-busy")),
        ({"kind": "cut"}, (503, "cloud-unreachable")),
        ({"kind": "error", "code": "InternalServerError"}, (503, "cloud-unreachable")),
    ],
)
def test_a_list_that_the_cloud_does_not_give(
    function: FunctionUnderTest, fault: dict[str, object], expected: tuple[int, str]
) -> None:
    pair = create(function)
    for method, path in (
        ("GET", REST),
        ("GET", f"{REST}/{pair['keyId']}"),
        ("DELETE", f"{REST}/{pair['keyId']}"),
    ):
        function.emulator.add_faults({"action": "DescribeKeyPairs", **fault})
        function.forget_audit()
        answer = function.call(function.asking(method, path))
        assert told(answer) == expected
        (line,) = function.audit_lines()
        assert line["decision"] == "failed"
        assert line["upstreamCode"]
        function.emulator.control("DELETE", "/faults")


@pytest.mark.parametrize("what", ["describe", "tags", "description"])
def test_a_new_key_pair_that_the_cloud_does_not_show_yet(function: FunctionUnderTest, what: str) -> None:
    pair = create(function)
    function.emulator.behave(lag={what: 2})
    assert ask(function, "GET", pair["keyId"]).status == 200


# ---------------------------------------------------------------- rates


def test_each_action_has_its_own_rate(emulator: EmulatorProcess, tmp_path: Path) -> None:
    callers = {"demo": {"tc3": True, "rate": "1/hour", "grants": [FULL]}}
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", {"callers": callers})
    body = function.rest_body()
    for event in (
        function.signed(REST, body),
        function.signed(REST, import_body(publicKey="ssh-rsa")),
        function.asking("GET"),
        function.asking("DELETE", f"{REST}/skey-00000000"),
    ):
        first = function.call(event)
        assert (first.status != 429, first.headers["RateLimit"]) == (True, '"caller";r=0;t=3600')
        assert function.call(event).status != 429  # the same message
        function.clock.time += 1
    for event in (
        function.signed(REST, body),
        function.signed(REST, import_body()),
        function.signed(REST, "{}"),
        function.asking("GET", query={"name": "a"}),
        function.asking("GET", f"{REST}/skey-00000000"),
        function.asking("DELETE", f"{REST}/skey-00000001"),
    ):
        assert told(function.call(event)) == (429, "rate-limited")
    function.delete_key_pairs()


def cloud(function: FunctionUnderTest) -> Cvm:
    context = function.context()
    return function.services.issuer.connect(
        context.invocation.credentials(), REGION, context.invocation.deadline
    )
