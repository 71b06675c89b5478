"""TC3-HMAC-SHA256: published vectors, requests of other SDKs, and any change of what it covers."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler.auth.master_secret import MasterSecrets, Purpose
from handler.auth.tc3 import Tc3Signature, Tc3Verifier, sign, signing_key
from handler.errors import Unauthenticated
from handler.http.messages import Request
from tests.support.function_under_test import (
    HOST,
    HOST_WITH_PORT,
    MASTER,
    NOON,
    OTHER_MASTER,
    PREVIOUS_MASTER,
    TestClock,
    caller_secret,
    signature,
)
from tests.support.random_cases import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

# ---------------------------------------------------------------- as published


@dataclass(frozen=True)
class Vector:
    """https://cloud.tencent.com/document/product/215/36792, and the one in today's pages of CVM."""

    secret: str
    headers: dict[str, str]
    signature: str


PUBLISHED_TIME = 1551113065
PUBLISHED_BODY = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
_PUBLISHED_HEADERS = {"content-type": "application/json; charset=utf-8", "host": "cvm.tencentcloudapi.com"}
VECTORS = [
    Vector(
        "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
        _PUBLISHED_HEADERS,
        "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
    ),
    Vector(
        "*" * 32,
        {**_PUBLISHED_HEADERS, "x-tc-action": "describeinstances"},
        "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
    ),
]


@pytest.mark.usefixtures("time_zone")
@pytest.mark.parametrize("vector", VECTORS)
def test_published_vectors(vector: Vector) -> None:
    canonical = "".join(f"{name}:{value}\n" for name, value in sorted(vector.headers.items()))
    names = ";".join(sorted(vector.headers))
    digest = hashlib.sha256(PUBLISHED_BODY).hexdigest()
    assert digest == "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064"
    made = sign(
        signing_key(vector.secret, "2019-02-25", "cvm"),
        f"POST\n/\n\n{canonical}\n{names}\n{digest}",
        timestamp=PUBLISHED_TIME,
        date="2019-02-25",
        service="cvm",
    )
    assert made == vector.signature
    # The official SDK, by which these tests sign, agrees.
    assert made == signature(
        vector.secret,
        "/",
        canonical_headers=canonical,
        signed_headers=names,
        body=PUBLISHED_BODY,
        timestamp=PUBLISHED_TIME,
        service="cvm",
    )


@pytest.mark.parametrize("action", ["DescribeInstances", "describeinstances"])
@pytest.mark.parametrize("names", ["content-type;host", "content-type;host;x-tc-action"])
def test_the_published_request_verifies(names: str, action: str) -> None:
    """Signed with a derived secret, because the published one is not derived."""
    canonical = "".join(
        f"{name}:{ {**_PUBLISHED_HEADERS, 'x-tc-action': 'describeinstances'}[name] }\n"
        for name in names.split(";")
    )
    made = signature(
        caller_secret("demo"),
        "/",
        canonical_headers=canonical,
        signed_headers=names,
        body=PUBLISHED_BODY,
        timestamp=PUBLISHED_TIME,
        service="cvm",
    )
    request = Request(
        method="POST",
        path="/",
        query={},
        headers={
            **_PUBLISHED_HEADERS,
            "x-tc-action": action,
            "x-tc-timestamp": str(PUBLISHED_TIME),
            "authorization": "TC3-HMAC-SHA256 Credential=demo/2019-02-25/cvm/tc3_request, "
            f"SignedHeaders={names}, Signature={made}",
        },
        unverified_body=PUBLISHED_BODY,
        remote_address="",
    )
    clock = TestClock(PUBLISHED_TIME).clock()
    verifier = Tc3Verifier(MasterSecrets([MASTER]), ["cvm.tencentcloudapi.com"], clock)
    assert verifier.verify(request) == Tc3Signature("demo", made, frozenset(names.split(";")))


def test_derived_secrets() -> None:
    """Secrets differ by caller, scheme and master secret. (test_master_secret.py pins their bytes.)"""
    master_secrets = MasterSecrets([MASTER, OTHER_MASTER])
    secrets = [
        secret for name in ("a", "b", "A") for secret in master_secrets.derive(Purpose.TC3_SECRET, name)
    ]
    assert secrets[0] == caller_secret("a", MASTER)
    assert len(set(secrets)) == 6


# ---------------------------------------------------------------- as others sign


@dataclass(frozen=True)
class Signed:
    """The parts of a signed request, for tests to change."""

    caller: str = "demo"
    master: bytes = MASTER
    path: str = "/v1/key-pairs"
    host: str = HOST
    content_type: str = "application/json"
    extra: str = "a value"
    """Of the header x-extra, which is signed too."""
    body: bytes = b'{"keyName":"a"}'
    timestamp: int = NOON
    service: str = "keys"

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": self.content_type, "host": self.host, "x-extra": self.extra}

    def request(self) -> Request:
        names = "content-type;host;x-extra"
        canonical = "".join(f"{name}:{value.strip().lower()}\n" for name, value in self.headers.items())
        secret = caller_secret(self.caller, self.master)
        made = signature(
            secret,
            self.path,
            canonical_headers=canonical,
            signed_headers=names,
            body=self.body,
            timestamp=self.timestamp,
            service=self.service,
        )
        scope = f"{self.caller}/2026-11-24/{self.service}/tc3_request"
        return Request(
            method="POST",
            path=self.path,
            query={},
            headers={
                **self.headers,
                "x-tc-timestamp": str(self.timestamp),
                "authorization": f"TC3-HMAC-SHA256 Credential={scope}, "
                f"SignedHeaders={names}, Signature={made}",
            },
            unverified_body=self.body,
            remote_address="",
        )


HOSTS = (HOST, HOST_WITH_PORT, "127.0.0.1:18080")


def verifier(*masters: bytes, now: float = NOON) -> Tc3Verifier:
    return Tc3Verifier(MasterSecrets(masters or (MASTER, PREVIOUS_MASTER)), HOSTS, TestClock(now).clock())


def refusal(request: Request, *masters: bytes, now: float = NOON) -> str | None:
    try:
        verifier(*masters, now=now).verify(request)
    except Unauthenticated as refused:
        return refused.reason
    return None


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("host;content-type;x-extra", "tc3-signed-headers"),
        ("content-type;content-type;host", "tc3-signed-headers"),
        ("host;x-extra", "tc3-signed-headers"),
        ("content-type;x-extra", "tc3-signed-headers"),
        ("content-type;host;x-absent", "tc3-signed-header-missing"),
        ("content-type;host", "tc3-signature"),
    ],
)
def test_what_must_be_signed(names: str, reason: str) -> None:
    request = Signed().request()
    authorization = request.headers["authorization"].replace("content-type;host;x-extra", names)
    assert refusal(replace(request, headers={**request.headers, "authorization": authorization})) == reason


@pytest.mark.parametrize(
    "good",
    [
        Signed(),
        Signed(master=PREVIOUS_MASTER),
        Signed(host=HOST_WITH_PORT),
        Signed(host="127.0.0.1:18080"),  # the Python SDK
        Signed(host="127.0.0.1"),  # the Node SDK leaves the port out
        Signed(content_type="application/json; charset=utf-8"),  # the Java SDK
        Signed(service="a" * 64),
        Signed(service="127"),  # Node and Java: the first label of the endpoint
        Signed(service="localhost:8080"),  # Node, whose first label ends at a dot
        Signed(caller="A.b_c-9"),
        Signed(body=b""),
        Signed(body=bytes(range(256))),
        Signed(extra="ä value in any letters \U0001f511"),
    ],
)
def test_good_signatures(good: Signed) -> None:
    proof = verifier().verify(good.request())
    assert proof.caller_id == good.caller
    assert proof.signed_headers == {"content-type", "host", "x-extra"}
    assert proof.signature == good.request().headers["authorization"][-64:]


def test_the_host_header_is_ignored() -> None:
    request = Signed().request()
    for host in (HOST, "whatever.example.com", "", None):
        headers = {
            name: value for name, value in {**request.headers, "host": host}.items() if value is not None
        }
        assert refusal(replace(request, headers=headers)) is None


def test_only_a_port_at_the_end_is_left_out() -> None:
    names = ["a.example:1", "a.example", "[2001:db8::1]:443", "[2001:db8::1]"]
    hosts = ["a.example:1", "a.example", "[2001:db8::1]:443"]
    assert Tc3Verifier(MasterSecrets([MASTER]), hosts, TestClock().clock()).signed_hosts == names


def test_commas_without_a_space() -> None:
    request = Signed().request()
    headers = {**request.headers, "authorization": request.headers["authorization"].replace(", ", ",")}
    assert refusal(replace(request, headers=headers)) is None


def test_rotation() -> None:
    """Both secrets are accepted while both are set; each alone refuses signatures of the other."""
    for master, others in ((MASTER, PREVIOUS_MASTER), (PREVIOUS_MASTER, MASTER)):
        request = Signed(master=master).request()
        assert refusal(request, MASTER, PREVIOUS_MASTER) is None
        assert refusal(request, PREVIOUS_MASTER, MASTER) is None
        assert refusal(request, master) is None
        assert refusal(request, others) == "tc3-signature"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"method": "PUT"}, "tc3-method"),
        ({"method": "GET"}, "tc3-method"),
        ({"query": {"a": "1"}}, "tc3-method"),
        ({"method": "GET", "unverified_body": b""}, "tc3-signature"),
        ({"method": "DELETE", "unverified_body": b""}, "tc3-signature"),
    ],
)
def test_the_method_is_signed(change: dict[str, Any], reason: str) -> None:
    """The signature of a POST is not good for anything else."""
    assert refusal(replace(Signed().request(), **change)) == reason


@pytest.fixture(params=["UTC0", "CST-8", "EST5"])
def time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("time_zone")
@pytest.mark.parametrize(("date", "reason"), [("2026-11-24", None), ("2026-11-25", "tc3-date")])
def test_the_date_is_that_of_the_timestamp(date: str, reason: str | None) -> None:
    """One second before midnight UTC, the date is the old one in every time zone."""
    midnight = NOON + 12 * 3600
    request = Signed(timestamp=midnight - 1).request()
    authorization = request.headers["authorization"].replace("2026-11-24", date)
    request = replace(request, headers={**request.headers, "authorization": authorization})
    assert refusal(request, MASTER, now=midnight + 60) == reason


# ---------------------------------------------------------------- any change of what is signed

text = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(max_examples=examples(100), deadline=None, database=None, derandomize=True)
@given(
    st.sampled_from(
        ["caller", "master", "path", "host", "content_type", "extra", "body", "timestamp", "service"]
    ),
    st.data(),
)
@pytest.mark.slow
def test_any_other_part_is_refused(part: str, data: st.DataObject) -> None:
    """One part of a signed request is replaced."""
    good = Signed()
    drawn: Any = data.draw(
        {
            "caller": st.from_regex(r"\A[A-Za-z0-9_.-]{1,64}\Z"),
            "master": st.binary(min_size=32, max_size=32),
            "body": st.binary(max_size=60)
            | st.builds(lambda n: good.body[:n], st.integers(0, len(good.body))),
            "timestamp": st.integers(NOON - 300, NOON + 300),
            "service": st.from_regex(r"\A[a-z0-9_-]{1,64}\Z"),
            "host": st.sampled_from([*HOSTS, "cvm.tencentcloudapi.com", f"{HOST}.", f"a{HOST}"]) | text,
        }.get(part, text)
    )
    bad = replace(good, **{part: drawn})
    signed_differently = bad.request().headers["authorization"][-64:]
    request = good.request()
    same = signed_differently == request.headers["authorization"][-64:]
    # The good request with the signature of the bad one ...
    headers = {
        **request.headers,
        "authorization": request.headers["authorization"][:-64] + signed_differently,
    }
    acceptable = same or (part == "host" and drawn in {*HOSTS, "127.0.0.1"}) or drawn == PREVIOUS_MASTER
    assert (refusal(replace(request, headers=headers)) is None) == acceptable
    # ... and the bad one with the signature of the good one. Its Host header is not looked at at all.
    sent = bad.request()
    headers = {
        **sent.headers,
        "authorization": sent.headers["authorization"][:-64] + request.headers["authorization"][-64:],
    }
    assert (refusal(replace(sent, headers=headers)) is None) == (same or part in {"host", "master"})


@settings(max_examples=examples(100), deadline=None, database=None, derandomize=True)
@given(st.data())
@pytest.mark.slow
def test_any_other_character_is_refused(data: st.DataObject) -> None:
    """One character of the headers that count is exchanged, dropped or doubled."""
    request = Signed().request()
    name = data.draw(st.sampled_from(["authorization", "x-tc-timestamp", "content-type", "x-extra"]))
    value = request.headers[name]
    place = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.sampled_from(["", value[place] * 2]) | st.characters(codec="utf-8"))
    changed = value[:place] + other + value[place + 1 :]
    headers = {**request.headers, name: changed}
    # Case and outer spaces are not signed, and a space is optional behind the commas.
    unsigned = name in {"content-type", "x-extra"} and changed.strip().lower() == value
    spacing = name == "authorization" and changed.replace(", ", ",") == value.replace(", ", ",")
    assert (refusal(replace(request, headers=headers)) is None) == (unsigned or spacing or changed == value)
