"""What the page says when something goes wrong, and that trying again is the same request."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from handler import errors
from handler.api.problem_details import problem_details
from handler.sealing.recipient_problems import RecipientProblem
from tests.support.function_under_test import fresh_name
from tests.support.web_actions import create, finish_sign_in, sign_in, type_secret
from tests.support.web_browser import NEEDS_A_BROWSER, audit, picture, watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Dialog, Page, Route

    from tests.support.function_process import FunctionProcess
    from tests.support.web_browser import Watched

pytest_plugins = ["tests.support.web_fixtures"]
pytestmark = NEEDS_A_BROWSER

KEY_PAIRS = "**/v1/key-pairs"


def answer(error: errors.KeyPairFunctionError, route: Route) -> None:
    event = problem_details(error, "request-42").to_event()
    headers = event["headers"]
    assert isinstance(headers, dict)
    route.fulfill(
        status=error.status, headers={n: str(v) for n, v in headers.items()}, body=str(event["body"])
    )


def platform_error(route: Route) -> None:
    """What SCF says when the function itself cannot."""
    route.fulfill(status=500, content_type="application/json", body='{"errorCode": 433}')


def same_request(watch: Watched) -> bool:
    sent = watch.posts("/v1/key-pairs")
    assert len(sent) == 2
    return len({(one.headers["idempotency-key"], one.body) for one in sent}) == 1


REFUSED = errors.RecipientRefused(RecipientProblem.UNKNOWN, 0)


@pytest.mark.parametrize(
    ("error", "told", "repeats"),
    [
        (
            errors.MalformedRequest("x", (errors.FieldProblem("tags", "invalid"),)),
            "Tags: The function does not accept this value.",
            False,
        ),
        (errors.NotGranted(), "The policy does not grant this.", False),
        (errors.NameTaken(), "Choose another name.", False),
        (errors.RequestInFlight(), "still in progress", True),
        (REFUSED, "Public key: Send an age recipient", False),
        (errors.RateLimited("x", 7), "You can try again in 7 seconds.", True),
        (errors.InternalFault(), "The function failed.", True),
        (errors.CloudRefused(), "No key pair remains. Tell the operator of this function.", False),
        (errors.StoreUnavailable(), "The service is unavailable.", True),
        (errors.OutcomeUnknown(), "It is not clear yet whether the key pair was created.", True),
        (platform_error, "The function failed.", True),
        (None, "There was no answer. Check your connection", True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_says_what_to_do_and_a_retry_is_the_same_request(
    browser: Browser,
    typed: FunctionProcess,
    error: errors.KeyPairFunctionError | Callable[[Route], None] | None,
    told: str,
    *,
    repeats: bool,
) -> None:
    def fail(route: Route) -> None:
        if error is None:
            route.abort("internetdisconnected")
        elif isinstance(error, errors.KeyPairFunctionError):
            answer(error, route)
        else:
            error(route)

    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        page.route(KEY_PAIRS, fail, times=1)
        page.fill("#name", fresh_name())
        page.click("#create")
        page.wait_for_selector("#trouble")
        assert told in page.inner_text("#trouble")
        assert page.evaluate("document.activeElement.id") == "trouble"
        if isinstance(error, errors.KeyPairFunctionError):
            assert "request-42" in page.inner_text("#trouble")
        assert page.is_visible("#again") == repeats
        if isinstance(error, errors.OutcomeUnknown):
            audit(page, "trouble")
        page.click("#again" if repeats else "#create")
        page.wait_for_selector("#result-title")
        assert not page.is_visible("#trouble")
        assert same_request(watch)
        watch.assert_clean(page)


@pytest.mark.parametrize(
    ("error", "field", "told"),
    [
        (errors.NameTaken(), "name", "A key pair with this name exists. Choose another name."),
        (REFUSED, "recipient", "Send an age recipient, an SSH public key line"),
        (
            errors.MalformedRequest("x", (errors.FieldProblem("expiresIn", "too-long"),)),
            "expiry",
            "The function does not accept this value.",
        ),
        (
            errors.MalformedRequest("x", (errors.FieldProblem("tags.team", "invalid"),)),
            "tag-0",
            "The function does not accept this value.",
        ),
    ],
    ids=["name", "recipient", "expiry", "tag"],
)
def test_an_error_is_shown_at_its_field(
    browser: Browser, typed: FunctionProcess, error: errors.KeyPairFunctionError, field: str, told: str
) -> None:
    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        page.route(KEY_PAIRS, partial(answer, error), times=1)
        page.select_option("#grant", "1")
        page.fill("#tag-0", "core-1")
        page.fill("#name", f"ci_{fresh_name()[-20:]}")
        page.click("#advanced summary")
        page.fill("#recipient", "age1 of somebody")
        page.click("#advanced summary")
        page.click("#create")
        page.wait_for_selector("#trouble")
        assert page.inner_text(f"#{field}-error").startswith(told)
        assert page.get_attribute(f"#{field}", "aria-invalid") == "true"
        if error is REFUSED:
            page.click("#language")
            assert page.inner_text("#recipient-error") == RecipientProblem.UNKNOWN.advice_zh
            page.click("#language")
        assert not page.is_visible("#trouble-list")
        audit(page, f"trouble-{field}", pictures=("light",) if field == "name" else ())
        if not page.is_visible("#recipient"):
            page.click("#advanced summary")
        page.fill("#recipient", "")
        create(page, f"ci_{fresh_name()[-20:]}")
        assert page.query_selector("[aria-invalid]") is None
        watch.assert_clean(page)


def test_other_fields_are_another_request(browser: Browser, typed: FunctionProcess) -> None:
    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        page.route(KEY_PAIRS, partial(answer, errors.NameTaken()), times=1)
        page.fill("#name", "t_first")
        page.click("#create")
        page.wait_for_selector("#trouble")
        create(page, "t_second")
        assert not same_request(watch)


def test_a_sign_in_that_ran_out_keeps_what_was_entered(browser: Browser, at_issuer: FunctionProcess) -> None:
    with watched(browser) as watch:
        page = sign_in(watch, at_issuer)
        page.route(KEY_PAIRS, partial(answer, errors.Unauthenticated()), times=1)
        page.select_option("#expiry", "8h")
        page.fill("#name", "t_again")
        page.click("#create")
        page.wait_for_selector("#trouble")
        assert "Sign in again. Your entries are kept." in page.inner_text("#trouble")
        finish_sign_in(watch, page)
        assert (page.input_value("#name"), page.input_value("#expiry")) == ("t_again", "8h")
        page.click("#create")
        page.wait_for_selector("#result-title")
        assert same_request(watch)
        watch.assert_clean(page)


def test_a_wrong_secret_is_reported(browser: Browser, typed: FunctionProcess) -> None:
    with watched(browser) as watch:
        page = type_secret(watch, typed, "not the secret")
        page.wait_for_selector("#trouble")
        assert "The ID or secret is wrong" in page.inner_text("#trouble")
        assert page.is_visible("#typed")
        watch.assert_clean(page)


def reload(page: Page) -> None:
    """Reload, and confirm what the browser asks then."""
    asked: list[str] = []

    def confirm(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.once("dialog", confirm)
    page.reload()
    assert asked == ["beforeunload"]
    page.wait_for_selector("#trouble")


def test_a_reload_in_flight_says_that_the_key_is_lost(browser: Browser, typed: FunctionProcess) -> None:
    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        page.route(KEY_PAIRS, lambda _route: None)  # answered never
        page.fill("#name", "t_lost")
        with page.expect_request(KEY_PAIRS):
            page.click("#create")
        page.locator("#progress", has_text="Creating").wait_for()
        picture(page, "creating")
        reload(page)
        assert "before you saved the private key of t_lost" in page.inner_text("#trouble")
        page.reload()  # nothing is asked, and nothing told, a second time
        page.wait_for_selector("#typed")
        assert not page.is_visible("#trouble")
        watch.assert_clean(page)


def test_an_unknown_outcome_is_shown_until_it_is_resolved(browser: Browser, typed: FunctionProcess) -> None:
    """After a 504 a key pair may exist, whatever the response to a later attempt says."""
    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        page.fill("#name", "t_doubt")
        for error in (errors.OutcomeUnknown(), errors.StoreUnavailable()):
            page.route(KEY_PAIRS, partial(answer, error), times=1)
            with page.expect_response(KEY_PAIRS):
                page.click("#create")
            page.wait_for_selector("#again")
        reload(page)
        assert "t_doubt" in page.inner_text("#trouble")


def test_closing_asks_until_the_key_is_saved(browser: Browser, typed: FunctionProcess) -> None:
    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        create(page, "t_saved")
        reload(page)
        assert "t_saved" in page.inner_text("#trouble")
        page.fill("#id", "demo")
        page.fill("#secret", str(typed.info["secretKey"]))
        page.keyboard.press("Enter")
        page.wait_for_selector("#order-title")
        create(page, "t_saved_2")
        with page.expect_download():
            page.click("#save")
        page.on("dialog", lambda dialog: pytest.fail(dialog.type))
        page.reload()
        page.wait_for_selector("#typed")


@pytest.mark.parametrize("button", ["another", "sign-out"])
def test_nothing_throws_an_unsaved_key_away_unasked(
    browser: Browser, typed: FunctionProcess, button: str
) -> None:
    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        name = fresh_name()
        create(page, name)
        assert "Save the private key now." in page.inner_text("#warning")
        asked: list[str] = []

        def decline(dialog: Dialog) -> None:
            asked.append(dialog.message)
            dialog.dismiss()

        page.once("dialog", decline)
        page.click(f"#{button}")
        assert [name in message for message in asked] == [True]
        with page.expect_download() as download:
            page.click("#save")
        assert "PRIVATE KEY" in download.value.path().read_text()
        assert page.inner_text("#warning").startswith("Saved.")
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        page.click(f"#{button}")
        page.wait_for_selector("#order-title" if button == "another" else "#sign-in-title")
        assert page.is_visible("#sign-out") == (button == "another")
        assert page.inner_text("#who") == ("demo" if button == "another" else "")
        watch.assert_clean(page)


def test_a_reader_who_agrees_loses_the_key(browser: Browser, typed: FunctionProcess) -> None:
    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        create(page, fresh_name())
        page.once("dialog", lambda dialog: dialog.accept())
        page.click("#another")
        page.wait_for_selector("#order-title")
        page.on("dialog", lambda dialog: pytest.fail(dialog.type))
        page.reload()
        assert not page.is_visible("#trouble")


def test_a_request_without_a_grant_is_not_sent(browser: Browser, typed: FunctionProcess) -> None:
    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        page.fill("#name", "not a name")
        page.click("#create")
        assert page.inner_text("#name-error") == "A key name has 1 to 25 letters, digits or underscores."
        page.select_option("#grant", "1")
        assert page.inner_text("#name-hint").endswith("Yours look like ci_*.")
        page.fill("#name", "web_x")
        page.click("#create")
        assert page.inner_text("#name-error") == "The policy allows you names like ci_*."
        assert page.inner_text("#tag-0-error") == "team must match core-?."
        assert page.evaluate("document.activeElement.id") == "name"
        assert page.input_value("#tag-1") == "staging"
        audit(page, "order-wrong")
        page.fill("#tag-0", "core-1")
        page.select_option("#project", "1234")
        assert watch.posts("/v1/key-pairs") == []
        create(page, "ci_web")
        (sent,) = watch.posts("/v1/key-pairs")
        assert {**sent.json, "recipients": None} == {
            "keyName": "ci_web",
            "region": "ap-beijing",
            "projectId": 1234,
            "privateKeyFormat": "pkcs1",
            "tags": {"team": "core-1", "env": "staging"},
            "recipients": None,
        }


@pytest.mark.parametrize(("part", "value"), [("fingerprint", "SHA256:other"), ("ciphertext", "a.b.c.d.e")])
def test_an_answer_sealed_to_another_key_is_not_shown(
    browser: Browser, typed: FunctionProcess, part: str, value: str
) -> None:
    def other(route: Route) -> None:
        issued = route.fetch()
        content = issued.json()
        (content if part in content else content["sealedPrivateKey"])[part] = value
        route.fulfill(response=issued, body=json.dumps(content))

    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        page.route(KEY_PAIRS, other)
        page.fill("#name", fresh_name())
        page.click("#create")
        page.wait_for_selector("#trouble")
        assert "page's key does not open the answer" in page.inner_text("#trouble")
        assert not page.is_visible("#result")


# ---------------------------------------------------------------- sign-in that fails


def unreachable(page: Page) -> None:
    page.context.route("**/.well-known/openid-configuration", lambda route: route.abort())


def blocked(page: Page) -> None:
    page.add_init_script("window.open = () => null")


def cancelled(page: Page) -> None:
    def back(route: Route) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        said = urlencode({"error": "access_denied", "state": asked["state"][0]})
        route.fulfill(status=302, headers={"location": f"{asked['redirect_uri'][0]}?{said}"})

    page.context.route("**/oauth2/authorize**", back)


def other_audience(page: Page) -> None:
    def changed(route: Route) -> None:
        configuration = route.fetch()
        content = configuration.json()
        content["signIn"]["audience"] = "somebody-else"
        route.fulfill(response=configuration, body=json.dumps(content))

    page.route("**/web.json", changed)


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (unreachable, "The sign-in service returned an unexpected answer."),
        (blocked, "The browser blocked the sign-in window."),
        (cancelled, "The sign-in was refused or cancelled."),
        (other_audience, "the service issued no token for this page"),
    ],
)
def test_a_failed_sign_in_says_why(
    browser: Browser, at_issuer: FunctionProcess, cause: object, told: str
) -> None:
    assert callable(cause)
    with watched(browser) as watch:
        page = watch.context.new_page()
        cause(page)
        page.goto(f"{at_issuer.url}/")
        page.wait_for_selector("#sign-in-button")
        if cause is other_audience:
            with watch.context.expect_page() as opened:
                page.click("#sign-in-button")
            opened.value.fill("input[name=sub]", "alice")
            opened.value.click("button >> nth=0")
        else:
            page.click("#sign-in-button")
        page.wait_for_selector("#trouble")
        assert told in page.inner_text("#trouble")
        assert page.is_visible("#sign-in-button")
        assert watch.posts("/v1/grants") == []
