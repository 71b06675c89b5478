"""The page in a real Chromium: sign in, make a key pair, and log in with what it saved."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pyrage
import pytest

from tests.support.function_under_test import fresh_name
from tests.support.web_actions import create, finish_sign_in, saved, sign_in, type_secret
from tests.support.web_browser import NEEDS_A_BROWSER, audit, overflow, picture, press_tab_to, watched
from tests.support.web_functions import REGISTERED, function_with_typed_secrets, hosted_elsewhere, typed_token
from tests.support.web_sshd import GREETING, log_in, running_sshd

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import APIResponse, Browser, Dialog, Page, Route

    from tests.support.function_process import FunctionProcess

pytest_plugins = ["tests.support.web_fixtures"]
pytestmark = NEEDS_A_BROWSER


def assert_logs_in(page: Page, folder: Path) -> None:
    """Do what the page says, at a server that takes the public key which it shows."""
    server = folder / "server"
    server.mkdir()
    with running_sshd(server, page.inner_text("#public")) as port:
        assert log_in(page.inner_text("#ssh"), port, folder) == GREETING


def assert_same_key(page: Page, private_key: Path) -> None:
    private_key.chmod(0o600)
    shown = subprocess.run(["ssh-keygen", "-lf", private_key], capture_output=True, text=True, check=True)
    assert page.inner_text("#fingerprint") in shown.stdout


def test_sign_in_create_save_and_log_in(browser: Browser, at_issuer: FunctionProcess, tmp_path: Path) -> None:
    with watched(browser) as watch:
        page = watch.open(at_issuer.url)
        page.wait_for_selector("#sign-in-button")
        audit(page, "sign-in")
        finish_sign_in(watch, page)
        assert page.inner_text("#who") == "alice"
        page.select_option("#expiry", "7d")
        page.fill("#name", "web_issuer")
        audit(page, "order", pictures=("light", "dark"))
        create(page, "web_issuer")
        audit(page, "result", pictures=("light", "dark"))

        private_key = saved(page, tmp_path)
        assert private_key.name == "web_issuer.pem"
        text = private_key.read_text(encoding="ascii")
        assert text.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
        assert_same_key(page, private_key)
        private_key.chmod(0o644)  # as a browser saves it
        assert_logs_in(page, tmp_path)

        page.click("#reveal summary")
        page.locator("#private", has_text="PRIVATE KEY").wait_for()
        assert page.inner_text("#private").strip() == text.strip()
        assert page.inner_text("#reveal summary") == "Hide private key"
        page.click("#another")
        assert page.text_content("#private") == ""
        network = watch.network()
        assert "PRIVATE KEY" not in network
        assert text.splitlines()[1] not in network
        assert len(watch.posts("/v1/key-pairs")) == 1
        watch.assert_clean(page)


def test_a_typed_secret_never_leaves_the_browser(
    browser: Browser, typed: FunctionProcess, tmp_path: Path
) -> None:
    with watched(browser) as watch:
        page = watch.open(typed.url)
        page.wait_for_selector("#typed")
        audit(page, "sign-in-secret")
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        assert page.input_value("#secret") == ""
        page.click("#advanced summary")
        page.select_option("#format", "openssh")
        create(page, "web_typed")
        private_key = saved(page, tmp_path)
        assert private_key.read_text(encoding="ascii").startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
        assert_logs_in(page, tmp_path)
        network = watch.network()
        secret = str(typed.info["secretKey"])
        assert secret not in network
        assert "PRIVATE KEY" not in network
        assert secret not in page.content()
        watch.assert_clean(page)


def test_what_arrives_after_the_sign_out_is_not_shown(browser: Browser, typed: FunctionProcess) -> None:
    """Whoever sits there next must not get the key."""
    held: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST" and not held:
            held.append((route, route.fetch()))
        else:
            route.continue_()

    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        page.route("**/v1/key-pairs", hold)
        page.on("dialog", lambda dialog: dialog.accept())
        page.evaluate("""() => {
            window.seen = [];
            const result = document.querySelector("#result");
            new MutationObserver(() => seen.push(document.querySelector("#who").textContent))
                .observe(result, { attributes: true });
        }""")
        page.fill("#name", "web_left")
        with page.expect_request("**/v1/key-pairs"):
            page.click("#create")
        while not held:
            page.wait_for_timeout(10)
        page.click("#sign-out")
        page.wait_for_selector("#sign-in-title")
        page.evaluate("seen.length = 0")
        route, answer = held[0]
        route.fulfill(response=answer)
        # Another person signs in and creates: by then the answer has long been there.
        page.fill("#id", "demo")
        page.fill("#secret", str(typed.info["secretKey"]))
        page.keyboard.press("Enter")
        page.wait_for_selector("#order-title")
        assert page.text_content("#private") == ""
        create(page, "web_next")
        assert "web_next" in page.inner_text("#result")
        assert "web_left" not in page.content()
        assert "" not in page.evaluate("seen")


def test_a_pasted_recipient_gets_the_envelope_and_the_command(
    browser: Browser, typed: FunctionProcess, tmp_path: Path
) -> None:
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(str(identity), encoding="ascii")
    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        page.click("#advanced summary")
        page.fill("#recipient", f"{identity.to_public()}\n")
        assert page.inner_text("#sealed-to").endswith("This page cannot open it.")
        audit(page, "order-advanced")
        create(page, "web_pasted")
        audit(page, "envelope")
        assert not page.is_visible("#save")
        assert saved(page, tmp_path, "#save-envelope").name == "web_pasted.age"
        subprocess.run(page.inner_text("#open-with"), shell=True, cwd=tmp_path, check=True)  # noqa: S602  # as shown
        assert_logs_in(page, tmp_path)
        watch.assert_clean(page)


def test_the_commands_and_times_are_the_reader_s(
    browser: Browser, at_issuer: FunctionProcess, tmp_path: Path
) -> None:
    with watched(browser, time_zone="Asia/Shanghai") as watch:
        page = sign_in(watch, at_issuer)
        page.select_option("#expiry", "7d")
        name = fresh_name()
        with page.expect_response("**/v1/key-pairs") as response:
            create(page, name)
        expires = datetime.fromisoformat(response.value.json()["expiresAt"].replace("Z", "+00:00"))
        there = expires.astimezone(timezone(timedelta(hours=8)))
        shown = page.inner_text("#expires")
        assert f"{there:%B} {there.day}, {there.year}" in shown
        assert shown.endswith("GMT+8")
        page.click("#language")
        assert f"{there.year}年{there.month}月{there.day}日" in page.inner_text("#expires")
        page.click("#language")

        page.select_option("#user", "ubuntu")
        page.click("#windows summary")
        assert page.inner_text("#ssh").endswith(f"ssh -i {name}.pem ubuntu@HOST")
        assert page.inner_text("#powershell").splitlines()[-1] == f"ssh -i {name}.pem ubuntu@HOST"
        assert "choose PPK as the format" in page.inner_text("#windows")
        page.select_option("#user", "")
        page.fill("#own-user", "deploy")
        assert page.inner_text("#ssh").endswith(" deploy@HOST")
        page.fill("#own-user", "x; rm -rf .")
        assert page.inner_text("#ssh").endswith(" USER@HOST")
        audit(page, "log-in", pictures=())
        saved(page, tmp_path)
        watch.assert_clean(page)


def test_help_does_not_leave_the_page(browser: Browser, typed: FunctionProcess) -> None:
    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        assert not page.is_visible("#to-mine")  # the policy does not let this caller list
        create(page, fresh_name())
        page.click("#help-button")
        assert "How does the key get onto a server?" in page.inner_text("#help")
        assert page.evaluate("document.activeElement.id") == "help-title"
        audit(page, "help")
        page.click("#help-button")
        assert not page.is_visible("#help")
        asked: list[str] = []

        def accept(dialog: Dialog) -> None:
            asked.append(dialog.type)
            dialog.accept()

        page.once("dialog", accept)
        page.reload()
        assert asked == ["beforeunload"]  # the key that is not saved is still known


def test_pgp_is_offered_only_by_a_function_that_takes_it(browser: Browser, typed: FunctionProcess) -> None:
    def without(route: Route) -> None:
        configuration = route.fetch()
        route.fulfill(response=configuration, body=json.dumps({**configuration.json(), "openpgp": False}))

    with watched(browser) as watch:
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        page.click("#advanced summary")
        assert "PGP" in page.inner_text("#recipient-hint")
        watch.context.route("**/web.json", without)
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        page.click("#advanced summary")
        assert "PGP" not in page.inner_text("#recipient-hint")


def copied(page: Page, button: str, said: str = "Copied.") -> str:
    page.evaluate("document.getElementById('said').textContent = ''")
    page.click(button)
    page.locator("#said", has_text=said).wait_for()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def test_what_is_copied_is_what_is_shown(browser: Browser, typed: FunctionProcess) -> None:
    with watched(browser) as watch:
        watch.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = type_secret(watch, typed)
        page.wait_for_selector("#order-title")
        create(page, "web_copied")
        for shown in ("ssh", "public"):
            assert copied(page, f"#copy-{shown}") == page.text_content(f"#{shown}")
        page.evaluate("() => { navigator.clipboard.writeText = async () => { throw new Error(); }; }")
        before = copied(page, "#copy-private", "does not let this page copy")
        assert "PRIVATE KEY" not in before
        page.evaluate("() => { delete navigator.clipboard.writeText; }")
        private = copied(page, "#copy-private")
        page.click("#reveal summary")
        assert page.locator("#private", has_text="PRIVATE KEY").text_content() == private
        page.on("dialog", lambda dialog: pytest.fail(dialog.type))
        page.reload()  # it was copied, so nothing is asked


def test_an_envelope_to_a_registered_key_is_passed_on(
    browser: Browser, at_issuer: FunctionProcess, tmp_path: Path
) -> None:
    """This caller may bring no recipient, so the page has nothing to open it with."""
    with watched(browser) as watch:
        page = sign_in(watch, at_issuer, "pinned")
        page.click("#advanced summary")
        assert not page.is_visible("#recipient")
        assert "registered" in page.inner_text("#sealed-to")
        create(page, "pin_1")
        envelope = saved(page, tmp_path, "#save-envelope").read_bytes()
        assert pyrage.decrypt(envelope, [REGISTERED]).startswith(b"-----BEGIN RSA PRIVATE KEY-----")
        (sent,) = watch.posts("/v1/key-pairs")
        assert "recipients" not in sent.body
        watch.assert_clean(page)


def test_without_javascript(browser: Browser, typed: FunctionProcess, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(str(identity), encoding="ascii")
    with watched(browser, java_script=False) as watch:
        page = watch.open(typed.url)
        picture(page, "no-javascript")
        page.fill("#f-token", "not.a.token")
        page.fill("#f-name", "web_plain")
        page.fill("#f-recipient", str(identity.to_public()))
        page.click("noscript button")
        page.wait_for_url("**/form")
        assert "Get a new token" in page.inner_text("main")
        picture(page, "no-javascript-refused")
        page.go_back()
        page.fill("#f-token", typed_token())
        page.fill("#f-name", "web_plain")
        page.fill("#f-recipient", str(identity.to_public()))
        page.click("noscript button")
        page.wait_for_url("**/form")
        picture(page, "no-javascript-answer")
        public_key, envelope, command = (one.text_content() or "" for one in page.query_selector_all("pre"))
        (tmp_path / "web_plain.age").write_text(envelope, encoding="ascii")
        subprocess.run(command, shell=True, cwd=tmp_path, check=True)  # noqa: S602  # as shown
    server = tmp_path / "server"
    server.mkdir()
    commands = "chmod 600 web_plain.pem\nssh -i web_plain.pem root@HOST"
    with running_sshd(server, public_key) as port:
        assert log_in(commands, port, tmp_path) == GREETING


def test_the_pages_without_javascript_have_no_obstacles(browser: Browser, typed: FunctionProcess) -> None:
    """axe-core is JavaScript: it looks at the HTML that is seen without."""

    def unscripted(route: Route) -> None:
        page = route.fetch()
        shown = re.sub(r"<script[^>]*></script>|</?noscript>", "", page.text())
        route.fulfill(response=page, body=shown)

    with watched(browser) as watch:
        watch.context.route(f"{typed.url}/", unscripted)
        page = watch.open(typed.url)
        audit(page, "form", pictures=())
        for key, name in [("not.a.token", "refused"), (typed_token(), "answer")]:
            page.fill("#f-token", key)
            page.fill("#f-name", "web_axe")
            page.fill("#f-recipient", str(REGISTERED.to_public()))
            page.click("form button")
            page.wait_for_url("**/form")
            audit(page, name, pictures=())
            page.goto(f"{typed.url}/")
        watch.assert_clean(page)


def test_in_chinese_by_keyboard_alone(browser: Browser, typed: FunctionProcess, tmp_path: Path) -> None:
    with watched(browser, locale="zh-CN") as watch:
        page = watch.open(typed.url)
        page.wait_for_selector("#typed")
        assert page.evaluate("document.documentElement.lang") == "zh-CN"
        keyboard = page.keyboard
        press_tab_to(page, "id")
        keyboard.type("demo")
        press_tab_to(page, "secret")
        keyboard.type(str(typed.info["secretKey"]))
        keyboard.press("Enter")
        page.wait_for_selector("#order-title")
        press_tab_to(page, "name")
        keyboard.type("web_zh")
        press_tab_to(page, "region")
        keyboard.press("ArrowDown")
        press_tab_to(page, "advanced-summary")
        keyboard.press("Enter")
        press_tab_to(page, "format")
        keyboard.press("ArrowDown")
        audit(page, "order-zh")
        press_tab_to(page, "create")
        keyboard.press("Enter")
        page.wait_for_selector("#result-title")
        assert page.inner_text("#result-title") == "密钥对 web_zh 已就绪"
        assert page.inner_text("#in-region") == "ap-shanghai"
        audit(page, "result-zh")
        press_tab_to(page, "save")
        with page.expect_download() as download:
            keyboard.press("Enter")
        download.value.save_as(tmp_path / "web_zh.pem")
        assert (
            (tmp_path / "web_zh.pem").read_text(encoding="ascii").startswith("-----BEGIN PRIVATE KEY-----\n")
        )
        assert_logs_in(page, tmp_path)
        press_tab_to(page, "language", backwards=True)
        keyboard.press("Enter")
        assert page.inner_text("#result-title") == "Key pair web_zh is ready"
        assert page.evaluate("document.documentElement.lang") == "en"
        watch.assert_clean(page)


@pytest.mark.parametrize(("width", "zoom"), [(320, 1), (640, 2)])
def test_the_page_fits_small_screens(browser: Browser, typed: FunctionProcess, width: int, zoom: int) -> None:
    """At 320 px, and with text of twice the size at 640 px."""
    name = f"web_{'w' * 18}{width}"
    with watched(browser, viewport=(width, 640)) as watch:
        page = watch.open(typed.url)
        page.evaluate(
            "(zoom) => document.documentElement.style.setProperty('font-size', `${zoom * 100}%`)", zoom
        )
        page.wait_for_selector("#typed")
        assert overflow(page) == []
        page.fill("#id", "demo")
        page.fill("#secret", str(typed.info["secretKey"]))
        page.keyboard.press("Enter")
        page.wait_for_selector("#order-title")
        page.select_option("#grant", "1")
        page.click("#advanced summary")
        page.click("#create")
        assert overflow(page) == []
        page.select_option("#grant", "0")
        create(page, name)
        page.click("#reveal summary")
        assert overflow(page) == []
        audit(page, "narrow" if zoom == 1 else "zoomed", pictures=())
        if zoom == 1:
            page.click("#reveal summary")
            picture(page, "narrow")
        watch.assert_clean(page)


def test_the_page_works_from_a_listed_origin_and_from_no_other(browser: Browser, tmp_path: Path) -> None:
    with (
        hosted_elsewhere(tmp_path / "listed") as (listed, settings),
        function_with_typed_secrets(tmp_path, listed) as function,
        hosted_elsewhere(tmp_path / "other") as (other, other_settings),
        watched(browser) as watch,
    ):
        configuration = {"api": function.url, "region": "ap-guangzhou", "signIn": None}
        for path in (settings, other_settings):
            path.write_text(json.dumps(configuration), encoding="utf-8")
        for origin in (listed, other):
            page = watch.open(origin)
            page.fill("#id", "demo")
            page.fill("#secret", str(function.info["secretKey"]))
            page.keyboard.press("Enter")
            if origin == listed:
                page.wait_for_selector("#order-title")
                create(page, "web_elsewhere")
            else:
                page.wait_for_selector("#trouble")
                assert "There was no answer." in page.inner_text("#trouble")
