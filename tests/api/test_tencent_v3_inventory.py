"""DescribeKeyPairs, DeleteKeyPairs, ImportKeyPair and ModifyKeyPairAttribute of API v3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from handler.issuance.cleanup import RELEASED
from tests.api.test_key_pairs import KEY, create, decisions, function
from tests.support.function_under_test import V3, Answer, FunctionUnderTest, fresh_name

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["function"]

DESCRIBE, DELETE, IMPORT, MODIFY = (
    "DescribeKeyPairs",
    "DeleteKeyPairs",
    "ImportKeyPair",
    "ModifyKeyPairAttribute",
)

NAMED: dict[str, object] = {"Name": "key-name", "Values": []}


def ask(
    function: FunctionUnderTest,
    action: str,
    body: Mapping[str, object],
    caller: str = "demo",
    **more: Any,  # noqa: ANN401  # handed through
) -> dict[str, Any]:
    """Return what `Response` holds."""
    answer = function.call(function.signed(V3, dict(body), caller, x_tc_action=action, **more))
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    response: dict[str, Any] = answer.json["Response"]
    assert response["RequestId"]
    return response


def code(response: Mapping[str, Any]) -> str | None:
    found: str | None = response.get("Error", {}).get("Code")
    return found


def names(response: Mapping[str, Any]) -> list[str]:
    return [pair["KeyName"] for pair in response["KeyPairSet"]]


def test_describing(function: FunctionUnderTest) -> None:
    made = create(function, keyName="web_1", tags={"team": "core"}, projectId=1234, expiresIn="7d")
    create(function, keyName="web_2", tags={"team": "edge"})
    create(function, "second", keyName="web_3", tags={"team": "core"})
    for query in (
        {"KeyIds": [made["keyId"]]},
        {"Filters": [{"Name": "key-name", "Values": ["web_1", "web_3"]}]},
    ):
        response = ask(function, DESCRIBE, query)
        del response["RequestId"]
        assert response == {
            "TotalCount": 1,
            "KeyPairSet": [
                {
                    "KeyId": made["keyId"],
                    "KeyName": "web_1",
                    "ProjectId": 1234,
                    "Description": RELEASED,
                    "PublicKey": made["publicKey"],
                    "AssociatedInstanceIds": [],
                    "CreatedTime": made["createdAt"],
                    "Tags": [{"Key": "team", "Value": "core"}],
                }
            ],
            "ExpiringSoon": [made["keyId"]],
        }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["web_1", "web_2"]),
        ({"Limit": 1}, ["web_1"]),
        ({"Limit": 1, "Offset": 1}, ["web_2"]),
        ({"Offset": 5}, []),
        ({"Filters": [{"Name": "project-id", "Values": ["1234", "7"]}]}, ["web_1"]),
        ({"Filters": [{"Name": "tag-key", "Values": ["team"]}]}, ["web_1"]),
        ({"Filters": [{"Name": "tag-value", "Values": ["core"]}]}, ["web_1"]),
        ({"Filters": [{"Name": "tag:team", "Values": ["core"]}]}, ["web_1"]),
        ({"Filters": [{"Name": "tag:team", "Values": ["edge"]}]}, []),
        ({"Filters": [{"Name": "tag:other", "Values": ["core"]}]}, []),
        ({"Filters": [{"Name": "tag-key", "Values": ["keypair-function:caller"]}]}, []),
        ({"Filters": [{"Name": "tag:keypair-function:caller", "Values": ["demo"]}]}, []),
        (
            {
                "Filters": [
                    {"Name": "key-name", "Values": ["web_1", "web_2"]},
                    {"Name": "project-id", "Values": ["0"]},
                ]
            },
            ["web_2"],
        ),
        ({"KeyIds": ["skey-00000000"]}, []),
        ({"KeyIds": ["skey-00000000", "skey-00000001"]}, []),
        ({"KeyIds": [], "Filters": []}, ["web_1", "web_2"]),
    ],
)
def test_filters_and_pages(function: FunctionUnderTest, query: dict[str, object], found: list[str]) -> None:
    create(function, keyName="web_1", tags={"team": "core"}, projectId=1234)
    create(function, keyName="web_2")
    create(function, "second", keyName="web_3", tags={"team": "core"}, projectId=1234)
    assert names(ask(function, DESCRIBE, query)) == found


@pytest.mark.parametrize(
    ("action", "body", "expected"),
    [
        (DESCRIBE, {"KeyIds": ["skey-A"]}, "InvalidKeyPairId.Malformed"),
        (DESCRIBE, {"KeyIds": ["skey-00000000"] * 101}, "InvalidParameterValue.LimitExceeded"),
        (
            DESCRIBE,
            {"KeyIds": ["skey-0"], "Filters": [NAMED]},
            "InvalidParameter",
        ),
        (DESCRIBE, {"Filters": [{"Name": "name", "Values": ["a"]}]}, "InvalidFilter"),
        (
            DESCRIBE,
            {"Filters": [{**NAMED, "Values": ["a"] * 6}]},
            "InvalidFilterValue.LimitExceeded",
        ),
        (DESCRIBE, {"Limit": 101}, "InvalidParameterValueLimit"),
        (DESCRIBE, {"Limit": 0}, "InvalidParameterValueLimit"),
        (DESCRIBE, {"Limit": "1"}, "InvalidParameterValue"),
        (DESCRIBE, {"Offset": -1}, "InvalidParameterValueOffset"),
        (DESCRIBE, {"Name": "a"}, "UnknownParameter"),
        (DELETE, {}, "MissingParameter"),
        (DELETE, {"KeyIds": []}, "MissingParameter"),
        (DELETE, {"KeyIds": ["x"]}, "InvalidKeyPairId.Malformed"),
        (DELETE, {"KeyIds": ["skey-00000000"]}, "InvalidKeyPairId.NotFound"),
        (DELETE, {"KeyIds": ["skey-00000000"] * 101}, "InvalidParameterValue.LimitExceeded"),
        (MODIFY, {"KeyId": "skey-00000000"}, "MissingParameter"),
        (MODIFY, {"KeyId": "skey-00000000", "KeyName": "a"}, "InvalidKeyPairId.NotFound"),
        (MODIFY, {"KeyId": "x", "KeyName": "a"}, "InvalidKeyPairId.Malformed"),
        (IMPORT, {"KeyName": "a", "ProjectId": 0}, "MissingParameter"),
        (IMPORT, {"KeyName": "a", "ProjectId": 0, "PublicKey": "ssh-rsa x"}, "InvalidPublicKey.Malformed"),
        (IMPORT, {"KeyName": "", "ProjectId": 0, "PublicKey": KEY}, "InvalidKeyPairNameEmpty"),
        (IMPORT, {"KeyName": "a", "ProjectId": 0, "PublicKey": KEY, "Recipients": ["x"]}, "UnknownParameter"),
        ("RunInstances", {}, "InvalidAction"),
    ],
)
def test_errors_are_cvms(
    function: FunctionUnderTest, action: str, body: dict[str, object], expected: str
) -> None:
    assert code(ask(function, action, body)) == expected


def test_another_version_or_region(function: FunctionUnderTest) -> None:
    assert code(ask(function, DESCRIBE, {}, x_tc_version="2018-01-01")) == "NoSuchVersion"
    assert code(ask(function, DESCRIBE, {}, x_tc_region="ap-shanghai")) == "UnsupportedRegion"
    assert names(ask(function, DESCRIBE, {"Region": "ap-shanghai"}, x_tc_region="ap-shanghai")) == []
    signed = {"x-tc-region": "ap-shanghai"}
    assert names(ask(function, DESCRIBE, {}, x_tc_region="ap-shanghai", also_signed=signed)) == []


def test_deleting(function: FunctionUnderTest) -> None:
    one, two, other = (create(function, who)["keyId"] for who in ("demo", "demo", "second"))
    in_use = create(function)["keyId"]
    function.emulator.control("POST", f"/key-pairs/{in_use}/bind")
    function.forget_audit()
    # All of them or none.
    assert code(ask(function, DELETE, {"KeyIds": [one, other]})) == "InvalidKeyPairId.NotFound"
    assert (
        code(ask(function, DELETE, {"KeyIds": [one, in_use]})) == "InvalidParameterValue.KeyPairNotSupported"
    )
    assert len(function.emulator.key_pairs()) == 4
    assert [line["keyId"] for line in function.audit_lines()] == [other, in_use]
    function.forget_audit()
    for _ in range(2):
        assert set(ask(function, DELETE, {"KeyIds": [one, two, one]})) == {"RequestId"}
        function.clock.time += 1
    lines = [(line["decision"], line["keyId"]) for line in function.audit_lines()]
    assert lines == [
        ("intent", one),
        ("deleted", one),
        ("intent", two),
        ("deleted", two),
        ("deleted", one),
        ("deleted", two),
    ]
    assert {pair["KeyId"] for pair in function.emulator.key_pairs()} == {other, in_use}
    function.emulator.control("DELETE", f"/key-pairs/{in_use}/bind")


def test_importing(function: FunctionUnderTest) -> None:
    tags = [{"ResourceType": "keypair", "Tags": [{"Key": "team", "Value": "core"}]}]
    body = {"KeyName": fresh_name(), "ProjectId": 0, "PublicKey": f"{KEY} me", "TagSpecification": tags}
    first = ask(function, IMPORT, body)
    assert decisions(function) == [("intent", "import"), ("imported", None)]
    function.clock.time += 5
    assert ask(function, IMPORT, body) == first
    (pair,) = ask(function, DESCRIBE, {"KeyIds": [first["KeyId"]]})["KeyPairSet"]
    assert (pair["PublicKey"], pair["Tags"]) == (KEY, tags[0]["Tags"])
    body = {**body, "KeyName": fresh_name(), "ExpiresIn": "1h", "Region": "ap-shanghai", "ClientToken": "a"}
    assert code(ask(function, IMPORT, body, x_tc_region=None)) == "InvalidPublicKey.Duplicate"


def test_a_modification_that_changes_nothing(function: FunctionUnderTest) -> None:
    pair = create(function)
    for same in ({"KeyName": pair["keyName"]}, {"Description": RELEASED}):
        assert code(ask(function, MODIFY, {"KeyId": pair["keyId"], **same})) is None
    for other in (
        {"KeyName": "another"},
        {"Description": ""},
        {"KeyName": pair["keyName"], "Description": "x"},
    ):
        assert code(ask(function, MODIFY, {"KeyId": pair["keyId"], **other})) == "UnsupportedOperation"
    (stored,) = function.emulator.key_pairs()
    assert (stored["KeyName"], stored["Description"]) == (pair["keyName"], RELEASED)


def test_others_key_pairs_do_not_exist(function: FunctionUnderTest) -> None:
    theirs = create(function, "second")["keyId"]
    never = "skey-00000000"
    account = function.emulator.key_pairs()
    for action, body in (
        (DESCRIBE, {"KeyIds": ["ID"]}),
        (DESCRIBE, {"KeyIds": ["ID", "skey-00000001"]}),
        (DELETE, {"KeyIds": ["ID"]}),
        (MODIFY, {"KeyId": "ID", "KeyName": "a"}),
    ):
        answers = []
        for key_id in (theirs, never):
            filled = {name: key_id if value == "ID" else [key_id if one == "ID" else one for one in value]
                      if isinstance(value, list) else value for name, value in body.items()}  # fmt: skip
            before = function.emulator.state()["calls"]
            answer = {**ask(function, action, filled), "RequestId": ""}
            after = function.emulator.state()["calls"]
            answers.append((answer, {name: after[name] - before[name] for name in before}))
        assert answers[0] == answers[1]
    for action, body in (
        (DESCRIBE, {}),
        (DELETE, {"KeyIds": [theirs]}),
        (MODIFY, {"KeyId": theirs, "KeyName": "a"}),
    ):
        assert code(ask(function, action, body, "old")) == "UnauthorizedOperation"
    assert function.emulator.key_pairs() == account


def test_a_captured_list_of_ids_deletes_nothing(function: FunctionUnderTest) -> None:
    """Most SDKs do not sign the action. Whoever has the request later cannot change it."""
    key_id = create(function)["keyId"]
    shown = function.signed(V3, {"KeyIds": [key_id]}, x_tc_action=DESCRIBE)
    assert names(Answer(function.call(shown).event).json["Response"])
    turned = {**shown, "headers": {**shown["headers"], "x-tc-action": DELETE}}
    function.clock.time += 3
    assert function.call(turned).code == "AuthFailure.SignatureFailure"
    assert function.call(shown).code is None
    signed = function.signed(
        V3, {"KeyIds": [key_id]}, also_signed={"x-tc-action": DELETE}, x_tc_action=DELETE
    )
    turned = {**signed, "headers": {**signed["headers"], "x-tc-action": DESCRIBE}}
    assert function.call(turned).code == "AuthFailure.SignatureFailure"
    assert len(function.emulator.key_pairs()) == 1
    assert function.call(signed).code is None
    assert function.emulator.key_pairs() == []


def test_terraforms_calls(function: FunctionUnderTest) -> None:
    """As resource_tc_key_pair.go makes them of CVM: its state would hold no plain key."""
    order = {"KeyName": fresh_name(), "ProjectId": 0}
    made = ask(function, "CreateKeyPair", order, "registered")
    key_id = made["KeyPair"]["KeyId"]
    for _ in range(2):  # read after the create, and for the plan
        function.clock.time += 1
        (found,) = ask(function, DESCRIBE, {"KeyIds": [key_id]}, "registered")["KeyPairSet"]
        state = (found["KeyName"], found["ProjectId"], found["PublicKey"].split(" ")[:2])
        assert state == (order["KeyName"], 0, made["KeyPair"]["PublicKey"].split(" ")[:2])
    renamed = ask(function, MODIFY, {"KeyId": key_id, "KeyName": "other"}, "registered")
    assert code(renamed) == "UnsupportedOperation"
    assert ask(function, DESCRIBE, {"KeyIds": [key_id]}, "registered")["TotalCount"] == 1
    # Before it deletes a key pair in use, it would stop the instances to detach it.
    function.emulator.control("POST", f"/key-pairs/{key_id}/bind")
    (bound,) = ask(function, DESCRIBE, {"KeyIds": [key_id]}, "registered")["KeyPairSet"]
    detach = {"KeyIds": [key_id], "InstanceIds": bound["AssociatedInstanceIds"], "ForceStop": True}
    assert code(ask(function, "DisassociateInstancesKeyPairs", detach, "registered")) == "InvalidAction"
    assert code(ask(function, DELETE, {"KeyIds": [key_id]}, "registered")) == (
        "InvalidParameterValue.KeyPairNotSupported"
    )
    function.emulator.control("DELETE", f"/key-pairs/{key_id}/bind")
    function.clock.time += 1
    assert code(ask(function, DELETE, {"KeyIds": [key_id]}, "registered")) is None
    function.clock.time += 1
    assert ask(function, DESCRIBE, {"KeyIds": [key_id]}, "registered")["KeyPairSet"] == []
    # Applied again at once: another key pair, and not the answer for the deleted one.
    again = ask(function, "CreateKeyPair", order, "registered")
    assert again["KeyPair"]["KeyId"] != key_id
    private = function.emulator.private_keys()[-2:]
    assert not any(line in str((made, again)) for key in private for line in key.splitlines()[1:-1])


def test_a_look_at_a_key_pair_that_is_not_there_leaves_a_line(function: FunctionUnderTest) -> None:
    others = create(function, "second")["keyId"]
    for key_id in (others, "skey-00000000"):
        function.forget_audit()
        assert ask(function, DESCRIBE, {"KeyIds": [key_id]})["KeyPairSet"] == []
        assert decisions(function) == [("listed", "0 key pairs")]
    function.audit.close()
    answer = function.call(function.signed(V3, {"KeyIds": [others]}, x_tc_action=DESCRIBE))
    assert answer.json["Response"]["Error"]["Code"] == "InternalError.AuditUnavailable"
