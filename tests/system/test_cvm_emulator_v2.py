"""The legacy side of the emulator, as the legacy client and plain HTTP see it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.function_under_test import fresh_name
from tests.support.legacy_client import LegacyClient
from tests.support.v2_requests import PATH, v2_signature

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = "2017-03-12"


@pytest.fixture(scope="module")
def tls_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmulatorProcess, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    with running_emulator(tls=folder) as process:
        yield process, folder / "ca.pem"


# ---------------------------------------------------------------- with the client


@pytest.mark.parametrize("signature_method", ["HmacSHA1", "HmacSHA256"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_legacy_client_gets_a_key_pair(
    tls_emulator: tuple[EmulatorProcess, Path], method: str, signature_method: str
) -> None:
    process, authority = tls_emulator
    client = LegacyClient(process.cvm_endpoint, authority, process.secret_id, process.secret_key)
    name = fresh_name()
    answer = client.create_key_pair(
        {"keyName": name}, method=method, signature_method=signature_method, Region="gz"
    )
    data = answer.pop("data")
    assert answer == {"code": 0, "codeDesc": "Success", "message": ""}
    assert set(data) == {"keyId", "keyName", "pubkey", "secretkey"}
    assert data["keyName"] == name
    assert re.fullmatch(r"skey-[0-9a-z]{8}", data["keyId"])
    # It is the account that API v3 shows.
    (kept,) = [key_pair for key_pair in process.key_pairs() if key_pair["KeyId"] == data["keyId"]]
    assert (kept["KeyName"], kept["ProjectId"], kept["PublicKey"]) == (name, 0, data["pubkey"])
    assert process.private_keys()[-1] == data["secretkey"]


def test_the_later_shape(tls_emulator: tuple[EmulatorProcess, Path]) -> None:
    process, authority = tls_emulator
    client = LegacyClient(process.cvm_endpoint, authority, process.secret_id, process.secret_key)
    name = fresh_name()
    response = client.create_key_pair({"KeyName": name, "ProjectId": 1234}, Version=VERSION)["Response"]
    assert set(response) == {"KeyPair", "RequestId"}
    assert set(response["KeyPair"]) == {"KeyId", "KeyName", "ProjectId", "PublicKey", "PrivateKey"}
    assert (response["KeyPair"]["KeyName"], response["KeyPair"]["ProjectId"]) == (name, 1234)
    refused = client.create_key_pair({"KeyName": name, "ProjectId": 1234}, Version=VERSION)["Response"]
    assert refused["Error"]["Code"] == "InvalidKeyPairName.Duplicate"


# ---------------------------------------------------------------- refusals, in both shapes


def call(emulator: EmulatorProcess, method: str = "GET", /, **changes: str | None) -> dict[str, Any]:
    """Send a request that is good but for `changes`, which are signed; None takes a parameter away."""
    host = emulator.cvm_endpoint.removeprefix("http://")
    good: dict[str, str | None] = {
        "Action": "CreateKeyPair",
        "Nonce": str(time.time_ns()),
        "SecretId": emulator.secret_id,
        "Timestamp": str(int(time.time())),
        "SignatureMethod": "HmacSHA256",
    }
    given = {name: value for name, value in {**good, **changes}.items() if value is not None}
    made = v2_signature(
        emulator.secret_key, given, given.get("SignatureMethod", ""), method=method, host=host
    )
    sent = {"Signature": made, **given}
    if changes.get("Signature", "") is None:
        del sent["Signature"]
    where = {"params": sent} if method == "GET" else {"data": sent}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, emulator.cvm_endpoint + PATH, timeout=10, **where)  # type: ignore[arg-type]  # the two are alike
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    body: dict[str, Any] = answer.json()
    return body


REFUSED: list[tuple[dict[str, str | None], int, str]] = [
    ({"SecretId": None}, 4000, "MissingParameter"),
    ({"Timestamp": None}, 4000, "MissingParameter"),
    ({"Nonce": None}, 4000, "MissingParameter"),
    ({"Signature": None}, 4000, "MissingParameter"),
    ({"Action": None}, 4000, "MissingParameter"),
    ({"Nonce": "0"}, 4000, "InvalidParameter"),
    ({"Nonce": "-3"}, 4000, "InvalidParameter"),
    ({"Timestamp": "yesterday"}, 4000, "InvalidParameter"),
    ({"SecretId": "AKIDnobody"}, 4104, "InvalidParameter.SecretIdNotFound"),
    ({"Signature": "NSI3UqqD99b/UJb4tbG/xZpRW64="}, 4100, "InvalidParameter.SignatureFailure"),
    ({"Timestamp": "1465185768"}, 4500, "InvalidRequest.ReplayAttack"),
    ({"Token": "of a temporary credential"}, 4105, "InvalidRequest.TokenCheckFailed"),
    ({"Action": "DescribeKeyPairs"}, 4000, "InvalidAction.NotFound"),
    ({"projectId": "77", "ProjectId": "77"}, 5000, "InvalidProjectId.NotFound"),
    ({"projectId": "x", "ProjectId": "x"}, 4000, "InvalidParameterValue"),
    ({"limit": "20"}, 4000, "UnknownParameter"),
    ({"keyName": "a-b", "KeyName": "a-b"}, 4000, "InvalidKeyPairNameIncludeIllegalChar"),
    ({"keyName": None, "KeyName": None}, 4000, "MissingParameter"),
]


@pytest.mark.parametrize(("changes", "code", "description"), REFUSED)
def test_refusals(
    emulator: EmulatorProcess, changes: dict[str, str | None], code: int, description: str
) -> None:
    made = len(emulator.key_pairs())
    older = {name: value for name, value in changes.items() if name not in {"KeyName", "ProjectId"}}
    answer = call(emulator, **{"keyName": fresh_name(), **older})
    assert set(answer) == {"code", "codeDesc", "message"}
    assert (answer["code"], answer["codeDesc"]) == (code, description)
    assert answer["message"].startswith(f"({code})")
    later = {name: value for name, value in changes.items() if name not in {"keyName", "projectId"}}
    good = {"KeyName": fresh_name(), "ProjectId": "0", "Version": VERSION}
    answer = call(emulator, **{**good, **later})
    assert set(answer) == {"Response"}
    assert answer["Response"]["Error"]["Code"] == description
    assert len(emulator.key_pairs()) == made


def test_another_version(emulator: EmulatorProcess) -> None:
    assert call(emulator, Version="2016-12-01", KeyName=fresh_name(), ProjectId="0")["code"] == 6100


def test_a_name_that_is_taken(emulator: EmulatorProcess) -> None:
    name = fresh_name()
    assert call(emulator, "POST", keyName=name)["code"] == 0
    answer = call(emulator, "POST", keyName=name)
    assert (answer["code"], answer["codeDesc"]) == (5100, "InvalidKeyPairName.Duplicate")


def test_a_nonce_is_good_once(emulator: EmulatorProcess) -> None:
    nonce = str(time.time_ns())
    assert call(emulator, keyName=fresh_name(), Nonce=nonce)["code"] == 0
    assert call(emulator, keyName=fresh_name(), Nonce=nonce)["code"] == 4500


def test_whatever_is_not_sha256_is_sha1(emulator: EmulatorProcess) -> None:
    for signature_method in (None, "HmacSHA1", "HmacSHA512"):
        assert call(emulator, keyName=fresh_name(), SignatureMethod=signature_method)["code"] == 0


def test_calls_are_counted_and_faults_meet_them_as_in_api_v3(emulator: EmulatorProcess) -> None:
    calls = emulator.calls("CreateKeyPair")
    emulator.add_faults({"kind": "throttle"}, {"kind": "no-keypair"}, {"kind": "undecodable"})
    assert call(emulator, keyName=fresh_name())["code"] == 4400
    assert call(emulator, keyName=fresh_name())["data"] == {}
    with pytest.raises(requests.exceptions.JSONDecodeError):
        call(emulator, keyName=fresh_name())
    assert emulator.calls("CreateKeyPair") == calls + 3
    assert emulator.state()["faults"] == []


def test_other_paths_are_not_there(emulator: EmulatorProcess) -> None:
    for method, path in (("GET", "/"), ("GET", "/v2/"), ("POST", "/v2/index.html")):
        answer = requests.request(method, emulator.cvm_endpoint + path, timeout=10)
        assert answer.status_code == 404
