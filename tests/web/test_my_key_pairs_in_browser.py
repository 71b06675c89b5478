"""The page lists one's key pairs, and deletes one after a question."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from tests.support.web_actions import type_secret
from tests.support.web_browser import NEEDS_A_BROWSER, audit, overflow, watched
from tests.support.web_functions import REGISTERED, function_with_a_list, typed_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Route

    from tests.support.function_process import FunctionProcess

pytest_plugins = ["tests.support.web_fixtures"]
pytestmark = NEEDS_A_BROWSER


def post(url: str, body: bytes | None, **headers: str) -> Any:  # noqa: ANN401  # JSON
    request = Request(url, body, {"Content-Type": "application/json", **headers})  # noqa: S310  # own servers
    with urlopen(request) as answer:  # noqa: S310  # own servers
        return json.load(answer)


def ask(function: FunctionProcess, path: str, body: object = None, caller: str = "demo") -> Any:  # noqa: ANN401  # JSON
    data = None if body is None else json.dumps(body).encode()
    return post(f"{function.url}{path}", data, Authorization=f"Bearer {typed_token(caller)}")


def names(function: FunctionProcess) -> list[str]:
    regions = ("ap-guangzhou", "ap-shanghai")
    answers = [ask(function, f"/v1/key-pairs?region={region}") for region in regions]
    return sorted(pair["keyName"] for answer in answers for pair in answer["keyPairs"])


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionProcess]:
    with function_with_a_list(tmp_path_factory.mktemp("list")) as function:
        control = function.info["controlUrl"]
        post(f"{control}/conduct", b'{"separateRegions": true}')
        for name, region, expires, caller in [
            ("web_1", "ap-guangzhou", "2d", "demo"),
            ("build_agent", "ap-shanghai", "30d", "demo"),
            ("not_mine", "ap-guangzhou", "30d", "other"),
        ]:
            order: dict[str, object] = {"keyName": name, "region": region, "expiresIn": expires}
            order["recipients"] = [str(REGISTERED.to_public())]
            pair = ask(function, "/v1/key-pairs", order, caller)
            if name == "build_agent":
                post(f"{control}/key-pairs/{pair['keyId']}/bind", b"")
        yield function


def open_list(page: Page) -> list[str]:
    page.click("#to-mine")
    page.wait_for_selector("#pairs li")
    return page.locator("#pairs h3").all_inner_texts()


def test_one_s_own_key_pairs_are_listed_and_deleted_after_a_question(
    browser: Browser, listed: FunctionProcess
) -> None:
    with watched(browser) as watch:
        page = type_secret(watch, listed)
        assert open_list(page) == ["build_agent", "web_1"]
        first, second = page.locator("#pairs li").all_inner_texts()
        assert "In ap-shanghai" in first
        assert "Used by ins-emulated" in first
        assert "In ap-guangzhou" in second
        assert "Not in use" in second
        assert page.inner_text("#soon") == "End within seven days: web_1"
        audit(page, "my-key-pairs")

        delete = page.get_by_role("button", name="Delete web_1")
        delete.click()
        assert page.evaluate("document.activeElement.textContent") == "Cancel"
        audit(page, "my-key-pairs-delete")
        page.set_viewport_size({"width": 320, "height": 640})
        assert overflow(page) == []
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Delete build_agent").click()
        page.click("#question .primary")
        page.wait_for_selector("#trouble")
        assert "An instance uses this key pair." in page.inner_text("#trouble")
        assert names(listed) == ["build_agent", "not_mine", "web_1"]

        delete.focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        page.locator("#said", has_text="Deleted web_1.").wait_for()
        assert page.evaluate("document.activeElement.id") == "mine-title"
        assert page.locator("#pairs h3").all_inner_texts() == ["build_agent"]
        assert not page.is_visible("#soon")
        assert not page.is_visible("#trouble")
        assert names(listed) == ["build_agent", "not_mine"]

        page.click("#sign-out")
        assert page.text_content("#pairs") == ""
        assert str(listed.info["secretKey"]) not in watch.network()
        watch.assert_clean(page)


def test_somebody_who_may_only_list_sees_the_list_on_a_small_screen_in_chinese(
    browser: Browser, listed: FunctionProcess
) -> None:
    def without_create(route: Route) -> None:
        grants = route.fetch()
        route.fulfill(response=grants, json={**grants.json(), "grants": [], "actions": ["list"]})

    with watched(browser, locale="zh-CN", viewport=(320, 640)) as watch:
        watch.context.route("**/v1/grants", without_create)
        watch.context.route("**/v1/key-pairs?**", lambda route: route.abort(), times=1)
        page = type_secret(watch, listed)
        page.click("#again")
        page.wait_for_selector("#pairs li")
        assert page.inner_text("#mine-title") == "我的密钥对"
        assert "正被 ins-emulated 使用" in page.inner_text("#pairs")
        assert not page.is_visible("#to-order")
        assert page.locator("#pairs button").count() == 0
        assert overflow(page) == []
        audit(page, "my-key-pairs-zh")
        watch.assert_clean(page)
