"""The endpoint of API v2: its responses, its parameters, and the legacy client itself."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyrage
import pytest

from handler import errors
from handler.api.tencent_v2 import TencentV2Endpoint
from handler.auth.caller import AuthenticatedCaller
from handler.scf.events import parse_event
from handler.sealing.recipient_problems import RecipientProblem
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.function_process import FunctionProcess, running_function
from tests.support.function_under_test import (
    ESCROW,
    MASTER,
    NOON,
    POLICY,
    RECIPIENT,
    REGION,
    REGISTERED,
    FunctionUnderTest,
    base64url,
    caller_secret,
    fresh_name,
)
from tests.support.leaks import leaks
from tests.support.legacy_client import LegacyClient, running_tls_front
from tests.support.v2_requests import V2Request, v2_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHOM = str(RECIPIENT.to_public())
V2_POLICY: dict[str, Any] = {
    **POLICY,
    "callers": {
        "demo": {**POLICY["callers"]["demo"], "v2": ["HmacSHA256", "HmacSHA1"]},
        "second": {**POLICY["callers"]["second"], "v2": ["HmacSHA256"]},
        "pinned": {**POLICY["callers"]["pinned"], "v2": ["HmacSHA256"]},
        "restricted": {**POLICY["callers"]["restricted"], "v2": ["HmacSHA256"]},
    },
}


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[FunctionUnderTest]:
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", policy=V2_POLICY)
    yield function
    function.delete_key_pairs()


def wish(**changes: str | None) -> V2Request:
    """Return a good request with a fresh name; `__` in a name is a dot, None takes a parameter away."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return V2Request({"keyName": fresh_name(), "recipients.0": WHOM}, named)


# ---------------------------------------------------------------- good requests


@pytest.mark.parametrize("signature_method", ["HmacSHA1", "HmacSHA256"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_answer_is_that_of_the_documentation(
    function: FunctionUnderTest, method: str, signature_method: str
) -> None:
    request = replace(wish(Region="gz"), method=method, signature_method=signature_method)
    answer = function.call(request.event())
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    (kept,) = function.emulator.key_pairs()
    data = answer.json["data"]
    sealed = data["secretkey"]
    assert answer.body == json.dumps(
        {
            "code": 0,
            "codeDesc": "Success",
            "message": "",
            "data": {
                "keyId": kept["KeyId"],
                "keyName": request.wanted["keyName"],
                "pubkey": data["pubkey"],
                "secretkey": sealed,
            },
        },
        separators=(",", ":"),
    )
    assert data["pubkey"].split()[:2] == kept["PublicKey"].split()[:2]
    private_key = function.emulator.private_keys()[-1].encode()
    for identity in (RECIPIENT, ESCROW):
        assert pyrage.decrypt(sealed.encode(), [identity]) == private_key
    intent, issued = function.audit_lines()
    assert (intent["decision"], issued["decision"]) == ("intent", "issued")
    assert (issued["door"], issued["caller"], issued["region"]) == ("tencent-v2", "demo", REGION)
    assert answer.headers["X-Request-Id"] == issued["requestId"]


def test_all_parameters(function: FunctionUnderTest) -> None:
    request = wish(
        Region="sh",
        projectId="1234",
        privateKeyFormat="pkcs8",
        envelopeFormat="age",
        expiresIn="12h",
        clientToken="of-today",
        RequestClient="SDK_PHP_1.1",
        recipients__1=str(REGISTERED.to_public()),
    )
    answer = function.call(request.event())
    sealed = answer.json["data"]["secretkey"].encode()
    for identity in (RECIPIENT, REGISTERED, ESCROW):
        assert pyrage.decrypt(sealed, [identity]).startswith(b"-----BEGIN PRIVATE KEY-----\n")
    (kept,) = function.emulator.key_pairs()
    assert kept["ProjectId"] == 1234
    tags = {tag["Key"]: tag["Value"] for tag in kept["Tags"]}
    assert [tags[f"keypair-function:expires-{part}"] for part in ("month", "day", "hour", "minute")] == [
        "2026-11",
        "25",
        "00",
        "00",
    ]
    assert function.audit_lines()[-1]["region"] == "ap-shanghai"


def test_registered_recipients(function: FunctionUnderTest) -> None:
    answer = function.call(replace(wish(recipients__0=None), caller="pinned").event())
    assert pyrage.decrypt(answer.json["data"]["secretkey"].encode(), [REGISTERED])


# https://cloud.tencent.com/document/product/214/11594
REGIONS = {
    "bj": "ap-beijing", "ca": "na-toronto", "cd": "ap-chengdu", "cq": "ap-chongqing", "de": "eu-frankfurt",
    "gz": "ap-guangzhou", "hk": "ap-hongkong", "in": "ap-mumbai", "jp": "ap-tokyo", "kr": "ap-seoul",
    "sg": "ap-singapore", "sh": "ap-shanghai", "th": "ap-bangkok", "use": "na-ashburn",
    "usw": "na-siliconvalley",
    "ap-nanjing": "ap-nanjing",
    None: REGION,
}  # fmt: skip


@pytest.mark.parametrize(("short", "full"), REGIONS.items())
def test_regions(short: str | None, full: str, function: FunctionUnderTest) -> None:
    caller = AuthenticatedCaller("demo", "signature", frozenset())
    request = parse_event(wish(Region=short).event())
    assert endpoint(function).parse(request, caller).order.region == full


# ---------------------------------------------------------------- again


def test_the_same_request_gets_the_same_answer(function: FunctionUnderTest) -> None:
    event = wish().event()
    first, calls = function.call(event), function.create_calls()
    function.clock.time += 300
    assert function.call(event) == first
    assert function.create_calls() == calls
    assert function.audit_lines()[-1]["decision"] == "replayed"


def test_a_client_token_outlives_the_signature(function: FunctionUnderTest) -> None:
    """The client signs a retry again, with another nonce."""
    request = wish(clientToken="once")
    first = function.call(request.event())
    function.clock.time += 3600
    again = replace(request, timestamp=NOON + 3600, nonce="2", method="POST", signature_method="HmacSHA1")
    assert function.call(again.event()).body == first.body
    other = replace(again, wanted={**request.wanted, "keyName": fresh_name()}, nonce="3")
    answer = function.call(other.event())
    assert (answer.json["code"], answer.json["codeDesc"]) == (4000, "InvalidParameterValue.ClientTokenReused")


def test_a_nonce_is_the_callers_own(function: FunctionUnderTest) -> None:
    assert function.call(wish().event()).json["code"] == 0
    assert function.call(replace(wish(), caller="second").event()).json["code"] == 0


def test_a_nonce_is_free_again_when_its_request_is_past(function: FunctionUnderTest) -> None:
    early = replace(wish(), timestamp=NOON + 300)
    assert function.call(early.event()).json["code"] == 0
    function.clock.time = NOON + 600
    assert function.call(replace(wish(), timestamp=NOON + 600).event()).json["code"] == 4100
    assert function.audit_lines()[-1]["reason"] == "nonce-used"
    function.clock.time = NOON + 601
    assert function.call(replace(wish(), timestamp=NOON + 601).event()).json["code"] == 0


def test_names_with_an_underscore_are_the_same_request(function: FunctionUnderTest) -> None:
    parameters = wish().signed()
    first = function.call(v2_event(parameters))
    parameters["recipients_0"] = parameters.pop("recipients.0")
    assert function.call(v2_event(parameters)).body == first.body


# ---------------------------------------------------------------- errors


def subclasses(of: type[errors.KeyPairFunctionError]) -> Iterator[type[errors.KeyPairFunctionError]]:
    for one in of.__subclasses__():
        yield one
        yield from subclasses(one)


ALL_ERRORS = [error for error in subclasses(errors.KeyPairFunctionError) if hasattr(error, "code")]
ARGUMENTS: dict[type[errors.KeyPairFunctionError], tuple[Any, ...]] = {
    errors.MethodNotAllowed: (("GET",),),
    errors.RecipientRefused: (RecipientProblem.UNKNOWN,),
    errors.PublicKeyRefused: (RecipientProblem.UNKNOWN,),
    errors.RateLimited: ("rate", 7),
    errors.Misconfigured: ("of the operator's only",),
    errors.SettingsInvalid: ("of the operator's only",),
    errors.PolicyInvalid: ("of the operator's only",),
}
REFUSED_BY_OTHERS = {
    "BodyTooLarge", "KeyPairFixed", "KeyPairInUse", "KeyPairNotFound", "KeysNotFound", "MethodNotAllowed",
    "NotFound", "NotUnderstood", "PickedUp", "PublicKeyRefused", "PublicKeyTaken", "RegionMismatch",
    "Unregistered", "UnsupportedMediaType",
}  # fmt: skip
NOT_INTERNAL: dict[type[errors.KeyPairFunctionError], int] = {
    errors.QuotaReached: 5100,
    errors.CloudBusy: 4400,
}


def endpoint(function: FunctionUnderTest) -> TencentV2Endpoint:
    found = function.services.application().routes["/v2/index.php"][0].endpoint
    assert isinstance(found, TencentV2Endpoint)
    return found


@pytest.mark.parametrize("kind", ALL_ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_code(kind: type[errors.KeyPairFunctionError], function: FunctionUnderTest) -> None:
    error = kind(*ARGUMENTS.get(kind, ()))
    response = endpoint(function).render_error(error, function.context())
    body = json.loads(response.body)
    assert list(body) == ["code", "codeDesc", "message"]
    # What is new has to be given a code, or a place among those that come from elsewhere.
    assert (body["codeDesc"] == "InvalidRequest") == (kind.__name__ in REFUSED_BY_OTHERS)
    if isinstance(error, errors.ServiceFailed):
        assert body["code"] == NOT_INTERNAL.get(kind, 6000)
    else:
        assert body["code"] in {4000, 4100, 4102, 4400, 5000, 5100, 6100}
    assert re.fullmatch(r"[A-Za-z.]+", body["codeDesc"])
    assert body["message"].startswith(error.title)
    assert "of the operator's only" not in response.body
    assert (response.status, response.content_type) == (200, "application/json")
    waits = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    assert response.headers == {"X-Request-Id": "request-1", **waits}


def test_what_the_cloud_refuses(function: FunctionUnderTest) -> None:
    name = fresh_name()
    assert function.call(wish(keyName=name).event()).json["code"] == 0
    taken = function.call(replace(wish(keyName=name, projectId="1234"), nonce="2").event())
    assert taken.json == {
        "code": 5100,
        "codeDesc": "InvalidKeyPairName.Duplicate",
        "message": "A key pair with this name already exists.",
    }


# ---------------------------------------------------------------- with the legacy client


@dataclass(frozen=True)
class Served:
    """The function and the emulator, each with a client of its own, and what opens the sealed keys."""

    process: FunctionProcess
    own: LegacyClient
    cloud: LegacyClient
    identity: Path

    def open(self, sealed: str) -> str:
        command = ["age", "-d", "-i", str(self.identity)]
        return subprocess.run(command, input=sealed, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("legacy")
    identity = folder / "key.txt"
    subprocess.run(["age-keygen", "-o", str(identity)], check=True, capture_output=True)
    recipient = re.search(r"age1\w+", identity.read_text())
    assert recipient
    policy = folder / "policy.toml"
    policy.write_text(
        f'[callers.legacy]\nv2 = ["HmacSHA1", "HmacSHA256"]\nrecipients = ["{recipient[0]}"]\n'
        '[[callers.legacy.grants]]\nnames = ["*"]\nregions = ["ap-guangzhou"]\nown_recipients = true\n'
    )
    with running_tls_front(folder / "function") as front, running_emulator(tls=folder / "cloud") as cloud:
        environment = {
            "KEYPAIR_HOSTS": front.url.removeprefix("https://"),
            "KEYPAIR_MASTER_SECRET": base64url(MASTER),
        }
        with running_function(emulator=True, policy=policy, environment=environment) as process:
            front.target = process.url
            own = LegacyClient(front.url, front.authority, "legacy", caller_secret("legacy", scheme="v2"))
            ca = folder / "cloud" / "ca.pem"
            real = LegacyClient(cloud.cvm_endpoint, ca, cloud.secret_id, cloud.secret_key)
            yield Served(process, own, real, identity)


@pytest.mark.parametrize("signature_method", ["HmacSHA1", "HmacSHA256"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.process
def test_the_legacy_client_cannot_tell_the_function_from_the_cloud(
    served: Served, method: str, signature_method: str
) -> None:
    name = fresh_name()
    ours, theirs = (
        client.create_key_pair(
            {"keyName": name}, method=method, signature_method=signature_method, Region="gz"
        )
        for client in (served.own, served.cloud)
    )
    assert list(ours) == ["code", "codeDesc", "message", "data"]
    assert {**ours, "data": None} == {**theirs, "data": None}
    assert {key: type(value) for key, value in ours["data"].items()} == {
        key: type(value) for key, value in theirs["data"].items()
    }
    for data in (ours["data"], theirs["data"]):
        assert data["keyName"] == name
        assert re.fullmatch(r"skey-[0-9a-z]{8}", data["keyId"])
        # The cloud's comment, which is the key's id, is left out by the function.
        assert re.fullmatch(rf"ssh-rsa [A-Za-z0-9+/]{{372}}( {data['keyId']})?", data["pubkey"])
    private_key = served.open(ours["data"]["secretkey"])
    form = r"-----BEGIN RSA PRIVATE KEY-----\n(?:[A-Za-z0-9+/=]{1,64}\n)+-----END RSA PRIVATE KEY-----\n"
    for text in (private_key, theirs["data"]["secretkey"]):
        assert re.fullmatch(form, text)
    written = served.process.everything_written.encode()
    assert leaks(private_key, {"answer": json.dumps(ours).encode(), "logs": written}) == []


@pytest.mark.process
def test_the_legacy_client_is_refused_as_by_the_cloud(served: Served) -> None:
    name = fresh_name()
    for client in (served.own, served.cloud):
        first = client.create_key_pair({"keyName": name})
        assert first["code"] == 0
        if client is served.own:
            # The same order gets the same answer.
            assert client.create_key_pair({"keyName": name}) == first
        other = {"privateKeyFormat": "pkcs8"} if client is served.own else {}
        again = client.create_key_pair({"keyName": name, **other})
        assert list(again) == ["code", "codeDesc", "message"]
        assert (again["code"], again["codeDesc"]) == (5100, "InvalidKeyPairName.Duplicate")
        assert client.create_key_pair({"keyName": "a-b"})["code"] == 4000
        assert client.create_key_pair({})["code"] == 4000
        assert replace(client, secret_key="x" * 32).create_key_pair({"keyName": name})["code"] == 4100


@pytest.mark.process
def test_the_legacy_client_brings_its_own_recipients(served: Served) -> None:
    """The list is flattened by the client to recipients.0 and recipients.1."""
    answer = served.own.create_key_pair(
        {"keyName": fresh_name(), "recipients": [WHOM, str(REGISTERED.to_public())], "projectId": 0}
    )
    for identity in (RECIPIENT, REGISTERED):
        assert pyrage.decrypt(answer["data"]["secretkey"].encode(), [identity]).startswith(b"-----BEGIN RSA")
