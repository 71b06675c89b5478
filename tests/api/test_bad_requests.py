"""Every bad request gets the right response and audit line at both endpoints, and has no effect.

The good ones stand here too, for contrast.
"""

from __future__ import annotations

import base64
import copy
import itertools
import json
import logging
import re
import shutil
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyrage
import pytest

from handler.issuance.ownership_tags import ALPHABET
from handler.scf.events import BODY_LIMIT
from handler.sealing.recipient_problems import RecipientProblem
from tests.support.function_under_test import (
    ESCROW,
    HOST,
    HOST_WITH_PORT,
    NOON,
    OTHER_MASTER,
    PREVIOUS_MASTER,
    RECIPIENT,
    REGION,
    REGISTERED,
    REST,
    V3,
    Answer,
    FunctionUnderTest,
    fresh_name,
)
from tests.support.jwk_attacks import BAD_JWKS
from tests.support.pem_attacks import BAD_PEMS
from tests.support.pgp_attacks import bad_pgp
from tests.support.recipient_attacks import BAD_RECIPIENTS, PRIVATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.recipient_attacks import BadRecipient

    Build = Callable[[FunctionUnderTest], object]
    Change = Callable[[dict[str, Any]], object]

MALFORMED = "malformed-request"
WHOM = str(RECIPIENT.to_public())


@dataclass(frozen=True)
class Bad:
    """A request and its outcome. `reason` is in its only audit line; None if it writes no line."""

    title: str
    event: Build
    status: int
    code: str
    reason: str | None
    problems: tuple[str, ...] = ()
    """`field: rule` as a caller is told."""


# ---------------------------------------------------------------- events: no door has seen them yet


def changed(path: str, change: Change) -> Build:
    """Return a well-signed event after `change`, which alters it or returns another one."""

    def build(function: FunctionUnderTest) -> object:
        event = function.signed(path)
        other = change(event)
        return event if other is None else other

    return build


def always(event: object) -> Build:
    return lambda _: event


def put(**members: object) -> Change:
    return lambda event: event.update(members)


def drop(member: str) -> Change:
    return lambda event: {name: value for name, value in event.items() if name != member}


def header(name: object, value: object = "x") -> Change:
    return lambda event: event["headers"].update({name: value})


def with_headers(count: int) -> Change:
    return lambda event: event["headers"].update({f"x-{number}": "" for number in range(count)})


def encoded(body: bytes, *, flag: object) -> Change:
    return put(body=base64.b64encode(body).decode(), isBase64Encoded=flag)


NO_EVENTS: list[object] = [
    "",
    "event",
    b"{}",
    0,
    1,
    -1.5,
    True,
    False,
    [],
    [{}],
    (),
    ["httpMethod", "POST"],
    {},
    None,
]
NO_EVENTS += [{"Type": "timer"}, {"Type": ["Timer"]}, {"Type": "Timer", "httpMethod": "GET"}, {"Records": []}]
NO_EVENTS += [{"Type": "Timer", "body": ""}, {"Type": "Timer", "headers": None}, {1: 2, None: ()}]

# What stands where a text or an object should.
METHODS: list[object] = [
    None, 1, True, [], ["POST"], {}, "", "post", "POST ", "PO\nST", "POST\n", "P" * 17, "PO\u015aT", "\ud800",
]  # fmt: skip
OTHER_METHODS = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
PATHS: list[object] = [
    None, 1, True, [], {}, "", "v1/key-pairs", "https://keys.example.com/", "*", "/" + "a" * 2048,
]  # fmt: skip
HEADERS: list[object] = ["", "a: b", 1, True, [], [["a", "b"]]]
HEADER_NAMES: list[object] = [
    1, None, True, "", " host", "host ", "ho st", "host:", "ho\nst", "ho\x00st", "h\u00f6st", "\ud800",
    "x" * 129,
]  # fmt: skip
HEADER_VALUES: list[object] = [
    1, 1.5, None, True, [], ["a"], {}, "a\nb", "a\rb", "a\x00b", "\x1b[0m", "\x7f", "\ud800", "x" * 16385,
]  # fmt: skip
SECOND_SPELLINGS = [
    ("Host", HOST), ("HOST", "other.example.com"), ("Authorization", "x"), ("X-TC-Timestamp", str(NOON)),
    ("Content-type", "text/plain"),
]  # fmt: skip
QUERIES: list[object] = ["a=1", 1, True, ["a"], {"a": 1}, {"a": None}, {"a": ["1"]}, {1: "a"}]
OTHER_BODIES: list[object] = [1, 0, 1.5, True, False, [], {}, {"KeyName": "a"}, b"{}"]
ENCODINGS: list[object] = ["True", "yes", "", "1", 2, -1, 0.5, [], {}, [True]]
NO_BASE64 = ["{}", "*", "YQ", "YQ=", "YQ==\n", " YQ==", "YQ==YQ==", "\u0178Q==", "_-8="]
LARGE_BODIES = [
    ("one byte over the limit", put(body="x" * (BODY_LIMIT + 1))),
    ("over the limit in bytes, not in characters", put(body="\u00e9" * (BODY_LIMIT // 2 + 1))),
    ("far over the limit", put(body="x" * 6_000_000)),
    ("base64 one byte over the limit", encoded(b"x" * (BODY_LIMIT + 1), flag=True)),
    ("base64 far over the limit", encoded(b"x" * 4_000_000, flag="true")),
    ("far over the limit, and no base64", put(body="*" * 100_000, isBase64Encoded=True)),
]

CHANGES: list[tuple[str, Change]] = [
    *((f"method {method!r}", put(httpMethod=method)) for method in METHODS),
    ("no method", drop("httpMethod")),
    *((f"path {path!r:.20}", put(path=path)) for path in PATHS),
    ("no path", drop("path")),
    *((f"headers {headers!r}", put(headers=headers)) for headers in HEADERS),
    ("headers by the hundred", with_headers(101)),
    *((f"header name {name!r:.20}", header(name)) for name in HEADER_NAMES),
    *((f"header value {value!r:.20}", header("x-tc-a", value)) for value in HEADER_VALUES),
    *((f"header twice: {name}", header(name, value)) for name, value in SECOND_SPELLINGS),
    *((f"query {query!r}", put(queryString=query)) for query in QUERIES),
    ("older query", put(queryStringParameters={"a": 1})),
    *((f"body {body!r}", put(body=body)) for body in OTHER_BODIES),
    ("body with a lone surrogate", put(body='{"a": "\ud800"}')),
    *((f"encoding {flag!r}", put(isBase64Encoded=flag)) for flag in ENCODINGS),
    *((f"no base64: {body!r:.20}", put(body=body, isBase64Encoded=True)) for body in NO_BASE64),
    ("no base64, as a text says", put(body="{}", isBase64Encoded="true")),
]


def refused_events() -> Iterator[Bad]:
    for event in NO_EVENTS:
        yield Bad(f"event {event!r}", always(event), 400, MALFORMED, None)
    for path in (REST, V3):
        for title, change in CHANGES:
            yield Bad(f"{path} {title}", changed(path, change), 400, MALFORMED, None)
        for title, change in LARGE_BODIES:
            yield Bad(f"{path} body {title}", changed(path, change), 413, "body-too-large", None)
        for method in OTHER_METHODS[path == REST :]:  # REST knows GET
            build = changed(path, put(httpMethod=method))
            yield Bad(f"{path} {method}", build, 405, "method-not-allowed", None)
    yield Bad("health, posted", changed(REST, put(path="/healthz")), 405, "method-not-allowed", None)
    for nowhere in NOWHERE:
        yield Bad(f"nothing at {nowhere!r:.30}", changed(REST, put(path=nowhere)), 404, "not-found", None)


NOWHERE = [
    "//", "/v1", "/v1/", "/v1/key-pairs/", "/V1/key-pairs", "/v1/key-pairs?a=1", "/v1//key-pairs", "/?a=1",
    "/./",
    "/v1/../v1/key-pairs", "/v1%2Fkey-pairs", "/%2e", "/v1/key-pairs\x00", "/v1/key-pairs\n",
    "/\uff561/key-pairs",
    "/\ud800", "/healthz/", "/v2/index.php/", "/v2", "/index.php", "/release/v1/key-pairs", "/" + "a" * 2047,
]  # fmt: skip


# ---------------------------------------------------------------- signatures: one answer, many reasons


def signed(path: str, **how: Any) -> Build:  # noqa: ANN401  # handed through
    return lambda function: function.signed(path, **how)


def sent(**how: Any) -> Callable[[str], Build]:  # noqa: ANN401  # handed through
    return lambda path: signed(path, **how)


def after(change: Change) -> Callable[[str], Build]:
    """Return requests to both endpoints with something changed after signing."""
    return lambda path: changed(path, change)


def replaced(pattern: str, replacement: str) -> Callable[[str], Build]:
    """Return a well-signed request to either door with a part of its Authorization header exchanged."""

    def change(event: dict[str, Any]) -> None:
        headers = event["headers"]
        headers["authorization"], count = re.subn(pattern, replacement, headers["authorization"])
        assert count

    return after(change)


def other_last_digit(event: dict[str, Any]) -> None:
    *start, last = event["headers"]["authorization"]
    event["headers"]["authorization"] = "".join([*start, "0" if last != "0" else "1"])


def upper_case(event: dict[str, Any]) -> None:
    event["headers"]["authorization"] = event["headers"]["authorization"].upper()


def without_content_type(event: dict[str, Any]) -> None:
    del event["headers"]["content-type"]


def other_name(event: dict[str, Any]) -> None:
    event["body"] = event["body"].replace("k_", "K_")


def longer_body(event: dict[str, Any]) -> None:
    event["body"] += " "


def from_the_other_door(path: str) -> Build:
    def build(function: FunctionUnderTest) -> object:
        other = function.signed(V3 if path == REST else REST)
        here = function.signed(path)
        here["headers"] |= {name: other["headers"][name] for name in ("authorization", "x-tc-timestamp")}
        return {**here, "body": other["body"]}

    return build


FORM = put(
    headers={"host": HOST, "content-type": "application/x-www-form-urlencoded"},
    body=f"Action=CreateKeyPair&KeyName=a&SecretId=demo&Timestamp={NOON}&Nonce=1&Signature=eA==",
)
"""A v1 signature."""
NO_AUTHORIZATIONS = [
    None, "", "TC3-HMAC-SHA256", "TC3-HMAC-SHA256 ", "Bearer", "Basic ZGVtbzpkZW1v",
    "x" * 16384,
    "TC3-HMAC-SHA256 Credential=demo/2026-11-24/cvm/tc3_request", "TC3-HMAC-SHA256 Signature=" + "0" * 64,
]  # fmt: skip
MALFORMED_PARTS = [
    ("^", " "), ("$", " "), ("$", ","), ("$", ", Signature=" + "0" * 64),
    ("TC3-HMAC-SHA256", "tc3-hmac-sha256"), ("SHA256 ", "SHA256"), ("SHA256 ", "SHA1 "),
    ("Credential=demo", "Credential="), ("Credential=demo", "Credential=a/b"),
    ("Credential=demo", "Credential=" + "d" * 65), ("Credential=demo", "Credential=de mo"),
    ("/cvm/", "//"), ("/cvm/", "/CVM/"), ("/cvm/", "/cvm/cvm/"),
    ("tc3_request", "tc3_requests"), ("tc3_request", "TC3_request"),
    ("2026-11-24", "20261124"), ("2026-11-24", ""),
    ("content-type;host", ""), ("content-type;host", "Content-Type;Host"),
    ("content-type;host", ";content-type;host"), ("content-type;host", "content-type;host;"),
    ("content-type;host", "content-type;;host"), ("content-type;host", "content-type host"),
    ("content-type;host", ";".join(f"a{n:02}" for n in range(33))),
    ("Signature=.", "Signature="), ("Signature=.", "Signature=00"), ("Signature=.", "Signature=A"),
    ("Signature=.", "Signature=g"), (", SignedHeaders", " SignedHeaders"),
    (", SignedHeaders", ",  SignedHeaders"),
    (", Signature=.*", ""), ("(SignedHeaders=.*), (Signature=.*)", r"\2, \1"),
]  # fmt: skip
TIMESTAMPS = [
    None, "", " ", f" {NOON}", f"{NOON} ", f"+{NOON}", f"-{NOON}", f"{NOON}.0", "1.7955216e9", hex(NOON),
    "0" * 12, f"{NOON}000",
    "NaN", "Infinity", "\u0662\u0660\u0662\u0666",
    "\uff11\uff17\uff19\uff15\uff15\uff12\uff11\uff16\uff10\uff10", "1_795_521_600", "9" * 4301,
]  # fmt: skip
SIGNED_HEADERS = [
    ["host", "content-type"], ["content-type"], ["host"], ["content-type", "content-type", "host"],
    ["content-type", "host", "host"], ["a", "host"], ["x-tc-timestamp"], ["content-type", "host", "a"],
]  # fmt: skip
OTHER_HOSTS = [
    "cvm.tencentcloudapi.com", "example.com", f"x.{HOST}", f"{HOST}.", f"{HOST}:443", f"{HOST}:9444", "",
    "keys_example.com", "http",
]  # fmt: skip

REASONS: list[tuple[str, str, Callable[[str], Build]]] = [
    ("no headers", "authorization", after(put(headers=None))),
    ("headers missing", "authorization", after(drop("headers"))),
    ("v1 signature in a form", "authorization", after(FORM)),
    ("upper case", "authorization", after(upper_case)),
    *(
        (f"Authorization {value!r:.30}", "authorization", sent(authorization=value))
        for value in NO_AUTHORIZATIONS
    ),
    *((f"{old} -> {new:.20}", "authorization", replaced(old, new)) for old, new in MALFORMED_PARTS),
    *(
        (f"unsigned payload {value!r:.20}", "unsigned-payload", sent(x_tc_content_sha256=value))
        for value in (
            "UNSIGNED-PAYLOAD",
            "",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        )
    ),
    ("query", "method", after(put(queryString={"a": "1"}))),
    ("older query", "method", after(put(queryStringParameters={"": ""}))),
    *((f"timestamp {value!r:.20}", "timestamp", sent(x_tc_timestamp=value)) for value in TIMESTAMPS),
    *(
        (f"{offset} seconds off", "window", sent(timestamp=NOON + offset))
        for offset in (-301, 301, -3600, 3600, -86400, 86400, -NOON)
    ),
    ("as late as can be written", "window", sent(x_tc_timestamp="9" * 11)),
    ("timestamp moved by a second", "signature", sent(x_tc_timestamp=str(NOON + 1))),
    ("timestamp moved to the border", "signature", sent(x_tc_timestamp=str(NOON + 300))),
    *(
        (f"scope date {date}", "date", replaced("2026-11-24", date))
        for date in ("2026-11-25", "2026-11-23", "2025-11-24", "0000000000", "----------", "24-11-2026")
    ),
    *((f"signed headers {names}", "signed-headers", sent(signed_headers=names)) for names in SIGNED_HEADERS),
    (
        "a signed header is missing",
        "signed-header-missing",
        sent(signed_headers=["content-type", "host", "x-a"]),
    ),
    ("the Content-Type is missing", "signed-header-missing", after(without_content_type)),
    ("altered body", "signature", after(other_name)),
    ("a space behind the body", "signature", after(longer_body)),
    ("no body", "signature", after(put(body=None))),
    ("body missing", "signature", after(drop("body"))),
    ("altered signature", "signature", after(other_last_digit)),
    ("signature of zeros", "signature", replaced("Signature=.*", "Signature=" + "0" * 64)),
    ("other content type", "signature", after(header("content-type", "application/json; charset=utf-8"))),
    ("other service", "signature", replaced("/cvm/", "/cbs/")),
    ("more signed headers", "signature", replaced("content-type;host", "content-type;host;x-tc-language")),
    ("altered signed header", "signature", sent(also_signed={"x-a": "1"}, x_a="2")),
    *((f"signed for {host!r}", "signature", sent(host=host)) for host in OTHER_HOSTS),
    ("forged Host header", "signature", sent(host="cvm.tencentcloudapi.com", x_forwarded_host=HOST)),
    ("secret of another master", "signature", sent(master=OTHER_MASTER)),
    ("secret of another caller", "signature", replaced("=demo/", "=second/")),
    ("unknown id, other master", "signature", sent(caller="nobody", master=OTHER_MASTER)),
    ("unknown id, its own secret", "caller", sent(caller="nobody")),
    ("id in other letters", "caller", sent(caller="DEMO")),
    ("id that no policy can name", "caller", sent(caller='\u00fc"{}')),
    ("caller without tc3", "caller", sent(caller="no-tc3")),
    ("from the other door", "signature", from_the_other_door),
]

_KEY = "Idempotency-Key"
NOT_SIGNED = "idempotency-key-not-signed"
SIGNATURES = [
    *(
        Bad(f"rest: {title}", build(REST), 401, "unauthenticated", f"tc3-{reason}")
        for title, reason, build in REASONS
    ),
    *(
        Bad(f"v3: {title}", build(V3), 200, "AuthFailure.SignatureFailure", f"tc3-{reason}")
        for title, reason, build in REASONS
    ),
    Bad("key not signed", signed(REST, idempotency_key="a"), 401, "unauthenticated", NOT_SIGNED),
    Bad("quoted key not signed", signed(REST, idempotency_key='"a"'), 401, "unauthenticated", NOT_SIGNED),
    Bad("two keys", signed(REST, also_signed={_KEY: "a"}, idempotency_key="b"), 400, MALFORMED, None),
    *(
        Bad(
            f"key exchanged for {other}",
            signed(REST, also_signed={"idempotency-key": "a"}, idempotency_key=other),
            401,
            "unauthenticated",
            "tc3-signature",
        )
        for other in ("b", '"a"', "a.")
    ),
]


# ---------------------------------------------------------------- bodies, well signed

_V3_RULES = {"required": "MissingParameter", "unknown": "UnknownParameter"}


def bad_json(title: str, body: str | bytes, reason: str = "json") -> Iterator[Bad]:
    yield Bad(f"rest: {title}", signed(REST, body=body), 400, MALFORMED, reason)
    yield Bad(f"v3: {title}", signed(V3, body=body), 200, "InvalidParameter", reason)


def rest_fields(title: str, *problems: str, **fields: object) -> Bad:
    return Bad(
        f"rest: {title}",
        lambda function: function.signed(REST, function.rest_body(**fields)),
        400,
        MALFORMED,
        "fields",
        problems,
    )


def v3_fields(title: str, *problems: str, code: str = "", **fields: object) -> Bad:
    rule = problems[0].partition(": ")[2]
    return Bad(
        f"v3: {title}",
        lambda function: function.signed(V3, function.v3_body(**fields)),
        200,
        code or _V3_RULES.get(rule, "InvalidParameterValue"),
        "fields",
        problems,
    )


def bad_field(
    rest: str, v3: str, value: object, rule: str, *, inner: str = "", code: str = ""
) -> Iterator[Bad]:
    title = f"{v3} {str(value)[:30]!r}"
    yield rest_fields(title, f"{rest}{inner}: {rule}", **{rest: value})
    yield v3_fields(title, f"{v3}{inner}: {rule}", code=code, **{v3: value})


def nulled(field: str, path: str) -> Build:
    def build(function: FunctionUnderTest) -> object:
        body = function.rest_body() if path == REST else function.v3_body()
        return function.signed(path, {**body, field: None})

    return build


_LONG_NAME = "InvalidKeyPairNameTooLong"
_ILLEGAL_NAME = "InvalidKeyPairNameIncludeIllegalChar"
ILLEGAL_NAMES = [
    "a-b", "a b", " a", "a ", "a.b", "a/b", "../a", "a\\b", "a:b", "a;b", "a'b", 'a"b', "a\n", "\na", "a\nb",
    "a\r",
    "a\tb", "a\x00", "\x7f", "\u00e9", "\u952e", "\u540d\u5b57", "\uff21", "\uff11", "\u0663", "a\u0301",
    "\u200b",
    "a\u202e", "a\u00a0", "%61", "${a}", "<a>", "*", "?", "\u212a", "\u017f",
]  # fmt: skip
NO_TEXTS: list[object] = [1, 0, 1.5, True, False, [], ["a"], {}, {"a": "b"}, 10**30]
NAMES: list[tuple[object, str, str]] = [
    ("", "too-short", "InvalidKeyPairNameEmpty"),
    ("a" * 26, "too-long", _LONG_NAME),
    ("a" * 60_000, "too-long", _LONG_NAME),
    ("\ud800", "invalid", "InvalidParameterValue"),
    *((name, "pattern", _ILLEGAL_NAME) for name in ILLEGAL_NAMES),
    *((value, "string", "InvalidParameterValue") for value in NO_TEXTS),
]
PROJECTS: list[tuple[object, str]] = [
    *((number, "range") for number in (-1, 2**63, 10**30, -(10**30), 1e300, -1.0)),
    *((number, "integer") for number in (1.5, 0.1, True, False)),
    *((value, "integer") for value in ("0", "1234", "")),
    ([], "integer"),
    ([0], "integer"),
    ({}, "integer"),
]
NO_DURATIONS = [
    "0d", "-1d", "1", "d", "1s", "1w", "1y", "1D", "01d", "1.5d", "1 d", " 1d", "1d ", "1d\n", "1d1h", "P1D",
    "\u0661d",
    "+1d",
]  # fmt: skip
DURATIONS: list[tuple[object, str]] = [
    *((text, "pattern") for text in NO_DURATIONS),
    ("", "too-short"),
    ("1000000d", "too-long"),
    *((value, "string") for value in NO_TEXTS),
]
NO_REGIONS = [
    "", "guangzhou", "ap_guangzhou", "AP-GUANGZHOU", "ap-", "-ap", "ap--a", "ap-guangzhou\n", " ap-guangzhou",
    "ap-guangzhou.evil.com", "ap-guangzhou/", "ap-gu\u00e4ngzhou", "1-2",
]  # fmt: skip
REGIONS: list[tuple[object, str]] = [
    *((text, "pattern") for text in NO_REGIONS),
    ("ap-" + "a" * 30, "too-long"),
    *((value, "string") for value in NO_TEXTS),
]
FORMATS: list[object] = ["", "PKCS1", "pkcs1 ", "pem", "der", "ppk2", 1, True, [], {}]
LISTS: list[tuple[object, str, str]] = [
    ([], "too-few", ""),
    ([WHOM] * 21, "too-many", ""),
    ([WHOM] * 300, "too-many", ""),
    (WHOM, "array", ""),
    (1, "array", ""),
    (True, "array", ""),
    ({}, "array", ""),
    ({"0": WHOM}, "array", ""),
    ([1], "string", ".0"),
    ([True], "string", ".0"),
    ([WHOM, None], "string", ".1"),
    ([WHOM, [WHOM]], "string", ".1"),
]
RESERVED_TAGS = [
    "qcs:a", "QCS:a", "project:a", "Project:a", "keypair-function:order", "KEYPAIR-FUNCTION:caller",
    "keypair-function:",
    "\u212aeypair-function:order",
]  # fmt: skip
NO_TAG_KEYS = [
    "", " ", " a", "a ", "a;b", "a\nb", "a\n", "a\tb", "a\x00", "a,b", "a#b", "a&b", "a<b", "a\u200b",
    "\U0001f600",
    "a\u00a0b",
]  # fmt: skip
TAG_KEYS: list[tuple[str, str]] = [
    *((key, "invalid") for key in RESERVED_TAGS),
    *((key, "pattern") for key in NO_TAG_KEYS),
    ("a" * 128, "too-long"),
]
NO_TAG_VALUES = ["", " ", " a", "a ", "a\n", "a;b", "a\x00", "a*b", "a?b", 'a"b', "\U0001f600"]
TAG_VALUES: list[tuple[object, str]] = [
    *((value, "pattern") for value in NO_TAG_VALUES),
    ("a" * 256, "too-long"),
    (None, "string"),
    *((value, "string") for value in NO_TEXTS),
]


def bad_tags() -> Iterator[Bad]:
    def specification(*tags: object) -> list[object]:
        return [{"ResourceType": "keypair", "Tags": list(tags)}]

    inner = "TagSpecification.0.Tags"
    for key, rule in TAG_KEYS:
        yield rest_fields(f"tag key {key!r:.30}", f"tags.{shown(key)}.*: {rule}", tags={key: "a"})
        yield v3_fields(
            f"tag key {key!r:.30}",
            f"{inner}.0.Key: {rule}",
            TagSpecification=specification({"Key": key, "Value": "a"}),
        )
    for value, rule in TAG_VALUES:
        yield rest_fields(f"tag value {value!r:.30}", f"tags.note: {rule}", tags={"note": value})
        yield v3_fields(
            f"tag value {value!r:.30}",
            f"{inner}.0.Value: {rule}",
            TagSpecification=specification({"Key": "note", "Value": value}),
        )
    many = {f"t{number}": "a" for number in range(21)}
    yield rest_fields("21 tags", "tags: too-many", tags=many)
    yield v3_fields(
        "21 tags",
        f"{inner}: too-many",
        TagSpecification=specification(*({"Key": k, "Value": v} for k, v in many.items())),
    )
    for tags in ([], "a", 1, True, [["a", "b"]]):
        yield rest_fields(f"tags {tags!r}", "tags: object", tags=tags)
    twice = {"Key": "note", "Value": "a"}
    for name, problem, value in (
        ("a tag twice", f"{inner}: twice", specification(twice, twice)),
        ("a tag with two values", f"{inner}: twice", specification(twice, {"Key": "note", "Value": "b"})),
        ("two specifications", "TagSpecification: too-many", specification() * 2),
        ("a specification of instances", "TagSpecification.0.ResourceType: invalid",
        [{"ResourceType": "instance", "Tags": []}]),
        ("a specification without type", "TagSpecification.0.ResourceType: required", [{"Tags": []}]),
        ("a specification without tags", "TagSpecification.0.Tags: required", [{"ResourceType": "keypair"}]),
        ("a specification with more", "TagSpecification.0.More: unknown",
        [{"ResourceType": "keypair", "Tags": [], "More": 1}]),
        ("no list of specifications", "TagSpecification: array", {"ResourceType": "keypair", "Tags": []}),
        ("a specification that is none", "TagSpecification.0: object", [1]),
        ("no list of tags", f"{inner}: array", [{"ResourceType": "keypair", "Tags": {"note": "a"}}]),
        ("a tag that is none", f"{inner}.0: object", specification("note")),
        ("a tag without key", f"{inner}.0.Key: required", specification({"Value": "a"})),
        ("a tag without value", f"{inner}.0.Value: required", specification({"Key": "note"})),
        ("a tag with more", f"{inner}.0.TagKey: unknown", specification({**twice, "TagKey": "a"})),
    ):  # fmt: skip
        yield v3_fields(name, problem, TagSpecification=value)


def shown(key: object) -> str:
    """Return a tag's key as an answer shows it: a caller's own words only where they are a plain name."""
    return str(key) if str(key).isidentifier() and len(str(key)) <= 32 else "*"


def unsupported(title: str, content_type: str) -> Iterator[Bad]:
    yield Bad(
        f"rest: {title}",
        signed(REST, content_type=content_type),
        415,
        "unsupported-media-type",
        "unsupported-media-type",
    )
    yield Bad(
        f"v3: {title}", signed(V3, content_type=content_type), 200, "InvalidRequest", "unsupported-media-type"
    )


NO_JSON = [
    "", " ", "{", "}", "{}}", "{} {}", "nul", "{'a': 1}", '{"a": 1,}', "{a: 1}", '{"a": }',
    "KeyName=a&ProjectId=0", "\ufeff{}",
    '{"a": 01}', '{"a": .5}', '{"a": NaN}', '{"a": Infinity}', '{"a": -Infinity}', '{"a": +1}', '{"a": 0x1}',
    '{"a": "\n"}', '{"a": "\x00"}', '{"a": "\\x41"}', '{"a": "\\u12"}', "// {}\n{}",
    '{"keyName": "a", "keyName": "b"}', '{"KeyName": "a", "KeyName": "a"}', '{"tags": {"a": "b", "a": "c"}}',
    '{"a": [{"b": 1, "b": 1}]}', '{"a": 1, "\\u0061": 1}',
    '{"a": ' + "1" * 5000 + "}", '{"a": -' + "9" * 60000 + "}",
    '{"a": ' + "[" * 32 + "]" * 32 + "}", '{"a":' * 33 + "0" + "}" * 33,
    "[" * 60000, '{"a":' * 12000, '{"a": ' + "[" * 30000 + "]" * 30000 + "}",
]  # fmt: skip
NO_OBJECTS = ["[]", "[{}]", "null", "true", "0", "1e400", '"{}"', '""']
CONTENT_TYPES = [
    "", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a",
    "application/json-patch+json", "application/problem+json", "application/jsonx",
    "application/json; charset=iso-8859-1",
    "application/json; charset=utf-16", "application/json; charset=utf-8; a=b",
    "application/json, text/plain",
    "application/json;", "*/*", "json", "application/j\u017fon", "application / json",
]  # fmt: skip
TOKENS: list[tuple[object, str]] = [
    ("", "pattern"), (" ", "pattern"), ("a b", "pattern"), ("a\n", "pattern"), ("\u00e9", "pattern"),
    ("a" * 256, "pattern"), (1, "string"), (True, "string"), ([], "string"),
]  # fmt: skip
UNKNOWN: list[tuple[str, str]] = [
    ("keyname", "keyName"), ("key_name", "key_name"), ("keyId", "KeyId"), ("public_key", "PublicKey"),
    ("caller", "Caller"), ("KeyName", "keyName"), ("clientToken", "clientToken"),
]  # fmt: skip
NULLS = [(REST, "keyName", "string"), (V3, "KeyName", "string"), (V3, "ProjectId", "integer")]
IDEMPOTENCY_KEYS = [
    "", '"', '""', '"a', 'a"', '"a"b', '"a" "b"', "a b", "a,b", "a;b", '"a";b=1', "'a'", '"\\"', '"a\tb"',
    '"\u00e9"', "\u00e9",
    "a/b", "{a}", "a" * 256, f'"{"a" * 256}"',
]  # fmt: skip
ACTIONS = [
    None, "", "createkeypair", "CreateKeyPair ", "CreateKeyPairs", "DescribeKeyPair", "describekeypairs",
    "DeleteKeyPair", "RunInstances",
]  # fmt: skip
VERSIONS = [None, "", "2017-03-13", "2017-03-12 ", "20170312", "2020-09-01"]


def bad_bodies() -> Iterator[Bad]:
    for text in NO_JSON:
        yield from bad_json(f"body {text!r:.20}", text)
    for text in NO_OBJECTS:
        yield from bad_json(f"body {text!r:.20}", text, "json-object")
    for content_type in CONTENT_TYPES:
        yield from unsupported(f"content type {content_type!r:.40}", content_type)
    for path, field, rule in NULLS:
        status, code = (400, MALFORMED) if path == REST else (200, "InvalidParameterValue")
        yield Bad(f"{field} of null", nulled(field, path), status, code, "fields", (f"{field}: {rule}",))


def bad_fields() -> Iterator[Bad]:
    yield rest_fields("no name", "keyName: required", keyName=None)
    yield v3_fields("no name", "KeyName: required", KeyName=None)
    yield v3_fields("no project", "ProjectId: required", ProjectId=None)
    for rest, v3 in UNKNOWN:
        yield from bad_field(rest, v3, "a", "unknown")
    # A caller's own words come back only where they are short and plain.
    for name in ("a b", "a" * 33, "a-b", ""):
        for path in (REST, V3):
            body = {name: 1, **({"keyName": "a"} if path == REST else {"KeyName": "a", "ProjectId": 0})}
            status, code = (400, MALFORMED) if path == REST else (200, "UnknownParameter")
            yield Bad(
                f"unknown {name!r:.9}", signed(path, body=body), status, code, "fields", ("*: unknown",)
            )


def bad_values() -> Iterator[Bad]:
    for value, rule, code in NAMES:
        yield from bad_field("keyName", "KeyName", value, rule, code=code)
    for value, rule in PROJECTS:
        yield from bad_field("projectId", "ProjectId", value, rule)
    for value, rule in DURATIONS:
        yield from bad_field("expiresIn", "ExpiresIn", value, rule)
    for value, rule in REGIONS:
        yield from bad_field("region", "Region", value, rule)
    for value in FORMATS:
        yield from bad_field("privateKeyFormat", "PrivateKeyFormat", value, "enumeration")
    for value, rule, inner in LISTS:
        yield from bad_field("recipients", "Recipients", value, rule, inner=inner)
    for value, rule in TOKENS:
        yield v3_fields(f"token {value!r:.30}", f"ClientToken: {rule}", ClientToken=value)


def bad_headers() -> Iterator[Bad]:
    for key in IDEMPOTENCY_KEYS:
        build = signed(REST, also_signed={_KEY: key})
        yield Bad(f"idempotency key {key!r:.20}", build, 400, MALFORMED, "idempotency-key")
    for action in ACTIONS:
        build = signed(V3, x_tc_action=action)
        yield Bad(f"action {action!r}", build, 200, "InvalidAction", "unknown-action")
    for version in VERSIONS:
        build = signed(V3, x_tc_version=version)
        yield Bad(f"version {version!r}", build, 200, "NoSuchVersion", "unknown-version")
    for region in ("ap-shanghai", "AP-GUANGZHOU", "ap-guangzhou ", "gz", "x"):
        build = signed(V3, x_tc_region=region)
        yield Bad(f"region header {region!r}", build, 200, "UnsupportedRegion", "region-mismatch")
    yield Bad(
        "region header and field differ",
        lambda function: function.signed(V3, function.v3_body(Region="ap-shanghai")),
        200,
        "UnsupportedRegion",
        "region-mismatch",
    )


BODIES = [*bad_bodies(), *bad_fields(), *bad_values(), *bad_tags(), *bad_headers()]


# ---------------------------------------------------------------- recipients and policy


def sealed_to(path: str, recipients: list[str] | None) -> Build:
    def build(function: FunctionUnderTest) -> object:
        if path == REST:
            return function.signed(REST, function.rest_body(recipients=recipients))
        return function.signed(V3, function.v3_body(Recipients=recipients))

    return build


def bad_recipients() -> Iterator[Bad]:
    whole = [([bad.text], bad, 0) for bad in (*BAD_RECIPIENTS, *BAD_JWKS, *BAD_PEMS)]
    # Its place is told, wherever it is: what is told is the first one at fault.
    placed = [([WHOM] * 19 + [bad.text], bad, 19) for bad in BAD_RECIPIENTS[::9]]
    return refused_recipients(whole + placed)


def refused_recipients(rows: list[tuple[list[str], BadRecipient, int]]) -> Iterator[Bad]:
    """Return each row for each door: its recipients, the bad one, and where that stands."""
    for texts, bad, position in rows:
        title = f"{bad.title}, at {position}"
        # Private keys are looked for in the whole body first; where they stand is not told then.
        place = (
            "recipients"
            if re.search("PRIVATE KEY|age-secret-key-", bad.text, re.IGNORECASE)
            else f"recipients.{position}"
        )
        code, problem = bad.problem.code, (f"{place}: {bad.problem.code}",)
        yield Bad(
            f"rest: {title}",
            sealed_to(REST, texts),
            422,
            "recipient-refused",
            code,
            problem,
        )
        yield Bad(
            f"v3: {title}",
            sealed_to(V3, texts),
            200,
            "InvalidParameterValue.Recipients",
            code,
            problem,
        )
    missing = RecipientProblem.MISSING.code
    yield Bad(
        "rest: nobody",
        sealed_to(REST, None),
        422,
        "recipient-refused",
        missing,
        (f"recipients: {missing}",),
    )
    yield Bad(
        "v3: nobody",
        sealed_to(V3, None),
        200,
        "InvalidParameterValue.Recipients",
        missing,
        (f"recipients: {missing}",),
    )


_RESTRICTED: dict[str, object] = {
    "keyName": "ci_1", "projectId": 1234, "region": "ap-shanghai", "tags": {"team": "core-1"},
    "expiresIn": "12h"
}  # fmt: skip


def denied(caller: str, part: str, **changes: object) -> Iterator[Bad]:
    reason = f"not-granted-{part}"
    fields = {**(_RESTRICTED if caller == "restricted" else {}), **changes}

    def rest(function: FunctionUnderTest) -> object:
        return function.signed(REST, function.rest_body(**fields), caller)

    def v3(function: FunctionUnderTest) -> object:
        tags: Any = fields.get("tags") or {}
        pascal = {name[0].upper() + name[1:]: value for name, value in fields.items() if name != "tags"}
        pascal["ProjectId"] = fields.get("projectId") or 0  # which v3 demands
        specification = [
            {"ResourceType": "keypair", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        ]
        body = function.v3_body(**pascal, TagSpecification=specification)
        return function.signed(V3, body, caller, x_tc_region=None)

    yield Bad(f"rest: {caller} {changes}", rest, 403, "not-granted", reason)
    yield Bad(f"v3: {caller} {changes}", v3, 200, "UnauthorizedOperation", reason)


POLICY_ROWS = [
    bad
    for rows in (
        *(denied("restricted", "name", keyName=name) for name in ("c", "ci", "CI_1", "xci_1", "_ci_1",
        "i_1")),
        *(denied("restricted", "project", projectId=project) for project in (0, 1, 12345, None)),
        *(denied("restricted", "region", region=region) for region in ("ap-guangzhou", "ap-shanghai-fsi",
        "cn-shanghai", None)),
        *(
            denied("restricted", "required-tag", tags=tags)
            for tags in (None, {}, {"team": "core"}, {"team": "core-"}, {"team": "core-12"},
            {"team": "Core-1"}, {"Team": "core-1"}, {"team": "xcore-1"}, {"note": "core-1"})
        ),
        *(denied("restricted", "tag", tags={"team": "core-1", key: "a"}) for key in ("note", "Team",
        "team ".strip() + "s", "cam-role")),
        *(denied("restricted", "expiry", expiresIn=text) for text in ("13h", "721m", "1d", "99999d")),
        denied("demo", "project", projectId=1),
        denied("demo", "project", projectId=2**63 - 1),
        denied("demo", "region", region="ap-beijing"),
        denied("demo", "tag", tags={"team": "core-1"}),
        denied("demo", "tag", tags={"note": "a", "notes": "a"}),
        denied("pinned", "own-recipients"),
        denied("pinned", "own-recipients", recipients=[str(REGISTERED.to_public())]),
        denied("pinned", "project", projectId=1234),
        denied("pinned", "region", region="ap-shanghai"),
        denied("pinned", "tag", tags={"note": "a"}, recipients=None),
    )
    for bad in rows
]  # fmt: skip

ROWS = [*refused_events(), *SIGNATURES, *BODIES, *bad_recipients(), *POLICY_ROWS]


# ---------------------------------------------------------------- the tests


@pytest.fixture(scope="module")
def cloud() -> Iterator[socket.socket]:
    """Listen where the function expects the cloud, and answer nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        yield listener


@pytest.fixture(scope="module")
def shared(
    emulator: EmulatorProcess, cloud: socket.socket, tmp_path_factory: pytest.TempPathFactory
) -> FunctionUnderTest:
    """Share one function among all refused requests, because they leave no state."""
    endpoint = {"KEYPAIR_CVM_ENDPOINT": f"http://127.0.0.1:{cloud.getsockname()[1]}"}
    return FunctionUnderTest(emulator, tmp_path_factory.mktemp("bad") / "policy.json", settings=endpoint)


@pytest.fixture
def quiet(
    shared: FunctionUnderTest, cloud: socket.socket, caplog: pytest.LogCaptureFixture
) -> Iterator[FunctionUnderTest]:
    """Require that the cloud is not called, and that nothing is logged at any level."""
    shared.forget_audit()
    caplog.set_level(logging.DEBUG)
    yield shared
    assert caplog.records == []
    with pytest.raises(BlockingIOError):  # nobody has connected
        cloud.accept()


@pytest.mark.parametrize("bad", [pytest.param(bad, id=str(number)) for number, bad in enumerate(ROWS)])
@pytest.mark.slow
def test_bad_request(bad: Bad, quiet: FunctionUnderTest) -> None:
    answer = quiet.call(bad.event(quiet), {"request_id": "request-1"})

    assert (answer.status, answer.code) == (bad.status, bad.code), bad.title
    assert_deliberate(answer)
    assert problems(answer) >= set(bad.problems)
    reasons = [(line["decision"], line["reason"]) for line in quiet.audit_lines()]
    assert reasons == ([] if bad.reason is None else [("refused", bad.reason)])


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not here; scripts/test installs it")
@pytest.mark.slow
def test_bad_pgp_keys(quiet: FunctionUnderTest) -> None:
    """Made with gpg, and so not before they are needed; by the true clock."""
    quiet.clock.time = time.time()
    for bad in refused_recipients([([row.text], row, 0) for row in bad_pgp()]):
        test_bad_request(bad, quiet)
        quiet.forget_audit()
    quiet.clock.time = NOON


def assert_deliberate(answer: Answer) -> None:
    """Require the form of every refusal, at either door."""
    assert answer.event["isBase64Encoded"] is False
    assert set(answer.event) == {"isBase64Encoded", "statusCode", "headers", "body"}
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.body.isascii()
    if answer.status == 200:
        assert answer.headers["Content-Type"] == "application/json"
        assert set(answer.json) == {"Response"}
        assert set(answer.json["Response"]) == {"Error", "RequestId"}
        assert set(answer.json["Response"]["Error"]) == {"Code", "Message"}
        assert answer.json["Response"]["RequestId"] == "request-1"
        return
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json
    assert set(body) - {"errors"} == {"type", "title", "status", "code", "requestId"}
    assert body["type"] == f"urn:keypair-function:{body['code']}"
    assert body["status"] == answer.status
    assert body["requestId"] == "request-1"
    assert body.get("errors") != []
    for problem in body.get("errors", ()):
        assert {"field", "rule"} <= set(problem) <= {"field", "rule", "advice", "adviceZh"}
        assert all(problem.values())
    assert ("WWW-Authenticate" in answer.headers) == (answer.status == 401)
    assert ("Allow" in answer.headers) == (answer.status == 405)


def problems(answer: Answer) -> set[str]:
    """Return `field: rule` for each field that an answer names."""
    if answer.status != 200:
        return {f"{problem['field']}: {problem['rule']}" for problem in answer.json.get("errors", [])}
    message: str = answer.json["Response"]["Error"]["Message"]
    return {f"{field}: {rule}" for field, rule in re.findall(r" ([\w.*]+): ([a-z0-9-]+)[.;]", message)}


def test_the_table_is_complete() -> None:
    assert len(ROWS) > 1500
    elsewhere = {  # test_detection.py, test_openpgp.py and others
        RecipientProblem.AMBIGUOUS,
        RecipientProblem.IMPORT_SIZE,
        RecipientProblem.IMPORT_TYPE,
        RecipientProblem.MISSING,
        RecipientProblem.MIXED_FORMATS,
        RecipientProblem.OTHER_FORMAT,
        RecipientProblem.OPENPGP_NOT_INSTALLED,
        RecipientProblem.PGP_EXPIRED,
        RecipientProblem.PGP_MALFORMED,
        RecipientProblem.PGP_NO_SUBKEY,
        RecipientProblem.PGP_REVOKED,
        RecipientProblem.PGP_SHA1,
        RecipientProblem.PGP_USE,
    }
    rows = (*BAD_RECIPIENTS, *BAD_JWKS, *BAD_PEMS)
    assert {bad.problem for bad in rows} == set(RecipientProblem) - elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("path", [REST, V3])
@pytest.mark.parametrize("title", PRIVATE)
def test_private_material_is_never_echoed(path: str, title: str, quiet: FunctionUnderTest) -> None:
    """It is not logged either: see `quiet`."""
    secret = PRIVATE[title]
    places: list[dict[str, object]] = [
        {"recipients": [secret]},
        {"recipients": [WHOM, secret]},
        {"keyName": secret},
        {"region": secret},
        {"projectId": secret},
        {"expiresIn": secret},
        {"privateKeyFormat": secret},
        {"recipients": secret},
        {"tags": {"team": secret}},
        {"tags": {"note": secret}},
        {"tags": {secret: "a"}},
        {"tags": secret},
        {secret: "a"},
    ]
    pieces = {secret[start : start + 12] for start in range(len(secret.rstrip()) - 12)} - {" " * 12}
    for place in places:
        fields: dict[str, object] = {**quiet.rest_body(), **place}
        if path == V3:
            fields = {name[:1].upper() + name[1:]: value for name, value in fields.items() if name != "tags"}
            if tags := place.get("tags"):
                pairs = tags.items() if isinstance(tags, dict) else [(tags, tags)]
                listed = [{"Key": key, "Value": value} for key, value in pairs]
                fields["TagSpecification"] = [{"ResourceType": "keypair", "Tags": listed}]
            fields.setdefault("ProjectId", 0)
        answer = quiet.call(quiet.signed(path, fields))
        shown = json.dumps(answer.event) + quiet.audit.getvalue()
        unescaped = (
            json.loads(f'"{answer.body[1:-1]}"')
            if "\\" not in answer.body and '"' not in answer.body
            else answer.body
        )
        assert answer.code is not None
        assert not [piece for piece in pieces if piece in shown or piece in unescaped], place
    assert len(quiet.audit_lines()) == len(places)


@pytest.mark.parametrize("path", [REST, V3])
def test_unknown_callers_and_wrong_secrets_get_one_answer(path: str, quiet: FunctionUnderTest) -> None:
    events = [
        quiet.signed(path, caller="nobody"),
        quiet.signed(path, caller="nobody", master=OTHER_MASTER),
        quiet.signed(path, master=OTHER_MASTER),
        quiet.signed(path, caller="no-tc3"),
        quiet.signed(path, caller="no-tc3", master=OTHER_MASTER),
        quiet.signed(path, timestamp=NOON - 301),
        quiet.signed(path, authorization=None),
        quiet.signed(path, host="other.example.com"),
        quiet.signed(path, authorization="Bearer x"),
    ]
    answers = {json.dumps(quiet.call(event, {"request_id": "request-1"}).event) for event in events}
    assert len(answers) == 1
    reasons = {"tc3-signature", "tc3-caller", "tc3-window", "tc3-authorization"}
    reasons |= {"bearer-malformed"} if path == REST else set()
    assert {line["reason"] for line in quiet.audit_lines()} == reasons


def test_the_audit_line_of_an_unauthenticated_request_names_no_caller(quiet: FunctionUnderTest) -> None:
    quiet.call(quiet.signed(REST, master=OTHER_MASTER), {"request_id": "request-1"})
    (line,) = quiet.audit_lines()
    assert line.pop("policyDigest")
    assert line == {
        "audit": "keypair-function/1",
        "time": "2026-11-24T12:00:00.000+00:00",
        "requestId": "request-1",
        "door": "rest",
        "decision": "refused",
        "reason": "tc3-signature",
        "caller": None,
        "keyName": None,
        "region": None,
        "projectId": None,
        "recipients": None,
        "keyId": None,
        "fingerprint": None,
        "upstreamRequestId": None,
        "upstreamCode": None,
        "upstreamMessage": None,
        "remoteAddress": "203.0.113.7",
        "durationMs": 0,
        "checks": None,
        "owner": None,
    }


def test_the_audit_line_of_a_denied_request_names_caller_and_order(quiet: FunctionUnderTest) -> None:
    body = quiet.v3_body(KeyName="a_name", ProjectId=5, Region="ap-shanghai")
    quiet.call(quiet.signed(V3, body, x_tc_region="ap-shanghai"))
    (line,) = quiet.audit_lines()
    told = [
        line[name] for name in ("door", "caller", "keyName", "region", "projectId", "reason", "recipients")
    ]
    assert told == ["tencent-v3", "demo", "a_name", "ap-shanghai", 5, "not-granted-project", None]


def test_an_address_that_a_client_forged_stays_inside_its_field(quiet: FunctionUnderTest) -> None:
    forged = '1.2.3.4", "decision": "issued", "x": "\u2028\u0085é\u202e' + "x" * 100
    quiet.call(quiet.signed(REST, caller="nobody", x_scf_remote_addr=forged))
    assert len(quiet.audit.getvalue().splitlines()) == 1
    assert quiet.audit.getvalue().isascii()
    (line,) = quiet.audit_lines()
    assert (line["remoteAddress"], line["decision"]) == (forged[:64], "refused")


def test_at_most_twenty_problems_are_reported(quiet: FunctionUnderTest) -> None:
    answer = quiet.call(quiet.signed(REST, {f"field_{number}": 1 for number in range(500)}))
    assert len(answer.json["errors"]) == 20


def test_405_names_the_methods(quiet: FunctionUnderTest) -> None:
    for path, allowed in ((REST, "POST, GET"), (V3, "POST"), ("/healthz", "GET")):
        answer = quiet.call({"httpMethod": "PUT", "path": path})
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)


# ---------------------------------------------------------------- good requests


def test_health(quiet: FunctionUnderTest) -> None:
    answer = quiet.call({"httpMethod": "GET", "path": "/healthz"})
    assert (answer.status, answer.body, answer.headers) == (
        200,
        '{"status":"ok"}',
        {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )
    assert quiet.audit_lines() == []


def test_rest_answer(function: FunctionUnderTest) -> None:
    body = function.rest_body(projectId=1234, tags={"note": "for a test", "团队": "核心"}, expiresIn="90m")
    answer = function.call(function.signed(REST, body), {"request_id": "request-1"})

    (listed,) = function.emulator.key_pairs()
    (intent, issued) = function.audit_lines()
    ciphertext = answer.json["sealedPrivateKey"]["ciphertext"]
    name = body["keyName"]
    recipients = [WHOM, str(ESCROW.to_public())]
    assert answer.status == 201
    assert answer.headers == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Idempotency-Key-TTL": "86400",
    }
    assert answer.json == {
        "keyId": listed["KeyId"],
        "keyName": name,
        "projectId": 1234,
        "region": REGION,
        "publicKey": " ".join(listed["PublicKey"].split()[:2]),
        "fingerprint": issued["fingerprint"],
        "createdAt": "2026-11-24T12:00:00Z",
        "expiresAt": "2026-11-24T13:30:00Z",
        "sealedPrivateKey": {
            "format": "age",
            "recipients": recipients,
            "ciphertext": ciphertext,
            "openWith": f"(umask 077; [ ! -e {name}.pem ] || {{ echo {name}.pem exists >&2; exit 1; }}; "
            f"age -d -i key.txt -o {name}.pem {name}.age || {{ rm -f {name}.pem; exit 1; }})",
        },
        "requestId": "request-1",
    }
    assert opened(ciphertext) == opened(ciphertext, ESCROW) == function.emulator.private_keys()[-1]
    tags = {tag["Key"]: tag["Value"] for tag in listed["Tags"]}
    digits = [tags.pop(f"keypair-function:mark-{position:02}") for position in range(1, 16)]
    assert all(digit in ALPHABET for digit in digits)
    assert tags == {
        "note": "for a test",
        "团队": "核心",
        "keypair-function:caller": "demo",
        "keypair-function:expires-month": "2026-11",
        "keypair-function:expires-day": "24",
        "keypair-function:expires-hour": "13",
        "keypair-function:expires-minute": "30",
    }
    assert [intent["decision"], issued["decision"]] == ["intent", "issued"]
    assert [intent["keyId"], issued["keyId"]] == [None, listed["KeyId"]]
    assert intent["recipients"] == issued["recipients"] == recipients


@pytest.mark.parametrize("signed", [True, False])
def test_a_signed_region_header_chooses_the_region(function: FunctionUnderTest, *, signed: bool) -> None:
    """Clients that cannot send a Region in the body reach every region that they sign for."""
    other = {"x-tc-region": "ap-shanghai"}
    event = function.signed(
        V3, function.v3_body(), also_signed=other if signed else None, x_tc_region="ap-shanghai"
    )
    answer = function.call(event)
    if signed:
        assert answer.json["Response"]["KeyPair"]["KeyId"] == function.emulator.key_pairs()[0]["KeyId"]
        assert function.audit_lines()[-1]["region"] == "ap-shanghai"
    else:
        assert answer.code == "UnsupportedRegion"


def test_a_signed_region_header_that_is_malformed_is_refused(function: FunctionUnderTest) -> None:
    header = "in Shanghai"
    event = function.signed(V3, function.v3_body(), also_signed={"x-tc-region": header}, x_tc_region=header)
    assert function.call(event).code == "UnsupportedRegion"
    assert function.emulator.key_pairs() == []


def test_v3_answer(function: FunctionUnderTest) -> None:
    tags = [{"Key": "note", "Value": "a"}]
    body = function.v3_body(TagSpecification=[{"ResourceType": "keypair", "Tags": tags}])
    answer = function.call(function.signed(V3, body), {"request_id": "request-1"})

    (listed,) = function.emulator.key_pairs()
    name = body["KeyName"]
    response = answer.json["Response"]
    assert answer.status == 200
    assert answer.headers == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    assert response == {
        "KeyPair": {
            "KeyId": listed["KeyId"],
            "KeyName": name,
            "ProjectId": 0,
            "PublicKey": " ".join(listed["PublicKey"].split()[:2]),
            "PrivateKey": response["KeyPair"]["PrivateKey"],
        },
        "Fingerprint": function.audit_lines()[1]["fingerprint"],
        "SealedWith": "age",
        "SealedTo": [WHOM, str(ESCROW.to_public())],
        "OpenWith": f"(umask 077; [ ! -e {name}.pem ] || {{ echo {name}.pem exists >&2; exit 1; }}; "
        f"age -d -i key.txt -o {name}.pem {name}.age || {{ rm -f {name}.pem; exit 1; }})",
        "ExpiresAt": None,
        "RequestId": "request-1",
    }
    assert opened(response["KeyPair"]["PrivateKey"]) == function.emulator.private_keys()[-1]


def opened(ciphertext: str, identity: pyrage.x25519.Identity = RECIPIENT) -> str:
    return pyrage.decrypt(ciphertext.encode(), [identity]).decode()


@pytest.mark.slow
@pytest.mark.parametrize("path", [REST, V3])
@pytest.mark.parametrize(
    "how",
    [
        {"caller": "second"},
        {"master": PREVIOUS_MASTER},
        {"host": HOST_WITH_PORT},
        {"host": HOST.upper()},
        {"content_type": "application/json; charset=utf-8"},
        {"content_type": "Application/JSON;charset=UTF-8"},
        {"service": "keys"},
        {"timestamp": NOON - 300},
        {"timestamp": NOON + 300},
        {"also_signed": {"x-tc-action": "CreateKeyPair"}},
        {"also_signed": {"x-a": "  spaced\t"}},
        {"x_tc_token": "what the SDK sends and nothing reads"},
        {"x_tc_region": ""},
    ],
)
def test_other_good_ways_to_sign(path: str, how: dict[str, Any], function: FunctionUnderTest) -> None:
    answer = function.call(function.signed(path, **how))
    assert answer.code is None
    assert [line["decision"] for line in function.audit_lines()] == ["intent", "issued"]


def test_the_window_is_closed_a_moment_later(function: FunctionUnderTest) -> None:
    function.clock.time = NOON + 0.001
    assert function.call(function.signed(REST, timestamp=NOON - 300)).status == 401
    assert function.call(function.signed(REST, timestamp=NOON + 300)).status == 201


def test_base64_bodies_and_the_older_event(function: FunctionUnderTest) -> None:
    encodings: list[object] = [True, "true", 1]
    for flag in encodings:
        event = function.signed(REST)
        event |= {"body": base64.b64encode(event["body"].encode()).decode(), "isBase64Encoded": flag}
        assert function.call(event).status == 201
    not_encoded: list[object] = [False, "false", None, 0]
    for flag in not_encoded:
        event = {**function.signed(REST), "isBase64Encoded": flag}
        event |= {"requestContext": {"stage": "release"}, "queryStringParameters": {}, "pathParameters": {}}
        assert function.call(event).status == 201


def test_the_longest_body_is_read(function: FunctionUnderTest) -> None:
    body = json.dumps(function.rest_body())
    padded = body + " " * (BODY_LIMIT - len(body))
    assert function.call(function.signed(REST, padded)).status == 201
    encoded_body = base64.b64encode(padded.encode()).decode()
    event = {**function.signed(REST, padded), "body": encoded_body, "isBase64Encoded": True}
    assert function.call(event).status == 201


def test_what_json_schema_calls_an_integer(function: FunctionUnderTest) -> None:
    body = json.dumps(function.rest_body(projectId=1234)).replace("1234", "1234.0")
    assert function.call(function.signed(REST, body)).json["projectId"] == 1234


@pytest.mark.parametrize(("caller", "sealed_to"), [("registered", REGISTERED), ("pinned", REGISTERED)])
@pytest.mark.parametrize("path", [REST, V3])
def test_registered_recipients(
    path: str, caller: str, sealed_to: pyrage.x25519.Identity, function: FunctionUnderTest
) -> None:
    body = function.rest_body(recipients=None) if path == REST else function.v3_body(Recipients=None)
    answer = function.call(function.signed(path, body, caller)).json
    sealed = (
        answer["sealedPrivateKey"]["ciphertext"]
        if path == REST
        else answer["Response"]["KeyPair"]["PrivateKey"]
    )
    assert opened(sealed, sealed_to) == function.emulator.private_keys()[-1]
    with pytest.raises(pyrage.DecryptError):
        opened(sealed)


def test_own_recipients_replace_registered_ones(function: FunctionUnderTest) -> None:
    sealed = function.call(function.signed(REST, caller="registered")).json["sealedPrivateKey"]
    assert sealed["recipients"] == [WHOM, str(ESCROW.to_public())]


def test_a_grant_at_its_limits(function: FunctionUnderTest) -> None:
    for changes in (
        {},
        {"keyName": "ci_"},
        {"expiresIn": "720m"},
        {"expiresIn": "1m"},
        {"tags": {"team": "core-核"}},
    ):
        body = function.rest_body(**{**_RESTRICTED, **changes})
        answer = function.call(function.signed(REST, body, "restricted"))
        assert answer.status == 201, answer.body
        function.delete_key_pairs()
        function.clock.time += 1
    # Its longest expiry is also that of a request that names none.
    body = function.rest_body(**{**_RESTRICTED, "expiresIn": None})
    answer = function.call(function.signed(REST, body, "restricted"))
    assert answer.json["expiresAt"] == "2026-11-25T00:01:00Z"


# ---------------------------------------------------------------- the same request again


def key(text: str) -> dict[str, Any]:
    return {"also_signed": {"idempotency-key": text}}


@pytest.mark.parametrize("path", [REST, V3])
def test_the_same_request_gets_the_same_bytes(path: str, function: FunctionUnderTest) -> None:
    event = function.signed(path)
    first = function.call(copy.deepcopy(event), {"request_id": "request-1"})
    before = function.create_calls()
    function.forget_audit()
    again = function.call(copy.deepcopy(event), {"request_id": "request-2"})
    assert first.event == again.event
    assert function.create_calls() == before
    (line,) = function.audit_lines()
    assert (line["decision"], line["requestId"], line["fingerprint"] is None) == (
        "replayed",
        "request-2",
        False,
    )


def test_the_same_key_gets_the_same_bytes_whenever_it_is_signed(function: FunctionUnderTest) -> None:
    """With quotes or without: the draft requires them, but many clients omit them."""
    body = function.rest_body()
    before = function.create_calls()
    first = function.call(function.signed(REST, body, **key("a-key_1.2:3")))
    for again in ("a-key_1.2:3", '"a-key_1.2:3"', "  a-key_1.2:3 "):
        function.clock.time += 3600
        assert function.call(function.signed(REST, body, **key(again))).event == first.event
    assert first.status == 201
    assert function.create_calls() == before + 1


def test_a_token_of_v3_does_the_same(function: FunctionUnderTest) -> None:
    body = function.v3_body(ClientToken="a-key")
    before = function.create_calls()
    first = function.call(function.signed(V3, body))
    function.clock.time += 3600
    assert function.call(function.signed(V3, body)).event == first.event
    assert function.create_calls() == before + 1


def test_another_body_under_the_same_key_is_refused(function: FunctionUnderTest) -> None:
    body = function.rest_body()
    function.call(function.signed(REST, body, **key("a")))
    before = function.create_calls()
    for change in (
        {"keyName": fresh_name()},
        {"projectId": 1234},
        {"region": "ap-shanghai"},
        {"recipients": [WHOM, WHOM]},
        {"tags": {"note": "a"}},
        {"privateKeyFormat": "pkcs8"},
        {"expiresIn": "1d"},
    ):
        function.forget_audit()
        answer = function.call(function.signed(REST, {**body, **change}, **key("a")))
        assert (answer.status, answer.code) == (422, "idempotency-key-reused")
        assert [(line["decision"], line["reason"]) for line in function.audit_lines()] == [
            ("refused", "idempotency-key-reused")
        ]
    token = function.v3_body(ClientToken="a")
    assert function.call(function.signed(V3, token)).code == "InvalidParameterValue.ClientTokenReused"
    assert function.create_calls() == before


def test_the_order_of_members_does_not_matter(function: FunctionUnderTest) -> None:
    body = function.rest_body(projectId=0)
    first = function.call(function.signed(REST, body, **key("a")))
    turned = dict(reversed(body.items()))
    assert function.call(function.signed(REST, turned, **key("a"))).event == first.event


def test_callers_do_not_share_idempotency_keys(function: FunctionUnderTest) -> None:
    answers = [
        function.call(function.signed(REST, function.rest_body(), caller, **key("a")))
        for caller in ("demo", "second", "registered")
    ]
    assert [answer.status for answer in answers] == [201, 201, 201]
    assert len({answer.json["keyId"] for answer in answers}) == 3


def test_a_captured_request_cannot_become_a_new_one(function: FunctionUnderTest) -> None:
    """TC3 signs header values in lower case, so anybody can change the case of an idempotency key."""
    captured = function.signed(REST, **key("Some-Key"))
    first = function.call(copy.deepcopy(captured))
    before = function.create_calls()
    for other in ("some-key", "SOME-KEY", "  Some-Key"):
        captured["headers"]["idempotency-key"] = other
        assert function.call(copy.deepcopy(captured)).event == first.event
    assert function.create_calls() == before


def test_a_name_that_is_taken(function: FunctionUnderTest) -> None:
    name = fresh_name()
    function.call(function.signed(REST, function.rest_body(keyName=name)))
    function.forget_audit()
    answer = function.call(function.signed(REST, function.rest_body(keyName=name), "second"))
    assert (answer.status, answer.code) == (409, "name-taken")
    answer = function.call(function.signed(V3, function.v3_body(KeyName=name), "second"))
    assert answer.code == "InvalidKeyPairName.Duplicate"
    decisions = [(line["decision"], line["reason"]) for line in function.audit_lines()]
    assert decisions == [("intent", None), ("refused", "name-taken")] * 2
    assert len(function.emulator.key_pairs()) == 1


def test_combinations_of_what_is_allowed(function: FunctionUnderTest) -> None:
    labels = {"pkcs1": "RSA PRIVATE KEY", "pkcs8": "PRIVATE KEY", "openssh": "OPENSSH PRIVATE KEY"}
    for path, form in itertools.product((REST, V3), labels):
        name = "privateKeyFormat" if path == REST else "PrivateKeyFormat"
        body = {**(function.rest_body() if path == REST else function.v3_body()), name: form}
        answer = function.call(function.signed(path, body)).json
        sealed = (
            answer.get("sealedPrivateKey", {}).get("ciphertext")
            or answer["Response"]["KeyPair"]["PrivateKey"]
        )
        assert opened(sealed).startswith(f"-----BEGIN {labels[form]}-----\n")


def test_a_private_key_in_escapes_is_found(quiet: FunctionUnderTest) -> None:
    """In the value of a tag, it would be sent to the cloud."""
    secret = "AGE-SECRET-KEY-1QQQQQQQQQQQQ"
    body = json.dumps(quiet.rest_body(tags={"note": secret})).replace("AGE", "\\u0041GE")
    before = quiet.create_calls()
    answer = quiet.call(quiet.signed(REST, body))
    assert (answer.status, answer.code) == (422, "recipient-refused")
    assert quiet.create_calls() == before
    assert "SECRET-KEY" not in answer.body + quiet.audit.getvalue()
