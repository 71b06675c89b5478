"""The files and headers of the page, grants, and cross-origin requests: without a browser."""

from __future__ import annotations

import gzip
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from handler.web.page import STATIC
from tests.support.function_under_test import POLICY, FunctionUnderTest, TestClock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.function_under_test import Answer

ISSUER: dict[str, Any] = {
    "issuer": "https://login.example.com:8443/realms/one",
    "audience": "keypair-web",
    "algorithms": ["ES256"],
    "jwks_url": "https://login.example.com:8443/jwks",
}
ELSEWHERE = "https://intranet.example.com"
GRANTS = "/v1/grants"


def function_with(
    emulator: EmulatorProcess, folder: Path, web: dict[str, Any] | None, **more: object
) -> FunctionUnderTest:
    policy = {**POLICY, **more} | ({} if web is None else {"web": web})
    return FunctionUnderTest(emulator, folder / "policy.json", policy, clock=TestClock())


def get(function: FunctionUnderTest, path: str, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return function.call(
        {"httpMethod": method, "path": path, "queryString": {}, "headers": named, "body": ""}
    )


@pytest.fixture
def web(emulator: EmulatorProcess, tmp_path: Path) -> FunctionUnderTest:
    return function_with(
        emulator,
        tmp_path,
        {"issuer": "one", "client_id": "keypair-web", "origins": [ELSEWHERE]},
        issuers={"one": ISSUER},
    )


# ---------------------------------------------------------------- the page


def test_without_a_web_table_there_is_no_page(function: FunctionUnderTest) -> None:
    page = get(function, "/")
    assert (page.status, page.headers["Allow"]) == (405, "POST")
    for path in ["/web.json", "/form", *(f"/static/{path.name}" for path in STATIC.iterdir())]:
        assert get(function, path).status == 404, path
    assert get(function, "/form", "POST").status == 404


def test_the_page_has_its_security_headers(web: FunctionUnderTest) -> None:
    page = get(web, "/")
    assert page.status == 200
    assert page.headers == {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
        "connect-src 'self' https://login.example.com:8443; style-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Referrer-Policy": "no-referrer",
        "Strict-Transport-Security": "max-age=31536000",
    }


def test_without_an_issuer_the_page_calls_its_own_origin_only(
    emulator: EmulatorProcess, tmp_path: Path
) -> None:
    function = function_with(emulator, tmp_path, {})
    assert "connect-src 'self';" in get(function, "/").headers["Content-Security-Policy"]
    assert get(function, "/web.json").json == {
        "api": "",
        "region": "ap-guangzhou",
        "signIn": None,
        "openpgp": True,
    }


def test_the_form_is_on_the_page_only_if_somebody_can_have_a_token(
    web: FunctionUnderTest, emulator: EmulatorProcess, tmp_path: Path
) -> None:
    with_form = get(web, "/").body
    assert '<form method="post" action="form">' in with_form
    assert "This page needs it." not in with_form
    function = function_with(emulator, tmp_path, {})
    without = get(function, "/").body
    assert '<form method="post"' not in without
    assert "This page needs it. Turn it on, and reload." in without
    assert get(function, "/form", "POST").status == 404


def test_pgp_keys_are_named_only_where_they_can_be_sealed_to(
    web: FunctionUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "JWK<!--openpgp-->, PGP" in get(web, "/").body
    monkeypatch.setitem(sys.modules, "pysequoia", None)  # as Python marks what is not there
    assert "PGP" not in get(web, "/").body
    assert get(web, "/web.json").json["openpgp"] is False


def test_the_page_learns_where_to_sign_in(web: FunctionUnderTest) -> None:
    configuration = get(web, "/web.json")
    assert configuration.json == {
        "api": "",
        "region": "ap-guangzhou",
        "signIn": {
            "issuer": "https://login.example.com:8443/realms/one",
            "clientId": "keypair-web",
            "audience": "keypair-web",
        },
        "openpgp": True,
    }
    assert configuration.headers["Cache-Control"] == "no-store"


def test_only_files_named_for_their_contents_may_be_kept(web: FunctionUnderTest) -> None:
    types = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
    names = [path.name for path in STATIC.iterdir() if path.name != "index.html"]
    assert sorted(name.rpartition(".")[2] for name in names) == ["css", "js", "svg"]
    for name in names:
        assert re.fullmatch(r"[a-z]+-[0-9a-f]{10}\.[a-z]+", name)
        answer = get(web, f"/static/{name}")
        assert answer.status == 200
        assert answer.body == (STATIC / name).read_text(encoding="utf-8")
        assert answer.headers["Content-Type"] == types[name.rpartition(".")[2]]
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert get(web, "/static/index.html").status == 404
    assert get(web, "/static/../page.py").status == 404


def test_the_page_has_no_code_or_style_in_it_and_nothing_from_elsewhere() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    referred = set(re.findall(r'(?:src|href)="([^"]*)"', page))
    assert referred == {f"static/{path.name}" for path in STATIC.iterdir() if path.name != "index.html"}
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|https?:", page) == []
    style = next(STATIC.glob("*.css")).read_text(encoding="utf-8")
    assert re.findall(r"url\(|@import", style) == []


def test_the_whole_page_is_small() -> None:
    assert sum(len(gzip.compress(path.read_bytes())) for path in STATIC.iterdir()) < 35_000


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"issuer": "billing"}, "web.issuer: issuers.one.issuer is not an https:// address"),
        (
            {"issuer": "https://a.example;x"},
            "web.issuer: issuers.one.issuer is not an https:// address",
        ),
        ({"once": True}, "web.issuer: issuers.one.once is true; the page needs two requests"),
    ],
)
def test_an_issuer_that_nobody_can_sign_in_at_is_refused(
    emulator: EmulatorProcess, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    from handler.errors import PolicyInvalid

    with pytest.raises(PolicyInvalid) as refused:
        function_with(
            emulator, tmp_path, {"issuer": "one", "client_id": "x"}, issuers={"one": {**ISSUER, **change}}
        )
    assert str(refused.value) == told


def test_get_shows_the_page_and_post_calls_api_v3(web: FunctionUnderTest) -> None:
    answer = get(web, "/", "PUT")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST, GET")
    assert web.call(web.signed("/")).json["Response"]["KeyPair"]["KeyId"].startswith("skey-")


# ---------------------------------------------------------------- what a caller may ask for


def test_grants_contain_the_callers_id(web: FunctionUnderTest) -> None:
    answer = web.call(web.signed(GRANTS, {}, "restricted"))
    assert answer.status == 200
    assert answer.json == {
        "caller": "restricted",
        "defaultRegion": "ap-guangzhou",
        "registeredRecipients": 0,
        "grants": [
            {
                "names": ["ci_*"],
                "projects": [1234],
                "regions": ["ap-shanghai"],
                "forcedTags": {},
                "requiredTags": {"team": "core-?"},
                "optionalTags": {},
                "longestExpiry": "12h",
                "ownRecipients": True,
            }
        ],
        "listRegions": [],
        "actions": ["create"],
    }
    # No key pair, no line.
    assert web.audit_lines() == []


def test_a_template_in_a_name_is_filled_in(emulator: EmulatorProcess, tmp_path: Path) -> None:
    callers = {
        "dev-1": {
            "tc3": True,
            "grants": [{"names": ["{caller}_*"], "regions": ["ap-guangzhou"], "own_recipients": True}],
        }
    }
    function = function_with(emulator, tmp_path, {}, callers=callers)
    assert function.call(function.signed(GRANTS, {}, "dev-1")).json["grants"][0]["names"] == ["dev_1_*"]


def test_fetching_grants_does_not_count_against_the_rate(emulator: EmulatorProcess, tmp_path: Path) -> None:
    rated = {**POLICY["callers"], "demo": {**POLICY["callers"]["demo"], "rate": "1/hour"}}
    function = function_with(emulator, tmp_path, {}, callers=rated)
    for _ in range(3):
        assert function.call(function.signed(GRANTS, {})).status == 200
    assert function.call(function.signed("/v1/key-pairs")).status == 201


def test_grants_require_authentication(emulator: EmulatorProcess, tmp_path: Path) -> None:
    function = function_with(emulator, tmp_path, {}, failed_rate="2/minute")
    forged = function.signed(GRANTS, {}, master=b"master secret of somebody else..")
    assert [function.call(forged).status for _ in range(3)] == [401, 401, 429]
    lines = function.audit_lines()
    assert [(line["door"], line["decision"], line["reason"]) for line in lines] == [
        ("grants", "refused", "tc3-signature"),
        ("grants", "refused", "tc3-signature"),
        ("grants", "refused", "rate-source"),
    ]


def test_the_body_of_a_grants_request_is_an_empty_object(web: FunctionUnderTest) -> None:
    answer = web.call(web.signed(GRANTS, {"caller": "second"}))
    assert (answer.status, answer.json["errors"]) == (400, [{"field": "caller", "rule": "unknown"}])
    assert web.call(web.signed(GRANTS, {}, content_type="text/plain")).status == 415
    refused = get(web, GRANTS)
    assert (refused.status, refused.headers["Allow"]) == (405, "POST")


# ---------------------------------------------------------------- pages of other origins


@pytest.mark.parametrize("path", ["/v1/key-pairs", GRANTS])
def test_a_listed_origin_may_call(web: FunctionUnderTest, path: str) -> None:
    asked = get(web, path, "OPTIONS", origin=ELSEWHERE, access_control_request_method="POST")
    assert (asked.status, asked.body) == (204, "")
    allowed = {name: value for name, value in asked.headers.items() if name.startswith(("Access", "Vary"))}
    assert allowed == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": ELSEWHERE,
        "Access-Control-Allow-Methods": "GET, POST, DELETE",
        "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, x-tc-timestamp",
        "Access-Control-Expose-Headers": "Idempotency-Key-TTL, RateLimit, RateLimit-Policy, Retry-After",
        "Access-Control-Max-Age": "600",
    }
    body = {} if path == GRANTS else web.rest_body()
    for event, status in [
        (web.signed(path, body, origin=ELSEWHERE), {200, 201}),
        (web.signed(path, body, "nobody", origin=ELSEWHERE), {401}),
    ]:
        answer = web.call(event)
        assert answer.status in status
        assert answer.headers["Access-Control-Allow-Origin"] == ELSEWHERE
        assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", f"{ELSEWHERE}.evil.example", "http://intranet.example.com", None],
)
def test_other_origins_learn_nothing(web: FunctionUnderTest, origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    asked = get(web, GRANTS, "OPTIONS", access_control_request_method="POST", **headers)
    assert asked.status == 204
    answer = web.call(web.signed(GRANTS, {}, origin=origin))
    for one in (asked, answer):
        assert [name for name in one.headers if name.startswith("Access-Control")] == []
        assert one.headers["Vary"] == "Origin"


def test_without_a_list_there_is_no_cross_origin_answer(emulator: EmulatorProcess, tmp_path: Path) -> None:
    function = function_with(emulator, tmp_path, {})
    asked = get(function, GRANTS, "OPTIONS", origin=ELSEWHERE, access_control_request_method="POST")
    assert asked.status == 405
    answer = function.call(function.signed(GRANTS, {}, origin=ELSEWHERE))
    assert answer.status == 200
    assert "Vary" not in answer.headers


def test_options_without_a_requested_method_is_not_a_preflight(web: FunctionUnderTest) -> None:
    assert get(web, GRANTS, "OPTIONS", origin=ELSEWHERE).status == 405


def test_other_paths_are_for_the_same_origin_only(web: FunctionUnderTest) -> None:
    answer = get(web, "/healthz", origin=ELSEWHERE)
    assert answer.status == 200
    assert "Vary" not in answer.headers
