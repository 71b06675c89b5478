"""Random events: each gets a well-formed response, and none gets a key by accident.

The run is the same every time; RANDOM_EVENTS=20000 makes it a longer one, RANDOM_SEED=TEXT another one.
"""

from __future__ import annotations

import copy
import json
import logging
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.support.function_under_test import (
    HOST,
    NOON,
    OTHER_MASTER,
    POLICY,
    RECIPIENT,
    REGION,
    REST,
    V3,
    Answer,
    FunctionUnderTest,
)
from tests.support.random_cases import EVENTS
from tests.support.recipient_attacks import BAD_RECIPIENTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

SEED = os.environ.get("RANDOM_SEED")

# Surrogates included: JSON can carry them.
text = st.text(st.characters(exclude_categories=[]), max_size=12)
scalar = st.none() | st.booleans() | st.integers() | st.floats() | text
value = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
)

# ---------------------------------------------------------------- events that look like requests

METHODS = st.sampled_from(["POST", "POST", "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post", ""])
V2 = "/v2/index.php"
PATHS = st.sampled_from([REST, V3, V3, "/healthz", V2, "//", "", "/" + "a" * 3000]) | text
HEADER_NAMES = st.sampled_from(
    [
        "authorization", "Authorization", "content-type", "Content-Type", "host", "Host", "idempotency-key",
        "x-tc-action", "x-tc-version",
        "x-tc-timestamp", "x-tc-region", "X-TC-Content-SHA256", "x-scf-remote-addr",
    ]
)  # fmt: skip
CREDENTIAL = "TC3-HMAC-SHA256 Credential=demo/2026-11-24/cvm/tc3_request"
HEADER_VALUES = st.sampled_from(
    [
        "application/json", "CreateKeyPair", "2017-03-12", str(NOON), REGION, HOST, "UNSIGNED-PAYLOAD", '"a"',
        "203.0.113.7",
        f"{CREDENTIAL}, SignedHeaders=content-type;host, Signature={'0' * 64}",
        f"{CREDENTIAL}, SignedHeaders=host, Signature={'0' * 64}",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
    ]
)  # fmt: skip
BODIES = (
    st.sampled_from(
        ["", "{}", "[]", "null", '{"keyName": "a"}', '{"KeyName": "a", "ProjectId": 0}', "{", "e30="]
    )
    | text
)
looks_like_http = st.fixed_dictionaries(
    {},
    optional={
        "httpMethod": METHODS | value,
        "path": PATHS | value,
        "headers": st.dictionaries(HEADER_NAMES | text, HEADER_VALUES | text | value, max_size=5) | value,
        "body": BODIES | value,
        "queryString": st.just({}) | value,
        "queryStringParameters": st.just({}) | value,
        "isBase64Encoded": st.sampled_from([True, False, None, "true", "false"]) | value,
        "requestContext": value,
        "Type": st.sampled_from(["Timer", "timer"]) | value,
    },
) | st.just({"httpMethod": "GET", "path": "/healthz"})

# ---------------------------------------------------------------- good events with something wrong

Mutation = tuple[str, int, object]
mutation = st.tuples(
    st.sampled_from(["drop", "put", "character", "cut", "double", "spelling", "add"]),
    st.integers(0, 10**6),
    value,
)


def mutate(event: dict[str, Any], how: str, where: int, new: object) -> None:
    """Change one member of the event, or of its headers, at a place that `where` chooses."""
    places = [(event, name) for name in event]
    headers = event.get("headers")
    if isinstance(headers, dict):
        places += [(headers, name) for name in headers]
    if not places:
        return
    holder, name = places[where % len(places)]
    old = holder[name]
    if how == "drop":
        del holder[name]
    elif how == "put":
        holder[name] = new
    elif how == "spelling":
        holder[name.swapcase()] = old
    elif how == "add":
        holder[str(new)] = new
    elif isinstance(old, str) and old:
        place = where // len(places) % len(old)
        inserted = {"character": str(new)[:1], "cut": "", "double": old[place] * 2}[how]
        holder[name] = old[:place] + inserted + old[place + 1 :]


# ---------------------------------------------------------------- any body, well signed

RECIPIENTS = st.sampled_from([str(RECIPIENT.to_public()), *(bad.text for bad in BAD_RECIPIENTS)])
_GOOD: dict[str, st.SearchStrategy[Any]] = {
    "KeyName": st.sampled_from(["a", "b", "ci_1", "A" * 25]),
    "ProjectId": st.sampled_from([0, 0, 1234, 1, 0.0]),
    "Recipients": st.lists(RECIPIENTS, min_size=1, max_size=3),
    "Region": st.sampled_from([REGION, "ap-shanghai", "ap-beijing"]),
    "PrivateKeyFormat": st.sampled_from(["pkcs1", "pkcs8", "openssh"]),
    "ExpiresIn": st.sampled_from(["1m", "12h", "30d"]),
    "TagSpecification": st.just([{"ResourceType": "keypair", "Tags": [{"Key": "note", "Value": "a"}]}]),
    "ClientToken": st.sampled_from(["a", "b"]),
    "Tags": st.just({"note": "a"}),
}


def camel(body: dict[str, Any]) -> dict[str, Any]:
    return {name[:1].lower() + name[1:]: content for name, content in body.items()}


well_meant = st.fixed_dictionaries(
    {name: _GOOD[name] for name in ("KeyName", "ProjectId")},
    optional={name: strategy for name, strategy in _GOOD.items() if name not in ("KeyName", "ProjectId")},
)
odd = st.fixed_dictionaries({}, optional={name: strategy | value for name, strategy in _GOOD.items()})
any_body = well_meant | odd | st.dictionaries(text | st.sampled_from(list(_GOOD)), value, max_size=4)
headers_besides = st.dictionaries(
    st.sampled_from(["x_tc_action", "x_tc_version", "x_tc_region", "idempotency_key", "x_tc_content_sha256"]),
    st.sampled_from(["CreateKeyPair", "2017-03-12", REGION, "a", "", None]),
    max_size=1,
)
Sender = dict[str, Any]
sender = st.fixed_dictionaries(
    {"caller": st.sampled_from([*POLICY["callers"], "nobody"])},
    optional={
        "timestamp": st.sampled_from([NOON - 301, NOON - 300, NOON + 300, NOON + 301]),
        "master": st.just(OTHER_MASTER),
        "host": st.sampled_from([HOST, "example.com"]),
        "content_type": st.sampled_from(["application/json; charset=utf-8", "text/plain"]),
        "also_signed": st.dictionaries(
            st.just("idempotency-key"), st.sampled_from(["a", "b", '"a"', "é"]), max_size=1
        ),
    },
)

CONTEXTS = st.none() | st.fixed_dictionaries(
    {}, optional={"request_id": st.just("request-1") | value, "time_limit_in_ms": st.just(15000) | value}
)


class Cloud:
    """What there is in the account, asked for only when somebody claims to have got something new."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self._emulator = emulator
        self._known: dict[str, str] = {}

    def holds(self, key_id: str, name: str) -> bool:
        if self._known.get(key_id) != name:
            self._known |= {pair["KeyId"]: pair["KeyName"] for pair in self._emulator.key_pairs()}
        return self._known.get(key_id) == name


def check(answer: Answer, event: object, cloud: Cloud) -> str:
    """Require a deliberate answer, and return what kind it is."""
    assert set(answer.event) == {"isBase64Encoded", "statusCode", "headers", "body"}
    assert type(answer.status) is int
    assert type(answer.body) is str
    assert answer.headers["Cache-Control"] == "no-store"
    json.dumps(answer.event).encode("ascii")
    body = answer.json
    # A defect would show as one of these; no random event is one of this function's own faults.
    assert answer.code not in {"internal-fault", "InternalError.InternalFault"}
    if answer.status >= 300:
        assert answer.status in {400, 401, 403, 404, 405, 409, 413, 415, 422, 503}
        assert answer.headers["Content-Type"] == "application/problem+json"
        return str(answer.code)
    assert answer.headers["Content-Type"] == "application/json"
    assert isinstance(event, dict)
    if event.get("path") == V2:
        # Nobody signs as that door wants it.
        assert set(body) == {"code", "codeDesc", "message"}
        assert body["code"] in {4000, 4100, 6000}
        return f"v2-{body['code']}"
    if event.get("httpMethod") == "GET":
        assert (event["path"], body) == ("/healthz", {"status": "ok"})
        return "health"
    if event.get("Type") == "Timer" and "httpMethod" not in event:
        assert set(body) == {"swept"}
        return "swept"
    if event["path"] == REST:
        assert answer.status == 201
        assert cloud.holds(body["keyId"], body["keyName"])
        return "issued"
    assert (event["path"], set(body)) == (V3, {"Response"})
    if "Error" in body["Response"]:
        return str(answer.code)
    key_pair = body["Response"]["KeyPair"]
    assert cloud.holds(key_pair["KeyId"], key_pair["KeyName"])
    return "issued"


def many(part: float, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for so many of all events, where it does not make two of each draw.

    `name` keeps the seeds of the tests apart.
    """

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        configured = settings(
            max_examples=round(EVENTS * part),
            deadline=None,
            database=None,
            derandomize=SEED is None,
            suppress_health_check=list(HealthCheck),
        )(test)
        return configured if SEED is None else seed(f"{SEED} {name}")(configured)

    return decorate


class Run:
    """One function for all events, and a count of what they came to."""

    def __init__(self, function: FunctionUnderTest) -> None:
        self.function = function
        self.kinds: Counter[str] = Counter()
        self._cloud = Cloud(function.emulator)

    def meet(self, event: object, context: object = None) -> None:
        self.function.forget_audit()
        answer = self.function.call(event, context)
        kind = check(answer, event, self._cloud)
        self.kinds[kind] += 1
        decisions = [line["decision"] for line in self.function.audit_lines()]
        released = {"issued", "replayed"} & set(decisions[-1:])
        assert bool(released) == (kind == "issued")


@many(0.15, "values")
@given(event=value | st.dictionaries(text, value, max_size=4), context=CONTEXTS | value)
def any_value(event: object, context: object, run: Run) -> None:
    run.meet(event, context)


@many(0.25, "http")
@given(event=looks_like_http, context=CONTEXTS)
def what_looks_like_a_request(event: object, context: object, run: Run) -> None:
    run.meet(event, context)


@many(0.25 / 2, "mutations")
@given(mutations=st.lists(mutation, max_size=3))
def a_good_request_with_something_wrong(mutations: list[Mutation], run: Run) -> None:
    bodies = {
        REST: run.function.rest_body(keyName="mutant"),
        V3: run.function.v3_body(KeyName="mutant3"),
    }
    for path, body in bodies.items():
        event = run.function.signed(path, body)
        for how, where, new in mutations:
            mutate(event, how, where, new)
        run.meet(copy.deepcopy(event))


@many(0.35 / 2, "bodies")
@given(body=any_body, end=st.sampled_from(("", "", "", "", "", "}")), signing=sender, headers=headers_besides)
def any_body_well_signed(
    body: dict[str, Any], end: str, signing: Sender, headers: dict[str, Any], run: Run
) -> None:
    for_v3 = {name: body[name] for name in body if name != "Tags"}
    for path, content in ((REST, camel(body)), (V3, for_v3)):
        # As JSON with every character escaped, NaN and the like included. With another brace it is not JSON.
        run.meet(run.function.signed(path, json.dumps(content) + end, **signing, **headers))


KINDS = {
    "malformed-request", "unauthenticated", "not-found", "method-not-allowed", "unsupported-media-type",
    "recipient-refused", "not-granted",
    "AuthFailure.SignatureFailure", "InvalidParameter", "InvalidParameterValue", "MissingParameter",
    "InvalidAction", "NoSuchVersion",
    "UnsupportedRegion", "InvalidParameterValue.Recipients", "UnauthorizedOperation", "issued", "health",
}  # fmt: skip


@pytest.mark.slow
def test_random_events(emulator: EmulatorProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    run = Run(FunctionUnderTest(emulator, tmp_path / "policy.json"))
    for part in (
        any_value,
        what_looks_like_a_request,
        a_good_request_with_something_wrong,
        any_body_well_signed,
    ):
        part(run=run)
    run.function.delete_key_pairs()
    # Else the run would prove less than it seems to.
    assert run.kinds.keys() >= KINDS, run.kinds
    assert run.kinds.total() >= EVENTS
