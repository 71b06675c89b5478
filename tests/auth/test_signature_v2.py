"""The signature of API v2: published vectors, requests of clients, and any change of what it covers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handler.auth.master_secret import MasterSecrets, Purpose
from handler.auth.signature_v2 import (
    PARAMETERS_LIMIT,
    SignatureV2Verifier,
    V2Signature,
    parameters_of,
    sign,
)
from handler.auth.time_window import SIGNATURE_WINDOW
from handler.errors import Unauthenticated
from handler.http.messages import Request
from handler.scf.events import BODY_LIMIT, parse_event
from tests.support.function_under_test import (
    HOST,
    HOST_WITH_PORT,
    MASTER,
    NOON,
    OTHER_MASTER,
    PREVIOUS_MASTER,
    TestClock,
    caller_secret,
)
from tests.support.random_cases import examples
from tests.support.v2_requests import FORM, PATH, V2Request, v2_event, v2_signature

if TYPE_CHECKING:
    from collections.abc import Mapping

# ---------------------------------------------------------------- as published

_PUBLISHED_SECRET = "Gu5t9xGARNpq86cd98joQYCN3Cozk1qA"
_PUBLISHED = {
    "Action": "DescribeInstances",
    "Nonce": "11886",
    "SecretId": "AKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA",
    "Timestamp": "1465185768",
}
_OLD = {**_PUBLISHED, "Region": "gz", "instanceIds.0": "ins-09dx96dg", "limit": "20", "offset": "0"}
_NEW = {**_PUBLISHED, "Region": "ap-guangzhou", "InstanceIds.0": "ins-09dx96dg"}


@pytest.mark.parametrize(
    ("parameters", "signature_method", "expected"),
    [
        # https://cloud.tencent.com/document/product/215/1693, in its editions
        (_OLD, "HmacSHA1", "NSI3UqqD99b/UJb4tbG/xZpRW64="),
        ({**_NEW, "SignatureMethod": "HmacSHA1"}, "HmacSHA1", "nPVnY6njQmwQ8ciqbPl5Qe+Oru4="),
        (
            {**_NEW, "SignatureMethod": "HmacSHA256"},
            "HmacSHA256",
            "0EEm/HtGRr/VJXTAD9tYMth1Bzm3lLHz5RCDv1GdM8s=",
        ),
    ],
)
def test_published_vectors(parameters: dict[str, str], signature_method: str, expected: str) -> None:
    where = {"method": "GET", "host": "cvm.api.qcloud.com", "path": "/v2/index.php"}
    made = sign(_PUBLISHED_SECRET, parameters, signature_method=signature_method, **where)
    assert made == expected
    # The client, by which these tests sign, agrees.
    assert made == v2_signature(_PUBLISHED_SECRET, parameters, signature_method, **where)


def test_derived_secrets() -> None:
    """Secrets differ by caller, scheme and master secret. (test_master_secret.py pins their bytes.)"""
    (secret,) = MasterSecrets([MASTER]).derive(Purpose.V2_SECRET, "demo")
    assert secret == caller_secret("demo", MASTER, "v2")
    assert [secret] != MasterSecrets([MASTER]).derive(Purpose.TC3_SECRET, "demo")


# ---------------------------------------------------------------- as clients send it

GOOD = V2Request({"keyName": "web", "recipients.0": "age1 + co", "Region": "gz"})
HOSTS = (HOST, HOST_WITH_PORT, "127.0.0.1:18080")


def verifier(*masters: bytes, now: float = NOON) -> SignatureV2Verifier:
    return SignatureV2Verifier(
        MasterSecrets(masters or (MASTER, PREVIOUS_MASTER)), HOSTS, TestClock(now).clock()
    )


def refusal(event: Mapping[str, Any], *masters: bytes, now: float = NOON) -> str | None:
    try:
        verifier(*masters, now=now).verify(parse_event(event))
    except Unauthenticated as refused:
        return refused.reason
    return None


@pytest.mark.parametrize(
    "good",
    [
        GOOD,
        replace(GOOD, method="POST"),
        replace(GOOD, signature_method="HmacSHA1"),
        replace(GOOD, signature_method="HmacSHA1", method="POST"),
        replace(GOOD, master=PREVIOUS_MASTER),
        replace(GOOD, host=HOST_WITH_PORT),
        replace(GOOD, host="127.0.0.1:18080"),
        replace(GOOD, host="127.0.0.1"),
        replace(GOOD, caller="A.b_c-9"),
        replace(GOOD, nonce="1"),
        replace(GOOD, nonce="9" * 20),
        replace(GOOD, path="/another/path"),
        replace(GOOD, wanted={"a" * 64: "the longest name"}),
        replace(GOOD, wanted={}),
        replace(GOOD, wanted={"keyName": "=?%+ é\n\U0001f511", "a": ""}),
        replace(GOOD, wanted={f"recipients.{number}": "age1" for number in range(58)}),
        replace(GOOD, timestamp=NOON - 300),
        replace(GOOD, timestamp=NOON + 300),
    ],
)
def test_good_signatures(good: V2Request) -> None:
    parameters = good.signed()
    proof = verifier().verify(parse_event(good.event()))
    assert proof == V2Signature(good.caller, good.signature_method, good.nonce, parameters["Signature"])
    assert parameters_of(parse_event(good.event())) == parameters


def test_without_a_method_it_is_sha1() -> None:
    request = replace(GOOD, signature_method="HmacSHA1", changes={"SignatureMethod": None})
    assert verifier().verify(parse_event(request.event())).method == "HmacSHA1"
    stronger = replace(GOOD, changes={"SignatureMethod": None})
    assert refusal(stronger.event()) == "v2-signature"


def test_the_names_are_signed_with_dots() -> None:
    """They are parsed the same way, so one signature never stands for two sets of parameters."""
    parameters = GOOD.signed()
    parameters["recipients_0"] = parameters.pop("recipients.0")
    request = parse_event(v2_event(parameters))
    assert verifier().verify(request).signature == parameters["Signature"]
    assert parameters_of(request) == GOOD.signed()


def test_a_client_that_signs_an_ampersand() -> None:
    """The scheme's weakness: the client's request is refused, but another one with that signature is not."""
    request = replace(GOOD, changes={"recipients.0": "age1&recipients.1=age2"})
    assert refusal(request.event()) == "v2-ambiguous"
    taken_apart = {**request.signed(), "recipients.0": "age1", "recipients.1": "age2"}
    assert refusal(v2_event(taken_apart)) is None


def test_names_are_sorted_as_they_are_signed() -> None:
    """`a_b` sorts after `a.c`, but it is signed as `a.b`, which sorts before."""
    wanted = {"a_b": "1", "a.c": "2", "aB": "3", "a1": "4", "B": "5"}
    assert refusal(replace(GOOD, wanted=wanted).event()) is None


def test_the_host_header_is_ignored() -> None:
    event = GOOD.event()
    for headers in ({"host": "whatever.example.com"}, {"host": ""}, {}):
        assert refusal({**event, "headers": headers}) is None


@pytest.mark.parametrize(
    "content_type", [FORM, f"{FORM}; charset=utf-8", f"{FORM};charset=UTF-8", f" {FORM.upper()} "]
)
def test_forms(content_type: str) -> None:
    event = replace(GOOD, method="POST").event()
    event["headers"]["content-type"] = content_type
    assert refusal(event) is None


def test_rotation() -> None:
    """Both secrets are accepted while both are set; each alone refuses signatures of the other."""
    for master, others in ((MASTER, PREVIOUS_MASTER), (PREVIOUS_MASTER, MASTER)):
        event = replace(GOOD, master=master).event()
        assert refusal(event, MASTER, PREVIOUS_MASTER) is None
        assert refusal(event, PREVIOUS_MASTER, MASTER) is None
        assert refusal(event, master) is None
        assert refusal(event, others) == "v2-signature"


def test_the_secret_of_another_scheme() -> None:
    secret = MasterSecrets([MASTER]).derive(Purpose.TC3_SECRET, "demo")[0]
    parameters = {name: value for name, value in GOOD.signed().items() if name != "Signature"}
    assert refusal(v2_event({**parameters, "Signature": v2_signature(secret, parameters)})) == "v2-signature"


def test_a_nonce_is_remembered_for_longer_than_its_request_is_good() -> None:
    early = replace(GOOD, timestamp=NOON + 300).event()
    assert refusal(early) is None
    assert refusal(early, now=NOON + 600) is None
    assert refusal(early, now=NOON + SIGNATURE_WINDOW.nonce_ttl) == "v2-window"


# ---------------------------------------------------------------- what cannot be read


def posted(body: bytes | str, content_type: str | None = FORM, **query: str) -> Request:
    raw = body if isinstance(body, bytes) else body.encode()
    headers = {} if content_type is None else {"content-type": content_type}
    return Request("POST", PATH, query, headers, raw, "")


def got(query: Mapping[str, str], body: bytes = b"") -> Request:
    return Request("GET", PATH, query, {}, body, "")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request("PUT", PATH, {}, {"content-type": FORM}, b"a=1", ""), "v2-method"),
        (Request("HEAD", PATH, {"a": "1"}, {}, b"", ""), "v2-method"),
        (got({"a": "1"}, b"a=1"), "v2-two-places"),
        (posted("a=1", b="2"), "v2-two-places"),
        (posted("a=1", None), "v2-content-type"),
        (posted("a=1", "application/json"), "v2-content-type"),
        (posted("a=1", "multipart/form-data; boundary=x"), "v2-content-type"),
        (posted("a=1", f"{FORM}; charset=utf-16"), "v2-content-type"),
        (posted("a=1", f"{FORM}, application/json"), "v2-content-type"),
        (posted("a=1", f"{FORM}; char\u017fet=utf-8"), "v2-content-type"),
        (posted(""), "v2-form"),
        (posted("a=1&b"), "v2-form"),
        (posted("a=1&"), "v2-form"),
        (posted("a=1&&b=2"), "v2-form"),
        (posted("a=1\n"), "v2-form"),
        (posted("a=1 2"), "v2-form"),
        (posted(b"a=\xff"), "v2-form"),
        (posted("a=%ff"), "v2-form"),
        (posted("a=\u00e9"), "v2-form"),
        (posted("&".join(f"a{n}=1" for n in range(PARAMETERS_LIMIT + 1))), "v2-form"),
        (got({f"a{n}": "1" for n in range(PARAMETERS_LIMIT + 1)}), "v2-size"),
        (got({"a": "1" * BODY_LIMIT}), "v2-size"),
        (got({"a" * 65: "1"}), "v2-ambiguous"),
        (got({"": "1"}), "v2-ambiguous"),
        (posted("=1"), "v2-ambiguous"),
        (got({"a=b": "1"}), "v2-ambiguous"),
        (got({"a&b": "1"}), "v2-ambiguous"),
        (got({"a": "1&b=2"}), "v2-ambiguous"),
        (posted("a=1%26b=2"), "v2-ambiguous"),
        (posted("a%3D1=2"), "v2-ambiguous"),
        (got({"a": "\ud800"}), "v2-ambiguous"),
        (got({"\uff41": "1"}), "v2-ambiguous"),
        (got({"a\n": "1"}), "v2-ambiguous"),
        (got({"a_b": "1", "a.b": "2"}), "v2-twice"),
        (got({"a_b_c": "1", "a.b_c": "1"}), "v2-twice"),
        (posted("a=1&a=2"), "v2-twice"),
        (posted("a=1&a=1"), "v2-twice"),
        (posted("a=1&%61=2"), "v2-twice"),
    ],
)
def test_ambiguous_requests_are_refused(request_: Request, reason: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        parameters_of(request_)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a=1;b=2", {"a": "1;b=2"}),
        ("a=1+2%2B", {"a": "1 2+"}),
        ("a=%zz&b=%", {"a": "%zz", "b": "%"}),
        ("a=&b==", {"a": "", "b": "="}),
        ("a_b=1", {"a.b": "1"}),
        (
            "&".join(f"a{n}=1" for n in range(PARAMETERS_LIMIT)),
            {f"a{n}": "1" for n in range(PARAMETERS_LIMIT)},
        ),
    ],
)
def test_forms_are_decoded(body: str, expected: dict[str, str]) -> None:
    assert parameters_of(posted(body)) == expected


# ---------------------------------------------------------------- any change of what is signed

values = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.from_regex(r"\A[A-Za-z0-9_.]{1,12}\Z")


@settings(max_examples=examples(100), deadline=None, database=None, derandomize=True)
@given(st.data())
@pytest.mark.slow
def test_one_signature_stands_for_one_set_of_parameters(data: st.DataObject) -> None:
    """Whatever is sent with a signature is refused or means exactly what was signed."""
    wanted = data.draw(st.dictionaries(names, values, max_size=4))
    good = replace(GOOD, wanted=wanted)
    signed = good.signed()
    sent = dict(signed)
    name = data.draw(st.sampled_from(sorted(sent)))
    match data.draw(st.sampled_from(["value", "name", "drop", "add", "split", "merge"])):
        case "value":
            sent[name] = data.draw(values)
        case "name":
            sent[data.draw(names | values)] = sent.pop(name)
        case "drop":
            del sent[name]
        case "add":
            sent[data.draw(names | values)] = data.draw(values)
        case "split":
            for part in sent.pop(name).split("&"):
                key, _, value = part.partition("=")
                sent[key] = value
        case _:
            other = data.draw(st.sampled_from(sorted(sent)))
            sent[name] += f"&{other}={sent[other]}"
            sent.pop(other, None)
    request = parse_event(v2_event(sent, data.draw(st.sampled_from(["GET", "POST"]))))
    if refusal(v2_event(sent)) is None:
        meant = parse_event(v2_event(signed))
        assert parameters_of(parse_event(v2_event(sent))) == parameters_of(meant)
    if request.method == "POST":
        with pytest.raises(Unauthenticated):
            verifier().verify(request)


@settings(max_examples=examples(100), deadline=None, database=None, derandomize=True)
@given(st.sampled_from(["caller", "master", "host", "path", "timestamp", "nonce"]), st.data())
@pytest.mark.slow
def test_any_other_part_is_refused(part: str, data: st.DataObject) -> None:
    """One part of a signed request is replaced."""
    drawn: Any = data.draw(
        {
            "caller": st.from_regex(r"\A[A-Za-z0-9_.-]{1,64}\Z"),
            "master": st.binary(min_size=32, max_size=32) | st.just(OTHER_MASTER),
            "host": st.sampled_from(["cvm.api.qcloud.com", f"{HOST}.", f"a{HOST}", HOST.upper()]) | values,
            "path": st.sampled_from(["/", "/v2/", "/v2/index.php/", "//v2/index.php"]),
            "timestamp": st.integers(NOON - 300, NOON + 300).filter(lambda moment: moment != NOON),
            "nonce": st.from_regex(r"\A[1-9][0-9]{0,19}\Z").filter(lambda nonce: nonce != GOOD.nonce),
        }[part]
    )
    bad = replace(GOOD, **{part: drawn})
    sent = {**GOOD.signed(), "Signature": bad.signed()["Signature"]}
    same = sent["Signature"] == GOOD.signed()["Signature"] or (
        part == "host" and drawn in {*HOSTS, "127.0.0.1"}
    )
    assert refusal(v2_event(sent)) == (None if same else "v2-signature")
