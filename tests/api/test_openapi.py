"""The OpenAPI description: it is current, it matches the responses, and its examples work."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from handler import errors
from handler.api.pages import OPENAPI
from handler.api.problem_details import problem_details
from handler.api.request_fields import read
from handler.api.rest import KeyPairRequest
from handler.errors import InternalFault, MalformedRequest
from handler.scf.events import BODY_LIMIT
from scripts import openapi
from tests.support.function_process import ROOT, clean_environment
from tests.support.function_under_test import REGION, REST, Answer, FunctionUnderTest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text(encoding="ascii"))
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
POST: dict[str, Any] = DOCUMENT["paths"][REST]["post"]
ONE: dict[str, Any] = DOCUMENT["paths"][f"{REST}/{{keyId}}"]
EXAMPLES: dict[str, Any] = POST["requestBody"]["content"]["application/json"]["examples"]
AGE: dict[str, Any] = EXAMPLES["age"]["value"]
RATE = 5


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[FunctionUnderTest]:
    """Give a test a function without escrow, whose kind of key would be that of all envelopes."""
    grant = {
        "names": ["*"],
        "regions": [REGION],
        "optional_tags": {"team": "core"},
        "own_recipients": True,
        "actions": ["create", "list", "delete", "import"],
    }
    policy = {"callers": {"demo": {"tc3": True, "rate": f"{RATE}/day", "grants": [grant]}}}
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", policy)
    yield function
    function.delete_key_pairs()


def assert_described(answer: Answer, operation: dict[str, Any]) -> None:
    """Assert that a caller who reads the description knew that this could come, headers included."""
    described = operation["responses"][str(answer.status)]
    headers = described.get("headers", {})
    # These come with everything.
    told = answer.headers.keys() - {"Content-Type", "Cache-Control", "X-Content-Type-Options"}
    assert told <= headers.keys()
    required = {name for name in headers if DOCUMENT["components"]["headers"][name].get("required")}
    assert required <= told
    if answer.status == 204:
        assert (answer.body, "content" in described) == ("", False)
        return
    content = described["content"][answer.headers["Content-Type"]]
    assert is_valid(answer.json, content["schema"])


def is_valid(value: object, schema: dict[str, Any]) -> bool:
    jsonschema: Any = pytest.importorskip(
        "jsonschema_rs", reason="it comes with schemathesis, on Python 3.11"
    )
    valid: bool = jsonschema.is_valid({**schema, "components": DOCUMENT["components"]}, value)
    return valid


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_answered_as_described(function: FunctionUnderTest, name: str) -> None:
    request = EXAMPLES[name]["value"]
    answer = function.call(function.signed(REST, request))
    assert (answer.status, answer.json["keyName"]) == (201, request["keyName"])
    described = SCHEMAS["ReleasedKeyPair" if name == "import" else "IssuedKeyPair"]
    assert list(answer.json) == described["required"] == list(described["properties"])
    assert {"RateLimit", "RateLimit-Policy", "Idempotency-Key-TTL"} <= answer.headers.keys()
    assert_described(answer, POST)


def test_the_examples_are_of_these_kinds(function: FunctionUnderTest) -> None:
    sealed = {
        name: function.call(function.signed(REST, example["value"])).json["sealedPrivateKey"]["format"]
        for name, example in EXAMPLES.items()
        if name != "import"
    }
    assert sealed == {"age": "age", "jwk": "jwe", "pem": "cms"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_request(name: str) -> None:
    assert is_valid(EXAMPLES[name]["value"], POST["requestBody"]["content"]["application/json"]["schema"])


def test_the_other_operations_are_as_described(function: FunctionUnderTest) -> None:
    key_id = function.call(function.signed(REST, AGE)).json["keyId"]
    listing = DOCUMENT["paths"][REST]["get"]
    assert_described(function.call(function.asking("GET")), listing)
    assert_described(function.call(function.asking("GET", query={"limit": "0"})), listing)
    assert_described(function.call({**function.asking("GET"), "headers": {}}), listing)
    path = f"{REST}/{key_id}"
    for where in (path, f"{REST}/skey-00000000"):
        assert_described(function.call(function.asking("GET", where)), ONE["get"])
    function.emulator.control("POST", f"{path.removeprefix('/v1')}/bind")
    assert_described(function.call(function.asking("DELETE", path)), ONE["delete"])
    function.emulator.control("DELETE", f"{path.removeprefix('/v1')}/bind")
    assert_described(function.call(function.asking("DELETE", path)), ONE["delete"])
    for operation in (listing, ONE["get"], ONE["delete"]):
        assert "429" in operation["responses"]


def too_often(function: FunctionUnderTest) -> object:
    for number in range(RATE):
        assert function.call(function.signed(REST, {"number": number})).status == 400
    return function.signed(REST, {})


def taken(function: FunctionUnderTest) -> object:
    assert function.call(function.signed(REST, AGE)).status == 201
    return function.signed(REST, {**AGE, "privateKeyFormat": "pkcs8"})


def after(fault: dict[str, object]) -> Callable[[FunctionUnderTest], object]:
    def event(function: FunctionUnderTest) -> object:
        function.emulator.add_faults(fault)
        return function.signed(REST, AGE)

    return event


def deleted(function: FunctionUnderTest) -> object:
    """Return the event of a request whose key pair was deleted since."""
    event = function.signed(REST, AGE, also_signed={"idempotency-key": "k-1"})
    key_id = function.call(event).json["keyId"]
    assert function.call(function.asking("DELETE", f"{REST}/{key_id}")).status == 204
    return event


REFUSED: dict[int, Callable[[FunctionUnderTest], object]] = {
    400: lambda function: function.signed(REST, {**AGE, "projectId": "0"}),
    401: lambda function: function.signed(REST, AGE, authorization=None),
    403: lambda function: function.signed(REST, {**AGE, "region": "eu-frankfurt"}),
    405: lambda function: {**function.signed(REST, AGE), "httpMethod": "PUT"},
    409: taken,
    410: deleted,
    413: lambda function: function.signed(REST, " " * BODY_LIMIT + "{}"),
    415: lambda function: function.signed(REST, AGE, content_type="text/plain"),
    422: lambda function: function.signed(REST, {**AGE, "recipients": ["age1"]}),
    429: too_often,
    502: after({"kind": "error", "code": "UnauthorizedOperation"}),
    503: after({"kind": "error", "code": "InvalidKeyPair.LimitExceeded"}),
    504: after({"kind": "cut", "after": "before", "times": 3}),
}


@pytest.mark.parametrize("status", REFUSED)
def test_a_refusal_is_as_described(function: FunctionUnderTest, status: int) -> None:
    answer = function.call(REFUSED[status](function))
    assert answer.status == status
    assert_described(answer, POST)


def test_a_defect_is_as_described() -> None:
    assert_described(Answer(problem_details(InternalFault(), "id").to_event()), POST)


def test_no_other_answer_is_described() -> None:
    assert {int(status) for status in POST["responses"]} == {201, 500, *REFUSED}


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json"])
@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 405)])
def test_a_page_is_as_described(function: FunctionUnderTest, path: str, method: str, status: int) -> None:
    answer = function.call({"httpMethod": method, "path": path, "headers": {}})
    assert answer.status == status
    assert_described(answer, DOCUMENT["paths"][path]["get"])


def test_every_error_of_this_endpoint_is_described() -> None:
    described: set[str] = set()
    for status, answer in POST["responses"].items():
        for content in answer["content"].values():
            properties = content["schema"].get("properties", {"code": {"enum": []}})
            described |= {f"{status} {code}" for code in properties["code"]["enum"]}
    all_of_them = {
        f"{error.status} {error.code}"
        for error in vars(errors).values()
        if isinstance(error, type)
        and issubclass(error, errors.KeyPairFunctionError)
        and hasattr(error, "code")
    }
    assert described <= all_of_them
    assert all_of_them - described == {
        "400 not-understood",
        "400 region-mismatch",
        "400 unknown-action",
        "400 unknown-version",
        "403 unregistered",
        "404 key-pair-not-found",
        "404 not-found",
        "409 key-pair-fixed",
        "409 key-pair-in-use",
        "410 picked-up",
        "422 keys-not-found",
        "502 platform-refused",
        "503 keys-unavailable",
        "503 platform-unavailable",
    }


@pytest.mark.parametrize(
    ("change", "well_formed"),
    [
        ({}, True),
        ({"keyName": "k" * 25}, True),
        ({"keyName": "k" * 26}, False),
        ({"keyName": ""}, False),
        ({"keyName": "a-b"}, False),
        ({"keyName": "a\n"}, False),
        ({"keyName": None}, False),
        ({"recipients": None}, True),
        ({"recipients": []}, False),
        ({"recipients": ["x"] * 20}, True),
        ({"recipients": ["x"] * 21}, False),
        ({"recipients": [1]}, False),
        ({"projectId": 3.0}, True),
        ({"projectId": 3.5}, False),
        ({"projectId": True}, False),
        ({"projectId": -1}, False),
        ({"projectId": 2**63 - 1}, True),
        ({"projectId": 2**63}, False),
        ({"region": "ap-guangzhou"}, True),
        ({"region": "AP-guangzhou"}, False),
        ({"tags": {"\u56e2\u961f": "a b"}}, True),
        ({"tags": {"a b": " a"}}, False),
        ({"tags": {" a": "a"}}, False),
        ({"tags": {"": "a"}}, False),
        ({"tags": {"k" * 127: "v" * 255}}, True),
        ({"tags": {"k" * 128: "v"}}, False),
        ({"tags": {"k": "v" * 256}}, False),
        ({"tags": {f"k{number}": "v" for number in range(21)}}, False),
        ({"tags": None}, True),
        ({"privateKeyFormat": "openssh"}, True),
        ({"privateKeyFormat": "ppk"}, True),
        ({"privateKeyFormat": "pem"}, False),
        ({"envelopeFormat": "jwe"}, True),
        ({"envelopeFormat": "zip"}, False),
        ({"expiresIn": "90m"}, True),
        ({"expiresIn": "090m"}, False),
        ({"expiresIn": "1000000m"}, False),
        ({"expiresIn": 90}, False),
        ({"expiresin": "90m"}, False),
        ({"key_name": "a"}, False),
    ],
)
def test_the_description_draws_the_line_where_the_function_does(
    change: dict[str, Any], *, well_formed: bool
) -> None:
    body = {**AGE, **change}
    try:
        read(KeyPairRequest, body)
    except MalformedRequest:
        assert not well_formed
    else:
        assert well_formed
    assert is_valid(body, SCHEMAS["KeyPairRequest"]) == well_formed


@pytest.mark.parametrize(
    ("key", "well_formed"),
    [
        ("a", True),
        ('"a b"', True),
        ("a" * 255, True),
        ("a" * 256, False),
        ("a b", False),
        ('"a', False),
        ('""', False),
    ],
)
def test_idempotency_keys_are_described(function: FunctionUnderTest, key: str, *, well_formed: bool) -> None:
    answer = function.call(function.signed(REST, AGE, also_signed={"idempotency-key": key}))
    assert answer.status == (201 if well_formed else 400)
    [parameter] = POST["parameters"]
    assert is_valid(key, parameter["schema"]) == well_formed


def test_the_description_is_public_and_names_no_host(function: FunctionUnderTest) -> None:
    served = function.call({"httpMethod": "GET", "path": "/openapi.json", "headers": {}}).body
    assert served == OPENAPI.read_text(encoding="ascii")
    assert DOCUMENT["servers"] == [{"url": "/"}]


@pytest.mark.slow
def test_the_description_is_current() -> None:
    environment = {**clean_environment(), "PYTHON": sys.executable}
    subprocess.run([ROOT / "scripts" / "openapi", "--check"], env=environment, check=True)


def test_the_command_writes_and_checks_the_description(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "openapi.json"
    assert openapi.main(["--check"], file) == 1
    assert capsys.readouterr().err == f"{file} is not current; scripts/openapi writes it.\n"
    assert openapi.main([], file) == 0
    assert file.read_bytes() == OPENAPI.read_bytes()
    file.write_text(file.read_text().replace('"maxLength": 25', '"maxLength": 26'))
    assert openapi.main(["--check"], file) == 1
