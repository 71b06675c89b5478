"""Events into requests, answers into events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from handler.errors import BodyTooLarge, MalformedRequest, UnsupportedMediaType
from handler.http.messages import Request, Response, json_response, require_json
from handler.http.strict_json import parse_json_object
from handler.scf.events import BODY_LIMIT, INTERNAL, TIMER, parse_event

# https://cloud.tencent.com/document/product/583/96099
FUNCTION_URL: dict[str, Any] = {
    "body": '{"test":"hello world"}',
    "headers": {
        "accept": "*/*",
        "accept-encoding": "gzip, deflate, br",
        "cache-control": "no-cache",
        "connection": "keep-alive",
        "content-length": "17",
        "x-scf-remote-addr": "111.206.96.145",
    },
    "httpMethod": "POST",
    "path": "/",
    "queryString": {"a": "1", "b": "2"},
}
# https://cloud.tencent.com/document/product/583/31927
API_GATEWAY: dict[str, Any] = {
    "requestContext": {
        "serviceId": "service-f94sy04v",
        "path": "/test/{path}",
        "httpMethod": "POST",
        "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "identity": {"secretId": "abdcdxxxxxxxsdfs"},
        "sourceIp": "10.0.2.14",
        "stage": "release",
    },
    "headers": {
        "Accept-Language": "en-US,en,cn",
        "Host": "service-3ei3tii4-251000691.ap-guangzhou.apigateway.myqloud.com",
    },
    "body": '{"test":"body"}',
    "pathParameters": {"path": "value"},
    "queryStringParameters": {"foo": "bar"},
    "headerParameters": {"Refer": "10.0.2.14"},
    "stageVariables": {"stage": "release"},
    "path": "/test/value",
    "queryString": {"foo": "bar", "bob": "alice"},
    "httpMethod": "POST",
    "isBase64Encoded": False,
}


def test_function_url_event() -> None:
    assert parse_event(FUNCTION_URL) == Request(
        method="POST",
        path="/",
        query={"a": "1", "b": "2"},
        headers=FUNCTION_URL["headers"],
        unverified_body=b'{"test":"hello world"}',
        remote_address="111.206.96.145",
    )


def test_api_gateway_event() -> None:
    assert parse_event(API_GATEWAY) == Request(
        method="POST",
        path="/test/value",
        query={"foo": "bar", "bob": "alice"},
        headers={name.lower(): value for name, value in API_GATEWAY["headers"].items()},
        unverified_body=b'{"test":"body"}',
        remote_address="",
    )


def event(**members: object) -> dict[str, object]:
    return {"httpMethod": "POST", "path": "/", **members}


def test_the_least_that_is_a_request() -> None:
    assert parse_event(event()) == Request("POST", "/", {}, {}, b"", "")


@pytest.mark.parametrize(
    ("members", "query"),
    [
        ({"queryString": None, "queryStringParameters": None}, {}),
        ({"queryString": {}, "queryStringParameters": {"a": "1"}}, {"a": "1"}),
        ({"queryString": ""}, {}),
        ({"queryString": {"a": ""}, "queryStringParameters": {"b": "1"}}, {"a": ""}),
    ],
)
def test_queries(members: dict[str, object], query: dict[str, str]) -> None:
    assert parse_event(event(**members)).query == query


@pytest.mark.parametrize(
    ("body", "encoded", "read"),
    [
        (None, False, b""),
        (None, True, b""),
        ("", True, b""),
        ("é", None, b"\xc3\xa9"),
        ("AP8=", True, b"\x00\xff"),
        ("AP8=", "true", b"\x00\xff"),
        ("AP8=", "false", b"AP8="),
        ("x" * BODY_LIMIT, False, b"x" * BODY_LIMIT),
    ],
)
def test_bodies(body: str | None, encoded: object, read: bytes) -> None:
    assert parse_event(event(body=body, isBase64Encoded=encoded)).unverified_body == read


@pytest.mark.parametrize("length", [BODY_LIMIT + 1, BODY_LIMIT * 4 // 3 + 5, 6_000_000])
def test_bodies_over_the_limit(length: int) -> None:
    with pytest.raises(BodyTooLarge):
        parse_event(event(body="x" * length))


@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], ["a"], {}])
def test_a_malformed_header_that_nobody_reads_is_dropped(value: object) -> None:
    request = parse_event(event(headers={"x-request-start": value, "X-Other": "kept"}))
    assert request.headers == {"x-other": "kept"}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"httpMethod": "get"}, "event-method"),
        ({"path": "v1"}, "event-path"),
        ({"headers": "a: b"}, "event-headers"),
        ({"headers": {f"x-{number}": "" for number in range(101)}}, "event-headers"),
        ({"headers": {"a b": ""}}, "header-name"),
        *(({"headers": {"Origin": value}}, "header-value") for value in (None, 1, [], ["https://a.example"])),
        ({"headers": {"sec-fetch-site": None}}, "header-value"),
        ({"headers": {"X-TC-Timestamp": 1795521600}}, "header-value"),
        ({"headers": {"a": "\n"}}, "header-value"),
        ({"headers": {"a": "", "A": ""}}, "header-twice"),
        ({"queryString": "a=1"}, "event-query"),
        ({"queryString": {"a": 1}}, "event-query"),
        ({"body": 1}, "event-body"),
        ({"body": "", "isBase64Encoded": "yes"}, "event-encoding"),
        ({"body": "*", "isBase64Encoded": True}, "event-encoding"),
        ({"body": "\ud800"}, "event-encoding"),
    ],
)
def test_what_is_no_request(members: dict[str, object], reason: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        parse_event(event(**members))
    assert refused.value.reason == reason


def test_headers_at_their_limits() -> None:
    headers = {f"x-{number}": "" for number in range(98)} | {"x" * 128: "v" * 16384, "Tab": "a\tb é"}
    assert parse_event(event(headers=headers)).headers["tab"] == "a\tb é"


def test_long_addresses_are_cut() -> None:
    assert parse_event(event(headers={"X-SCF-Remote-Addr": "1" * 99})).remote_address == "1" * 64


@pytest.mark.parametrize(
    ("value", "timer"),
    [
        # https://cloud.tencent.com/document/product/583/9708
        ({"Type": "Timer", "TriggerName": "sweep", "Time": "2026-11-24T12:00:00Z", "Message": ""}, True),
        ({"Type": "Timer"}, True),
        ({"Type": "timer"}, False),
        ({}, False),
        (["Type", "Timer"], False),
        (None, False),
        *(
            ({"Type": "Timer", name: None}, False)
            for name in ("httpMethod", "path", "headers", "body", "requestContext")
        ),
    ],
)
def test_timer_events(value: object, timer: bool) -> None:  # noqa: FBT001  # pytest hands it over by name
    if timer:
        request = parse_event(value)
        assert (request.method, request.path) == (INTERNAL, TIMER)
    else:
        with pytest.raises(MalformedRequest):
            parse_event(value)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        " application/json ",
        "Application/JSON",
        'application/json; charset="utf-8"',
        "application/json ;\tcharset=UTF-8",
    ],
)
def test_json_media_types(content_type: str) -> None:
    require_json(parse_event(event(headers={"content-type": content_type})))


@pytest.mark.parametrize("headers", [None, {}, {"content-type": "text/plain"}])
def test_other_media_types(headers: object) -> None:
    with pytest.raises(UnsupportedMediaType):
        require_json(parse_event(event(headers=headers)))


def test_json_objects() -> None:
    assert parse_json_object('{"é": [1, 1.5, null, true, {"a": "\\ud800"}]}'.encode()) == {
        "é": [1, 1.5, None, True, {"a": "\ud800"}]
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "json"),
        (b"\xff", "json"),
        (b"\xed\xa0\x80", "json"),
        ('{"a": "b"}'.encode("utf-16"), "json"),
        (b'{"a": 1, "a": 1}', "json"),
        (b'{"a": NaN}', "json"),
        (b"[" * BODY_LIMIT, "json"),
        (b'{"a": ' + b"1" * 5000 + b"}", "json"),
        (b"[]", "json-object"),
        (b"null", "json-object"),
    ],
)
def test_what_is_no_json_object(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        parse_json_object(body)
    assert refused.value.reason == reason


def test_responses() -> None:
    response = json_response(201, {"b": "é\u2028", "a": None}, headers={"Allow": "GET"})
    assert response == Response(201, '{"b":"\\u00e9\\u2028","a":null}', "application/json", {"Allow": "GET"})
    assert json.loads(json.dumps(response.to_event())) == {
        "isBase64Encoded": False,
        "statusCode": 201,
        "headers": {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Allow": "GET",
        },
        "body": '{"b":"\\u00e9\\u2028","a":null}',
    }
    with pytest.raises(ValueError, match="Out of range float"):
        json_response(200, {"a": float("nan")})
