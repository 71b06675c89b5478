"""The form for browsers without JavaScript, from the event to the page in the response."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import pyrage
import pytest

from tests.support.function_under_test import HOST, RECIPIENT, FunctionUnderTest, fresh_name
from tests.support.token_issuer import token
from tests.support.web_form import ELSEWHERE, KEY, claims, function_with, post

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.function_under_test import Answer

HTML_TYPE = "text/html; charset=utf-8"


TOKEN = token(KEY, claims(), alg="ES256")


@pytest.fixture
def function(emulator: EmulatorProcess, tmp_path: Path) -> FunctionUnderTest:
    return function_with(emulator, tmp_path)


def fields(**changes: str | None) -> dict[str, str]:
    good = {"token": TOKEN, "keyName": fresh_name(), "recipient": str(RECIPIENT.to_public())}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def blocks(answer: Answer) -> list[str]:
    return [html.unescape(text) for text in re.findall(r"<pre [^>]*>(.*?)</pre>", answer.body, re.DOTALL)]


def test_a_form_gets_the_envelope_and_the_command(function: FunctionUnderTest) -> None:
    sent = fields(region="ap-shanghai", expiresIn="12h", privateKeyFormat="openssh")
    answer = post(function, sent)
    assert answer.status == 201
    assert answer.headers["Content-Type"] == HTML_TYPE
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'none'; connect-src 'none'; style-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    name = sent["keyName"]
    public_key, envelope, command = blocks(answer)
    assert public_key.startswith("ssh-rsa ")
    opened = pyrage.decrypt(envelope.encode(), [RECIPIENT])
    assert opened.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert f"-o {name}.pem {name}.age" in command
    assert html.escape(command) in answer.body
    assert f"<code>{name}.age</code>" in answer.body
    assert "<code>2026-11-25T00:00:00Z</code>" in answer.body
    lines = function.audit_lines()
    assert [(line["door"], line["decision"], line["caller"]) for line in lines] == [
        ("form", "intent", "alice"),
        ("form", "issued", "alice"),
    ]
    assert "PRIVATE KEY" not in answer.body
    assert TOKEN not in answer.body


def test_empty_fields_count_as_absent(function: FunctionUnderTest) -> None:
    answer = post(function, fields(region="", expiresIn="  ", privateKeyFormat=""))
    assert answer.status == 201
    assert "<code>ap-guangzhou</code>" in answer.body
    assert "<code>never · 永不</code>" in answer.body


def test_the_same_form_again_gets_the_same_page(function: FunctionUnderTest) -> None:
    sent = fields()
    first, calls = post(function, sent), function.create_calls()
    assert post(function, sent).body == first.body
    assert function.create_calls() == calls


def test_registered_recipients_need_none_in_the_form(function: FunctionUnderTest) -> None:
    answer = post(function, fields(recipient=None))
    assert (answer.status, "recipient-missing" in str(function.audit_lines())) == (422, True)
    assert "<li><code>recipients</code>: send recipients, or ask the policy administrator" in answer.body


@pytest.mark.parametrize(
    ("changes", "status", "reason", "told"),
    [
        ({"token": None}, 401, "form-token", "The caller is not authenticated."),
        ({"token": " "}, 401, "form-token", "The caller is not authenticated."),
        ({"token": "x"}, 401, "bearer-malformed", "Get a new token and send the form again."),
        ({"token": token(KEY, claims(sub="eve"), alg="ES256")}, 401, "bearer-no-caller", "请获取新的令牌"),
        ({"keyName": "a b"}, 400, "fields", "<li><code>keyName</code>: pattern</li>"),
        ({"keyName": None}, 400, "fields", "<li><code>keyName</code>: required</li>"),
        ({"extra": "x"}, 400, "fields", "<li><code>extra</code>: unknown</li>"),
        ({"<b>": "x"}, 400, "fields", "<li><code>*</code>: unknown</li>"),
        ({"privateKeyFormat": "der"}, 400, "fields", "<li><code>privateKeyFormat</code>: enumeration</li>"),
        ({"region": "ap-beijing"}, 403, "not-granted-region", "Ask the policy administrator"),
        (
            {"recipient": "{"},
            422,
            "recipient-jwk-malformed",
            "jwk gen -i &#x27;{&quot;alg&quot;:",
        ),
        ({"recipient": "hello"}, 422, "recipient-unknown", "Go back and enter another public key."),
        ({"recipient": "AGE-SECRET-KEY-1ABC"}, 422, "recipient-private-key", "replace that key pair"),
    ],
)
def test_errors_are_shown_in_a_page(
    function: FunctionUnderTest, changes: dict[str, Any], status: int, reason: str, told: str
) -> None:
    answer = post(function, fields(**changes))
    assert (answer.status, answer.headers["Content-Type"]) == (status, HTML_TYPE)
    assert told in answer.body
    assert [(line["decision"], line["reason"]) for line in function.audit_lines()] == [("refused", reason)]
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert "<b>" not in answer.body


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (None, "application/json", "form-media-type"),
        (None, "multipart/form-data; boundary=x", "form-media-type"),
        ("token=a&token=b", "application/x-www-form-urlencoded", "form-field-twice"),
        ("token", "application/x-www-form-urlencoded", "form"),
        ("token=%ff", "application/x-www-form-urlencoded", "form"),
        ("token=é", "application/x-www-form-urlencoded", "form"),
        ("&".join(f"a{n}=x" for n in range(17)), "application/x-www-form-urlencoded", "form"),
        ("", "application/x-www-form-urlencoded", "form"),
    ],
)
def test_malformed_forms_are_refused(
    function: FunctionUnderTest, body: str | None, content_type: str, reason: str
) -> None:
    answer = post(function, fields() if body is None else body, content_type=content_type)
    assert (answer.status, answer.headers["Content-Type"]) == (400, HTML_TYPE)
    assert [line["reason"] for line in function.audit_lines()] == [reason]


def test_retry_after_says_how_long_to_wait(emulator: EmulatorProcess, tmp_path: Path) -> None:
    function = function_with(emulator, tmp_path, failed_rate="1/minute")
    assert post(function, fields(token="x")).status == 401
    answer = post(function, fields())
    assert (answer.status, answer.headers["Retry-After"]) == (429, "60")
    assert "Wait a moment, then reload this page." in answer.body


def test_a_name_that_is_taken(function: FunctionUnderTest) -> None:
    name = fresh_name()
    assert post(function, fields(keyName=name)).status == 201
    answer = post(function, fields(keyName=name, expiresIn="1h"))
    assert (answer.status, "Retry-After" in answer.headers) == (409, False)
    assert "Otherwise choose another name" in answer.body


def test_a_form_may_be_repeated_after_an_outage(emulator: EmulatorProcess, tmp_path: Path) -> None:
    function = FunctionUnderTest(
        emulator,
        tmp_path / "policy.json",
        function_with(emulator, tmp_path).policy,
        {"KEYPAIR_CVM_ENDPOINT": "http://127.0.0.1:1"},
    )
    answer = post(function, fields())
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "the same form never creates a second key pair" in answer.body


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"sec_fetch_site": "same-origin", "origin": f"https://{HOST}"}, True),
        # What the page's no-referrer makes of Origin (Fetch Standard, 'append a request Origin header').
        ({"sec_fetch_site": "same-origin", "origin": "null"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "same-site", "origin": "https://other.example.com"}, False),
        ({"sec_fetch_site": "cross-site", "origin": f"https://{HOST}"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": ELSEWHERE}, True),
        ({"origin": f"https://{HOST}"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        # The Host header comes with the request, and so says nothing.
        ({"origin": "https://evil.example", "host": "evil.example"}, False),
    ],
)
def test_a_page_of_another_origin_cannot_post_the_form(
    function: FunctionUnderTest, headers: dict[str, str], *, passes: bool
) -> None:
    answer = post(function, fields(), **headers)
    assert answer.status == (201 if passes else 403)
    if not passes:
        (line,) = function.audit_lines()
        assert (line["decision"], line["reason"]) == ("refused", "cross-origin")
        assert line["caller"] is None
