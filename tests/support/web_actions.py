"""What a person does on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.support.function_process import FunctionProcess
    from tests.support.web_browser import Watched


def sign_in(watch: Watched, function: FunctionProcess, who: str = "alice") -> Page:
    page = watch.open(function.url)
    finish_sign_in(watch, page, who)
    return page


def finish_sign_in(watch: Watched, page: Page, who: str = "alice") -> None:
    with watch.context.expect_page() as opened:
        page.click("#sign-in-button")
    window = opened.value
    window.fill("input[name=sub]", who)
    with window.expect_event("close"):
        window.click("button >> nth=0")
    page.wait_for_selector("#order-title")


def type_secret(watch: Watched, function: FunctionProcess, secret: str | None = None) -> Page:
    page = watch.open(function.url)
    page.fill("#id", "demo")
    page.fill("#secret", secret or str(function.info["secretKey"]))
    page.keyboard.press("Enter")
    return page


def create(page: Page, name: str) -> None:
    page.fill("#name", name)
    page.click("#create")
    page.wait_for_selector("#result-title")


def saved(page: Page, folder: Path, button: str = "#save") -> Path:
    with page.expect_download() as download:
        page.click(button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path
