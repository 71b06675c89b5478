import base64
import hashlib
import hmac
import http.client
import json
import multiprocessing
import queue
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from email.message import Message
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_public_key,
)
from tencentcloud.common import credential
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.cvm.v20170312 import cvm_client, models

from scripts.cvm_emulator.errors import ApiError
from scripts.cvm_emulator.signature import Credential, authenticate
from scripts.info_file import await_info
from tests.support.emulator_process import EmulatorProcess, running_emulator

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

pytestmark = [
    # The official SDK still calls it on every request.
    pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcfromtimestamp:DeprecationWarning"),
]
VERSION = "2017-03-12"


@pytest.fixture(scope="module")
def shared_emulator() -> Iterator[EmulatorProcess]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(shared_emulator: EmulatorProcess) -> Iterator[EmulatorProcess]:
    """Give an account without key pairs and faults."""
    yield shared_emulator
    shared_emulator.control("DELETE", "/faults")
    for key_pair in shared_emulator.key_pairs():
        # One by one: a test may have bound some of them.
        outcome(shared_emulator, "DeleteKeyPairs", {"KeyIds": [key_pair["KeyId"]]})


def client(
    emulator: EmulatorProcess, *, timeout: int = 10, region: str = "ap-guangzhou", **changed: str
) -> CommonClient:
    scheme, _, address = emulator.cvm_endpoint.partition("://")
    certification = emulator.info["authorityFile"]
    return CommonClient(
        "cvm",
        changed.get("version", VERSION),
        credential.Credential(
            changed.get("secret_id", emulator.secret_id),
            changed.get("secret_key", emulator.secret_key),
            changed.get("token", emulator.token) or None,
        ),
        region,
        ClientProfile(
            httpProfile=HttpProfile(
                protocol=scheme, endpoint=address, reqTimeout=timeout, certification=certification
            )
        ),
    )


def call(emulator: EmulatorProcess, action: str, parameters: dict[str, object]) -> dict[str, Any]:
    response: dict[str, Any] = client(emulator).call_json(action, parameters)["Response"]
    return response


def outcome(
    emulator: EmulatorProcess, action: str, parameters: dict[str, object], *, sdk: CommonClient | None = None
) -> str:
    """Return `ok` or the error code."""
    try:
        (sdk or client(emulator)).call_json(action, parameters)
    except TencentCloudSDKException as error:
        return str(error.code)
    return "ok"


def order(name: str = "web", /, **more: object) -> dict[str, object]:
    return {"KeyName": name, "ProjectId": 0, **more}


def tags(*pairs: tuple[str, str], resource_type: str = "keypair") -> dict[str, object]:
    listed = [{"Key": key, "Value": value} for key, value in pairs]
    return {"TagSpecification": [{"ResourceType": resource_type, "Tags": listed}]}


def create(emulator: EmulatorProcess, name: str = "web", /, **more: object) -> dict[str, Any]:
    key_pair: dict[str, Any] = call(emulator, "CreateKeyPair", order(name, **more))["KeyPair"]
    return key_pair


def public_key(number: int) -> str:
    """Return an RSA public key whose private half nobody knows: good enough to import, and made at once."""
    numbers = rsa.RSAPublicNumbers(65537, 2**2047 + 2 * number + 1)
    return numbers.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def halves_match(key_pair: dict[str, Any]) -> bool:
    private_half = load_pem_private_key(key_pair["PrivateKey"].encode(), None)
    public_half = load_ssh_public_key(key_pair["PublicKey"].encode())
    assert isinstance(private_half, rsa.RSAPrivateKey)
    assert isinstance(public_half, rsa.RSAPublicKey)
    return private_half.public_key().public_numbers() == public_half.public_numbers()


# CreateKeyPair


def test_a_key_pair_looks_like_the_published_example(emulator: EmulatorProcess) -> None:
    response = call(emulator, "CreateKeyPair", order(ProjectId=1234))
    key_pair = response["KeyPair"]
    assert set(response) == {"KeyPair", "RequestId"}
    assert set(key_pair) == {"KeyId", "KeyName", "ProjectId", "PublicKey", "PrivateKey"}
    assert (key_pair["KeyName"], key_pair["ProjectId"]) == ("web", 1234)
    assert len(key_pair["KeyId"].removeprefix("skey-")) == 8
    kind, blob, comment = key_pair["PublicKey"].split(" ")
    assert (kind, comment) == ("ssh-rsa", key_pair["KeyId"])
    assert len(base64.b64decode(blob)) == 279  # RSA-2048
    lines = key_pair["PrivateKey"].split("\n")
    assert lines[0] == "-----BEGIN RSA PRIVATE KEY-----"
    assert lines[-2:] == ["-----END RSA PRIVATE KEY-----", ""]
    assert {len(line) for line in lines[1:-3]} == {64}
    assert halves_match(key_pair)


def test_the_typed_client_of_the_official_sdk_works(emulator: EmulatorProcess) -> None:
    common = client(emulator)
    sdk = cvm_client.CvmClient(common.credential, "ap-guangzhou", common.profile)
    request = models.CreateKeyPairRequest()
    request.from_json_string(json.dumps(order(**tags(("team", "blue")))))
    created = sdk.CreateKeyPair(request).KeyPair
    described = sdk.DescribeKeyPairs(models.DescribeKeyPairsRequest())
    assert described.TotalCount == 1
    (key_pair,) = described.KeyPairSet
    assert (key_pair.KeyId, key_pair.KeyName, key_pair.PublicKey) == (created.KeyId, "web", created.PublicKey)
    assert (key_pair.PrivateKey, key_pair.AssociatedInstanceIds) == (None, [])
    assert [(tag.Key, tag.Value) for tag in key_pair.Tags] == [("team", "blue")]


FIFTY = [(f"key{number}", "value") for number in range(50)]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        (order("A" * 25), "ok"),
        (order("A" * 26), "InvalidKeyPairNameTooLong"),
        (order(""), "InvalidKeyPairNameEmpty"),
        (order("a-b"), "InvalidKeyPairNameIncludeIllegalChar"),
        (order("a\n"), "InvalidKeyPairNameIncludeIllegalChar"),
        (order("é"), "InvalidKeyPairNameIncludeIllegalChar"),
        (order("\uff11"), "InvalidKeyPairNameIncludeIllegalChar"),
        ({"ProjectId": 0}, "MissingParameter"),
        ({"KeyName": "web"}, "MissingParameter"),
        (order(ProjectId=7), "InvalidProjectId.NotFound"),
        (order(ProjectId="0"), "InvalidParameterValue"),
        (order(ProjectId=None), "InvalidParameterValue"),
        (order(ProjectId=True), "InvalidParameterValue"),
        (order(DryRun=True), "UnknownParameter"),
        (order(**tags(*FIFTY)), "ok"),
        (order(**tags(*FIFTY, ("more", "value"))), "LimitExceeded.TagResourceQuota"),
        (order(**tags(("qcs:a", "b"))), "FailedOperation.TagKeyReserved"),
        (order(**tags(("project:a", "b"))), "FailedOperation.TagKeyReserved"),
        (order(**tags(("a" * 127, "b" * 255))), "ok"),
        (order(**tags(("a" * 128, "b"))), "InvalidParameterValue"),
        (order(**tags(("a", "b" * 256))), "InvalidParameterValue"),
        (order(**tags(("", "b"))), "InvalidParameterValue"),
        (order(**tags(("a", ""))), "InvalidParameterValue"),
        (order(**tags((" a", "b"))), "InvalidParameterValue"),
        (order(**tags(("a", "b "))), "InvalidParameterValue"),
        (order(**tags(("a", "b"), ("a", "c"))), "InvalidParameterValue"),
        (order(**tags(("a", "b"), resource_type="instance")), "InvalidParameterValue"),
        (order(TagSpecification=[{"ResourceType": "keypair"}]), "MissingParameter"),
    ],
)
def test_create_checks_its_parameters(
    emulator: EmulatorProcess, parameters: dict[str, object], code: str
) -> None:
    assert outcome(emulator, "CreateKeyPair", parameters) == code
    assert len(emulator.key_pairs()) == (1 if code == "ok" else 0)


def test_a_name_is_free_again_after_its_key_pair_was_deleted(emulator: EmulatorProcess) -> None:
    key_id = create(emulator)["KeyId"]
    assert outcome(emulator, "CreateKeyPair", order()) == "InvalidKeyPairName.Duplicate"
    assert outcome(emulator, "CreateKeyPair", order("Web")) == "ok"
    call(emulator, "DeleteKeyPairs", {"KeyIds": [key_id]})
    assert outcome(emulator, "CreateKeyPair", order()) == "ok"


def test_the_account_holds_100_key_pairs(emulator: EmulatorProcess) -> None:
    sdk = client(emulator)
    for number in range(100):
        sdk.call_json("ImportKeyPair", order(f"key{number}", PublicKey=public_key(number)))
    assert outcome(emulator, "CreateKeyPair", order()) == "InvalidKeyPair.LimitExceeded"
    key_id = emulator.key_pairs()[0]["KeyId"]
    call(emulator, "DeleteKeyPairs", {"KeyIds": [key_id]})
    assert outcome(emulator, "CreateKeyPair", order()) == "ok"
    assert len(emulator.key_pairs()) == 100


def test_private_keys_are_told_to_tests_and_stored_nowhere(tmp_path: Path) -> None:
    with running_emulator(state=tmp_path / "state") as emulator:
        private_keys = [create(emulator, name)["PrivateKey"] for name in ("one", "two")]
        assert emulator.private_keys() == private_keys
    assert len(set(private_keys)) == 2
    for file in tmp_path.iterdir():
        assert b"PRIVATE" not in file.read_bytes()
        for line in private_keys[0].split("\n")[1:-2]:
            assert line.encode() not in file.read_bytes()


# DescribeKeyPairs, DeleteKeyPairs, ImportKeyPair


def names(emulator: EmulatorProcess, **parameters: object) -> list[str]:
    return [key_pair["KeyName"] for key_pair in call(emulator, "DescribeKeyPairs", parameters)["KeyPairSet"]]


def import_keys(emulator: EmulatorProcess, count: int) -> list[str]:
    return [
        call(emulator, "ImportKeyPair", order(f"key{number}", PublicKey=public_key(number)))["KeyId"]
        for number in range(count)
    ]


def test_describe_pages(emulator: EmulatorProcess) -> None:
    import_keys(emulator, 23)
    everything = [f"key{number}" for number in range(23)]
    first = call(emulator, "DescribeKeyPairs", {})
    assert first["TotalCount"] == 23
    assert names(emulator) == everything[:20]
    assert names(emulator, Offset=20) == everything[20:]
    assert names(emulator, Offset=2, Limit=3) == everything[2:5]
    assert names(emulator, Limit=100) == everything
    assert names(emulator, Offset=23) == []


def test_describe_filters(emulator: EmulatorProcess) -> None:
    tagged: dict[str, dict[str, object]] = {
        "one": tags(("team", "blue"), ("stage", "test")),
        "two": tags(("team", "red")),
        "three": {"ProjectId": 1234},
    }
    for number, (name, more) in enumerate(tagged.items()):
        call(emulator, "ImportKeyPair", {**order(name, PublicKey=public_key(number)), **more})

    def found(*filters: tuple[str, list[str]]) -> list[str]:
        return names(emulator, Filters=[{"Name": name, "Values": values} for name, values in filters])

    assert found(("key-name", ["two", "three", "four"])) == ["two", "three"]
    assert found(("key-name", ["no name", "\ud800"])) == []
    assert found(("project-id", ["1234"])) == ["three"]
    assert found(("tag-key", ["team"])) == ["one", "two"]
    assert found(("tag-value", ["test"])) == ["one"]
    assert found(("tag:team", ["red"])) == ["two"]
    assert found(("tag:stage", ["red"])) == []
    assert found(("tag-key", ["team"]), ("key-name", ["two"])) == ["two"]
    two = emulator.key_pairs()[1]["KeyId"]
    assert names(emulator, KeyIds=[two]) == ["two"]
    assert names(emulator, KeyIds=["skey-00000000"]) == []


@pytest.mark.parametrize(
    ("action", "parameters", "code"),
    [
        ("DescribeKeyPairs", {"Limit": 0}, "InvalidParameterValueLimit"),
        ("DescribeKeyPairs", {"Limit": 101}, "InvalidParameterValueLimit"),
        ("DescribeKeyPairs", {"Offset": -1}, "InvalidParameterValueOffset"),
        ("DescribeKeyPairs", {"KeyIds": ["key-1"]}, "InvalidKeyPairId.Malformed"),
        ("DescribeKeyPairs", {"KeyIds": ["skey-00000000"] * 101}, "InvalidParameterValue.LimitExceeded"),
        (
            "DescribeKeyPairs",
            {"KeyIds": ["skey-00000000"], "Filters": [{"Name": "key-name", "Values": ["a"]}]},
            "InvalidParameter",
        ),
        ("DescribeKeyPairs", {"Filters": [{"Name": "name", "Values": ["a"]}]}, "InvalidFilter"),
        (
            "DescribeKeyPairs",
            {"Filters": [{"Name": "key-name", "Values": ["a"] * 6}]},
            "InvalidFilterValue.LimitExceeded",
        ),
        (
            "DescribeKeyPairs",
            {"Filters": [{"Name": "key-name", "Values": ["a"]}] * 11},
            "InvalidParameterValue.LimitExceeded",
        ),
        ("DescribeKeyPairs", {"KeyId": "skey-00000000"}, "UnknownParameter"),
        ("DeleteKeyPairs", {}, "MissingParameter"),
        ("DeleteKeyPairs", {"KeyIds": []}, "MissingParameter"),
        ("DeleteKeyPairs", {"KeyIds": ["1"]}, "InvalidKeyPairId.Malformed"),
        ("DeleteKeyPairs", {"KeyIds": ["skey-00000000"]}, "InvalidKeyPairId.NotFound"),
        ("DeleteKeyPairs", {"KeyIds": ["skey-00000000"] * 101}, "InvalidParameterValue.LimitExceeded"),
        ("ImportKeyPair", order(), "MissingParameter"),
        ("ImportKeyPair", order("a b", PublicKey=public_key(0)), "InvalidKeyPairNameIncludeIllegalChar"),
        ("ImportKeyPair", order(PublicKey="ssh-rsa AAAA"), "InvalidPublicKey.Malformed"),
        (
            "ImportKeyPair",
            order(
                PublicKey="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ"
            ),
            "InvalidPublicKey.Malformed",
        ),
        ("ImportKeyPair", order(PublicKey=public_key(0), **tags(("qcs:a", "b"))), "InvalidParameterValue"),
        ("AssociateInstancesKeyPairs", {}, "InvalidAction"),
        ("ModifyKeyPairAttribute", {"KeyId": "skey-00000000"}, "MissingParameter"),
        ("ModifyKeyPairAttribute", {"Description": "x"}, "MissingParameter"),
        ("ModifyKeyPairAttribute", {"KeyId": "1", "Description": "x"}, "InvalidKeyPairId.Malformed"),
        (
            "ModifyKeyPairAttribute",
            {"KeyId": "skey-00000000", "Description": "x"},
            "InvalidKeyPairId.NotFound",
        ),
        (
            "ModifyKeyPairAttribute",
            {"KeyId": "skey-00000000", "Description": "x" * 61},
            "InvalidParameterValue",
        ),
        (
            "ModifyKeyPairAttribute",
            {"KeyId": "skey-00000000", "KeyName": ""},
            "InvalidKeyPairNameEmpty",
        ),
        (
            "ModifyKeyPairAttribute",
            {"KeyId": "skey-00000000", "KeyName": "A" * 26},
            "InvalidKeyPairNameTooLong",
        ),
        (
            "ModifyKeyPairAttribute",
            {"KeyId": "skey-00000000", "KeyName": "a-b"},
            "InvalidKeyPairNameIncludeIllegalChar",
        ),
    ],
)
def test_the_other_actions_check_their_parameters(
    emulator: EmulatorProcess, action: str, parameters: dict[str, object], code: str
) -> None:
    assert outcome(emulator, action, parameters) == code
    assert emulator.key_pairs() == []


def test_modify_gives_a_name_or_a_description() -> None:
    with running_emulator() as emulator:
        first, second = import_keys(emulator, 2)
        changed = call(emulator, "ModifyKeyPairAttribute", {"KeyId": first, "Description": "x" * 60})
        assert set(changed) == {"RequestId"}
        call(emulator, "ModifyKeyPairAttribute", {"KeyId": first, "KeyName": "other"})
        taken = outcome(emulator, "ModifyKeyPairAttribute", {"KeyId": second, "KeyName": "other"})
        assert taken == "InvalidKeyPairName.Duplicate"
        listed = call(emulator, "DescribeKeyPairs", {})["KeyPairSet"]
        assert [(pair["KeyName"], pair["Description"]) for pair in listed] == [
            ("other", "x" * 60),
            ("key1", ""),
        ]
        both: dict[str, object] = {"KeyId": second, "KeyName": "both", "Description": "\u5bc6" * 60}
        call(emulator, "ModifyKeyPairAttribute", both)
        assert emulator.key_pairs()[1]["KeyName"] == "both"
        assert emulator.key_pairs()[1]["Description"] == "\u5bc6" * 60
        call(emulator, "ModifyKeyPairAttribute", {"KeyId": second, "Description": ""})
        assert emulator.key_pairs()[1]["Description"] == ""
        assert emulator.calls("ModifyKeyPairAttribute") == 5


def test_a_refused_change_changes_nothing(emulator: EmulatorProcess) -> None:
    _, second = import_keys(emulator, 2)
    change: dict[str, object] = {"KeyId": second, "KeyName": "key0", "Description": "x"}
    assert outcome(emulator, "ModifyKeyPairAttribute", change) == "InvalidKeyPairName.Duplicate"
    change = {"KeyId": second, "KeyName": "fine", "Description": "x" * 61}
    assert outcome(emulator, "ModifyKeyPairAttribute", change) == "InvalidParameterValue"
    kept = emulator.key_pairs()[1]
    assert (kept["KeyName"], kept["Description"]) == ("key1", "")


def test_delete_takes_all_or_nothing_and_spares_bound_keys() -> None:
    with running_emulator() as emulator:
        free, bound = import_keys(emulator, 2)
        emulator.control("POST", f"/key-pairs/{bound}/bind")
        code = outcome(emulator, "DeleteKeyPairs", {"KeyIds": [free, bound]})
        assert code == "InvalidParameterValue.KeyPairNotSupported"
        assert names(emulator) == ["key0", "key1"]
        assert emulator.key_pairs()[1]["AssociatedInstanceIds"] == ["ins-emulated"]
        assert set(call(emulator, "DeleteKeyPairs", {"KeyIds": [free]})) == {"RequestId"}
        assert names(emulator) == ["key1"]


def test_an_imported_key_gets_the_servers_comment(emulator: EmulatorProcess) -> None:
    text = public_key(0)
    response = call(emulator, "ImportKeyPair", order(PublicKey=f"{text} me@home"))
    assert set(response) == {"KeyId", "RequestId"}
    assert emulator.key_pairs()[0]["PublicKey"] == f"{text} {response['KeyId']}"
    code = outcome(emulator, "ImportKeyPair", order("other", PublicKey=f"{text} me@work"))
    assert code == "InvalidPublicKey.Duplicate"
    code = outcome(emulator, "ImportKeyPair", order(PublicKey=public_key(1)))
    assert code == "InvalidKeyPairName.Duplicate"


# Who calls, and how


def test_the_credential_is_checked(emulator: EmulatorProcess) -> None:
    def code(**changed: str) -> str:
        return outcome(emulator, "DescribeKeyPairs", {}, sdk=client(emulator, **changed))  # type: ignore[arg-type]

    assert code() == "ok"
    assert code(secret_id="AKIDother") == "AuthFailure.SecretIdNotFound"
    assert code(secret_key="other") == "AuthFailure.SignatureFailure"
    assert code(token="other") == "AuthFailure.TokenFailure"
    assert code(version="2020-01-01") == "NoSuchVersion"
    assert code(region="nowhere!") == "UnsupportedRegion"
    assert code(region="") == "MissingParameter"


def test_a_temporary_credential_needs_its_token() -> None:
    with running_emulator(token="token-1") as emulator:
        assert outcome(emulator, "DescribeKeyPairs", {}) == "ok"
        for wrong in ("", "token-2"):
            sdk = client(emulator, token=wrong)
            assert outcome(emulator, "DescribeKeyPairs", {}, sdk=sdk) == "AuthFailure.TokenFailure"


def post(
    emulator: EmulatorProcess, body: bytes, headers: dict[str, str]
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(emulator.cvm_endpoint.partition("://")[2], timeout=10)
    try:
        connection.request("POST", "/", body, headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def signed(
    emulator: EmulatorProcess,
    body: bytes = b"{}",
    *,
    timestamp: int | None = None,
    signed_headers: str = "content-type;host;x-tc-action",
    date: str | None = None,
    service: str = "cvm",
    content_type: str = "application/json; charset=utf-8",
) -> dict[str, str]:
    """Sign as the documentation says, without the SDK."""
    timestamp = int(time.time()) if timestamp is None else timestamp
    date = date or datetime.fromtimestamp(timestamp, tz=timezone.utc).strftime("%Y-%m-%d")
    headers = {
        "content-type": content_type,
        "host": emulator.cvm_endpoint.partition("://")[2],
        "x-tc-action": "DescribeKeyPairs",
        "x-tc-region": "ap-guangzhou",
        "x-tc-timestamp": str(timestamp),
        "x-tc-version": VERSION,
    }
    canonical = "".join(
        f"{name}:{headers[name].lower() if name == 'x-tc-action' else headers[name]}\n"
        for name in signed_headers.split(";")
    )
    request = f"POST\n/\n\n{canonical}\n{signed_headers}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{date}/{service}/tc3_request"
    text = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = b"TC3" + emulator.secret_key.encode()
    for part in (date, service, "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    headers["authorization"] = (
        f"TC3-HMAC-SHA256 Credential={emulator.secret_id}/{scope}, SignedHeaders={signed_headers}, "
        f"Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"
    )
    return headers


def code_of(emulator: EmulatorProcess, headers: dict[str, str], body: bytes = b"{}") -> str:
    """Return the error code or `ok`; the form of the answer is the same whatever it says."""
    response, content = post(emulator, body, headers)
    assert response.status == 200
    assert response.getheader("Content-Type") == "application/json"
    decoded = json.loads(content)["Response"]
    if "Error" not in decoded:
        return "ok"
    assert set(decoded) == {"Error", "RequestId"}
    assert set(decoded["Error"]) == {"Code", "Message"}
    return str(decoded["Error"]["Code"])


def test_both_documented_sets_of_signed_headers_are_taken(emulator: EmulatorProcess) -> None:
    assert code_of(emulator, signed(emulator, signed_headers="content-type;host")) == "ok"
    headers = signed(emulator)
    assert code_of(emulator, headers) == "ok"
    headers["x-tc-action"] = "DeleteKeyPairs"
    assert code_of(emulator, headers) == "AuthFailure.SignatureFailure"


def test_what_was_signed_must_be_what_arrives(emulator: EmulatorProcess) -> None:
    now = int(time.time())
    assert code_of(emulator, signed(emulator), body=b"{ }") == "AuthFailure.SignatureFailure"
    assert code_of(emulator, {**signed(emulator), "host": "cvm"}) == "AuthFailure.SignatureFailure"
    assert code_of(emulator, signed(emulator, date="2020-01-01")) == "AuthFailure.SignatureFailure"
    assert code_of(emulator, signed(emulator, service="cbs")) == "AuthFailure.SignatureFailure"
    later = {**signed(emulator), "x-tc-timestamp": str(now + 60)}
    assert code_of(emulator, later) == "AuthFailure.SignatureFailure"
    for off in (-330, 330):
        assert code_of(emulator, signed(emulator, timestamp=now + off)) == "AuthFailure.SignatureExpire"
    for off in (-270, 270):
        assert code_of(emulator, signed(emulator, timestamp=now + off)) == "ok"


def test_malformed_requests_have_codes_too(emulator: EmulatorProcess) -> None:
    headers = signed(emulator)
    without = {name: value for name, value in headers.items() if name != "authorization"}
    assert code_of(emulator, without) == "AuthFailure.InvalidAuthorization"
    assert code_of(emulator, {**without, "authorization": "Bearer x"}) == "AuthFailure.InvalidAuthorization"
    assert code_of(emulator, signed(emulator, signed_headers="host")) == "AuthFailure.InvalidAuthorization"
    without = {name: value for name, value in headers.items() if name != "x-tc-timestamp"}
    assert code_of(emulator, without) == "MissingParameter"
    assert code_of(emulator, {**headers, "x-tc-timestamp": "now"}) == "InvalidParameterValue"
    for body in (b"", b"[]", b"{", b"\xff"):
        assert code_of(emulator, signed(emulator, body), body) == "InvalidRequest"
    plain = signed(emulator, content_type="text/plain")
    assert code_of(emulator, plain) == "InvalidRequest"


@pytest.mark.parametrize(
    ("secret_key", "signed_headers", "signature"),
    [
        (
            "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
            "content-type;host",
            "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
        ),
        (
            "*" * 32,
            "content-type;host;x-tc-action",
            "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
        ),
    ],
)
def test_the_published_signature_examples(secret_key: str, signed_headers: str, signature: str) -> None:
    body = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
    known = Credential("AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", secret_key)

    def check(signature: str, now: int) -> None:
        headers = Message()
        headers["Content-Type"] = "application/json; charset=utf-8"
        headers["Host"] = "cvm.tencentcloudapi.com"
        headers["X-TC-Action"] = "DescribeInstances"
        headers["X-TC-Timestamp"] = "1551113065"
        headers["Authorization"] = (
            f"TC3-HMAC-SHA256 Credential={known.secret_id}/2019-02-25/cvm/tc3_request, "
            f"SignedHeaders={signed_headers}, Signature={signature}"
        )
        authenticate(headers, body, known, now)

    check(signature, 1551113065 + 300)
    with pytest.raises(ApiError) as late:
        check(signature, 1551113065 + 301)
    assert late.value.code == "AuthFailure.SignatureExpire"
    with pytest.raises(ApiError) as wrong:
        check(signature[::-1], 1551113065)
    assert wrong.value.code == "AuthFailure.SignatureFailure"


@pytest.mark.parametrize(
    ("action", "below_the_limit"),
    [("DescribeKeyPairs", "ok"), ("ModifyKeyPairAttribute", "MissingParameter")],
)
def test_ten_calls_of_an_action_in_a_second(action: str, below_the_limit: str) -> None:
    with running_emulator(rate=10) as emulator:
        sdk = client(emulator)
        codes = Counter(outcome(emulator, action, {}, sdk=sdk) for _ in range(15))
        assert codes == {below_the_limit: 10, "RequestLimitExceeded": 5}
        assert outcome(emulator, "DeleteKeyPairs", {}, sdk=sdk) == "MissingParameter"
        assert emulator.calls(action) == 15
        emulator.control("POST", "/rate", {"perSecond": 0})
        assert outcome(emulator, action, {}, sdk=sdk) == below_the_limit


def test_https(tmp_path: Path) -> None:
    with running_emulator(tls=tmp_path) as emulator:
        assert emulator.cvm_endpoint.startswith("https://127.0.0.1:")
        assert outcome(emulator, "CreateKeyPair", order()) == "ok"
        with pytest.raises(requests.exceptions.SSLError):
            requests.post(emulator.cvm_endpoint, timeout=10)
        port = emulator.cvm_endpoint.rpartition(":")[2]
        answer = requests.post(f"https://localhost:{port}", timeout=10, verify=emulator.info["authorityFile"])
        assert answer.json()["Response"]["Error"]["Code"] == "AuthFailure.InvalidAuthorization"
    assert (tmp_path / "server.pem").stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in (tmp_path / "ca.pem").read_bytes()


# What lasts


def test_the_account_outlives_the_emulator(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with running_emulator(state=state) as emulator:
        key_pair = create(emulator, **tags(("team", "blue")))
        change: dict[str, object] = {"KeyId": key_pair["KeyId"], "Description": "kept"}
        call(emulator, "ModifyKeyPairAttribute", change)
    with running_emulator(state=state) as emulator:
        (kept,) = emulator.key_pairs()
        assert kept["Description"] == "kept"
        assert (kept["KeyId"], kept["Tags"]) == (key_pair["KeyId"], [{"Key": "team", "Value": "blue"}])
        assert outcome(emulator, "CreateKeyPair", order()) == "InvalidKeyPairName.Duplicate"
        # The pool of ready-made keys begins anew, but a key that is in the account is not used again.
        assert create(emulator, "other")["PublicKey"].split()[1] != key_pair["PublicKey"].split()[1]
        assert emulator.private_keys() != [key_pair["PrivateKey"]]
    with sqlite3.connect(state) as database:
        assert database.execute("SELECT count(*) FROM key_pair").fetchone() == (2,)
    database.close()


def test_a_call_that_still_waits_at_the_end_has_no_effect(tmp_path: Path) -> None:
    with running_emulator(state=tmp_path / "state") as emulator:
        emulator.add_faults({"kind": "delay", "seconds": 600, "after": "before"})
        assert failure(emulator, timeout=1) == (SDK_ERROR, "ClientNetworkError")
    with running_emulator(state=tmp_path / "state") as emulator:
        assert emulator.key_pairs() == []


def test_an_effect_outlives_a_killed_caller(emulator: EmulatorProcess) -> None:
    emulator.add_faults({"kind": "delay", "seconds": 600})
    context = multiprocessing.get_context("spawn")
    caller = context.Process(target=create, args=(emulator_address(emulator),))
    caller.start()
    while not emulator.key_pairs():
        assert caller.is_alive()
    caller.kill()
    caller.join()
    assert [key_pair["KeyName"] for key_pair in emulator.key_pairs()] == ["web"]


def test_the_clock_shifts_what_is_created_and_no_signature(emulator: EmulatorProcess) -> None:
    emulator.control("POST", "/clock", {"offset": -86400})
    try:
        create(emulator)
    finally:
        emulator.control("POST", "/clock", {"offset": 0})
    created = datetime.strptime(emulator.key_pairs()[0]["CreatedTime"], "%Y-%m-%dT%H:%M:%S%z")
    age = (datetime.now(tz=timezone.utc) - created).total_seconds()
    assert 86400 <= age < 86400 + 30


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_start_and_stop(tmp_path: Path, stop_signal: signal.Signals) -> None:
    info_file = tmp_path / "info.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.cvm_emulator", "--info", info_file,
         "--secret-id", "AKIDgiven", "--secret-key", "given"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        info = await_info(process, info_file, seconds=30)
        assert info_file.stat().st_mode & 0o777 == 0o600
        assert (info["secretId"], info["secretKey"], info["pid"]) == ("AKIDgiven", "given", process.pid)
    finally:
        process.send_signal(stop_signal)
        stdout, stderr = process.communicate(timeout=10)
    assert process.returncode == 0
    assert stderr == b""
    assert stdout.decode().splitlines() == [
        f"CVM emulator ready at {info['cvmEndpoint']}, control port {info['controlUrl']}, SecretId AKIDgiven"
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_pool_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.touch(mode=0o644)
    done = subprocess.run(
        [sys.executable, "-m", "scripts.cvm_emulator", "--pool", pool],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert b"only its owner" in done.stderr


# Faults, as the official SDK sees them


def failure(
    emulator: EmulatorProcess,
    action: str = "CreateKeyPair",
    parameters: dict[str, object] | None = None,
    *,
    timeout: int = 10,
) -> tuple[str, str]:
    """Return the type and the code of what the call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # the SDK lets several kinds through
        client(emulator, timeout=timeout).call_json(action, parameters or order())
    return type(caught.value).__name__, str(getattr(caught.value, "code", ""))


SDK_ERROR = "TencentCloudSDKException"


FAULTS: list[tuple[dict[str, object], tuple[str, str], int]] = [
    ({"kind": "cut", "after": "before"}, (SDK_ERROR, "ClientNetworkError"), 0),
    ({"kind": "cut", "after": "effect"}, (SDK_ERROR, "ClientNetworkError"), 1),
    ({"kind": "delay", "seconds": 600, "after": "before"}, (SDK_ERROR, "ClientNetworkError"), 0),
    ({"kind": "delay", "seconds": 600, "after": "effect"}, (SDK_ERROR, "ClientNetworkError"), 1),
    ({"kind": "http-status", "status": 502, "after": "before"}, (SDK_ERROR, "ServerNetworkError"), 0),
    ({"kind": "http-status", "status": 502}, (SDK_ERROR, "ServerNetworkError"), 1),
    ({"kind": "throttle"}, (SDK_ERROR, "RequestLimitExceeded"), 0),
    ({"kind": "error", "code": "InternalServerError"}, (SDK_ERROR, "InternalServerError"), 0),
    (
        {"kind": "error", "code": "InternalServerError", "after": "effect"},
        (SDK_ERROR, "InternalServerError"),
        1,
    ),
    ({"kind": "truncate", "honest": True}, ("JSONDecodeError", ""), 1),
    ({"kind": "truncate", "honest": False}, ("ChunkedEncodingError", ""), 1),
    ({"kind": "undecodable"}, ("JSONDecodeError", ""), 1),
]
"""A fault, what the SDK raises, and how often the action took effect."""


@pytest.mark.parametrize(("fault", "seen", "created"), FAULTS)
def test_a_fault_makes_the_call_fail(
    emulator: EmulatorProcess, fault: dict[str, object], seen: tuple[str, str], created: int
) -> None:
    emulator.add_faults(fault)
    assert failure(emulator, timeout=1 if fault["kind"] == "delay" else 10) == seen
    assert len(emulator.key_pairs()) == created
    assert emulator.state()["faults"] == []


@pytest.mark.parametrize(("fault", "seen", "changed"), FAULTS)
def test_a_fault_makes_a_change_fail(
    emulator: EmulatorProcess, fault: dict[str, object], seen: tuple[str, str], changed: int
) -> None:
    action = "ModifyKeyPairAttribute"
    (key_id,) = import_keys(emulator, 1)
    calls_before = emulator.calls(action)
    emulator.add_faults({**fault, "action": action})
    timeout = 1 if fault["kind"] == "delay" else 10
    assert failure(emulator, action, {"KeyId": key_id, "Description": "x"}, timeout=timeout) == seen
    assert emulator.key_pairs()[0]["Description"] == "x" * changed
    assert emulator.calls(action) == calls_before + 1
    assert emulator.state()["faults"] == []


def test_a_short_delay_only_delays(emulator: EmulatorProcess) -> None:
    for position in ("before", "effect"):
        emulator.add_faults({"kind": "delay", "seconds": 0.3, "after": position})
        began = time.monotonic()
        create(emulator, position)
        assert time.monotonic() - began >= 0.3


def test_a_content_type_that_hides_errors_from_the_sdk(emulator: EmulatorProcess) -> None:
    create(emulator)
    emulator.add_faults({"kind": "content-type"})
    response = call(emulator, "CreateKeyPair", order())
    assert response["Error"]["Code"] == "InvalidKeyPairName.Duplicate"


def test_a_dribble_is_slow_and_complete(emulator: EmulatorProcess) -> None:
    emulator.add_faults({"action": "DescribeKeyPairs", "kind": "dribble", "milliseconds": 4})
    began = time.monotonic()
    assert call(emulator, "DescribeKeyPairs", {})["TotalCount"] == 0
    assert time.monotonic() - began >= 0.3


def test_the_sdk_follows_a_redirect(emulator: EmulatorProcess) -> None:
    # Within a host the Authorization goes along; to another one only the body does.
    emulator.add_faults({"kind": "redirect", "location": emulator.cvm_endpoint})
    before = emulator.calls("CreateKeyPair")
    create(emulator)
    assert emulator.calls("CreateKeyPair") == before + 2
    with running_emulator() as other:
        emulator.add_faults({"kind": "redirect", "location": other.cvm_endpoint})
        assert failure(emulator) == (SDK_ERROR, "AuthFailure.InvalidAuthorization")
        assert other.calls("CreateKeyPair") == 1


def test_wrong_key_pairs(emulator: EmulatorProcess) -> None:
    def spoiled(kind: str) -> dict[str, Any]:
        emulator.add_faults({"kind": kind})
        return create(emulator, kind.replace("-", "_"))

    before = len(emulator.private_keys())
    assert not halves_match(spoiled("mismatch"))
    assert len(emulator.private_keys()) == before + 2

    weak = spoiled("weak")
    assert halves_match(weak)
    half = load_ssh_public_key(weak["PublicKey"].encode())
    assert isinstance(half, rsa.RSAPublicKey)
    assert half.key_size == 1024
    assert emulator.key_pairs()[-1]["PublicKey"] == weak["PublicKey"]

    unterminated = spoiled("no-final-newline")
    assert unterminated["PrivateKey"].endswith("-----END RSA PRIVATE KEY-----")
    assert halves_match(unterminated)

    assert spoiled("skey-comment")["PublicKey"].endswith(" skey_112168")
    assert spoiled("other-name")["KeyName"] == "another_name"
    assert emulator.key_pairs()[-1]["KeyName"] == "other_name"
    wrapped = spoiled("extra-text")["PrivateKey"]
    assert wrapped == f"Text before the key\n{emulator.private_keys()[-1]}Text after the key\n"

    emulator.add_faults({"kind": "no-keypair"})
    assert set(call(emulator, "CreateKeyPair", order())) == {"RequestId"}
    assert emulator.key_pairs()[-1]["KeyName"] == "web"


def test_faults_wait_in_line_for_their_action(emulator: EmulatorProcess) -> None:
    emulator.add_faults(
        {"kind": "error", "code": "First", "times": 2},
        {"kind": "error", "code": "Elsewhere", "action": "DescribeKeyPairs"},
        {"kind": "error", "code": "Last"},
    )
    codes = [outcome(emulator, "CreateKeyPair", order(f"name{number}")) for number in range(3)]
    assert codes == ["First", "First", "Last"]
    (remaining,) = emulator.state()["faults"]
    assert (remaining["code"], remaining["times"], remaining["after"]) == ("Elsewhere", 1, "before")
    assert outcome(emulator, "DescribeKeyPairs", {}) == "Elsewhere"
    emulator.add_faults({"kind": "throttle"})
    emulator.control("DELETE", "/faults")
    assert outcome(emulator, "CreateKeyPair", order()) == "ok"


@pytest.mark.parametrize(
    "content",
    [
        [{"action": "CreateKeyPair", "kind": "unheard-of"}],
        [{"action": "CreateKeyPair", "kind": "delay"}],
        [{"action": "CreateKeyPair", "kind": "cut", "after": "later"}],
        [{"action": "DescribeKeyPairs", "kind": "weak"}],
        {"kind": "cut"},
    ],
)
def test_a_mistaken_fault_is_refused(emulator: EmulatorProcess, content: object) -> None:
    answer = requests.post(f"{emulator.control_url}/faults", json=content, timeout=10)
    assert answer.status_code == 400
    assert emulator.state()["faults"] == []


def test_the_control_port_knows_its_paths(emulator: EmulatorProcess) -> None:
    for method, path in (("GET", "/"), ("POST", "/key-pairs/skey-00000000/bind"), ("DELETE", "/state")):
        assert requests.request(method, emulator.control_url + path, timeout=10).status_code == 404


# One name, many callers


def emulator_address(emulator: EmulatorProcess) -> Any:  # noqa: ANN401  # stands in for an EmulatorProcess
    """Return what another process needs to call the emulator: a process object cannot travel."""
    return _Address(emulator.cvm_endpoint, emulator.secret_id, emulator.secret_key)


class _Address:
    token = ""
    info: dict[str, object] = {"authorityFile": None}  # noqa: RUF012  # never changed

    def __init__(self, cvm_endpoint: str, secret_id: str, secret_key: str) -> None:
        self.cvm_endpoint = cvm_endpoint
        self.secret_id = secret_id
        self.secret_key = secret_key


CALLERS = 8
ROUNDS = 100


def race(address: Any, barrier: Barrier, results: "Queue[tuple[int, str]]") -> None:  # noqa: ANN401  # as above
    sdk = client(address)
    for number in range(ROUNDS):
        barrier.wait(timeout=60)
        results.put((number, outcome(address, "CreateKeyPair", order(f"race{number}"), sdk=sdk)))


def test_of_simultaneous_creates_of_one_name_exactly_one_succeeds() -> None:
    context = multiprocessing.get_context("spawn")
    barrier: Barrier = context.Barrier(CALLERS)
    results: Queue[tuple[int, str]] = context.Queue()
    with running_emulator() as emulator:
        callers = [
            context.Process(target=race, args=(emulator_address(emulator), barrier, results))
            for _ in range(CALLERS)
        ]
        for caller in callers:
            caller.start()
        try:
            outcomes = [results.get(timeout=60) for _ in range(CALLERS * ROUNDS)]
        except queue.Empty:
            barrier.abort()
            raise
        finally:
            for caller in callers:
                caller.join(timeout=60)
        assert len(emulator.key_pairs()) == ROUNDS
        assert len(emulator.private_keys()) == ROUNDS
    for number in range(ROUNDS):
        codes = Counter(code for in_round, code in outcomes if in_round == number)
        assert codes == {"ok": 1, "InvalidKeyPairName.Duplicate": CALLERS - 1}
