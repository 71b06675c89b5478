"""A real Chromium, and a watch on everything that a page in it does."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

from tests.support.web_sshd import SSHD

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page, Request, Response

ROOT = Path(__file__).parents[2]
CHROMIUM = which("chromium")
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""Where to put screenshots; none are made where this is not set."""

NEEDS_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(
        # Where all has to be there, a test without it fails.
        os.environ.get("CI") != "true" and (CHROMIUM is None or not AXE.is_file() or not SSHD.is_file()),
        reason="scripts/test installs Chromium, sshd and axe-core",
    ),
]
"""A test of the page; it stands in `pytestmark`."""

_FLAGS = [
    "--no-sandbox",  # of no use to root, and the pages are the project's own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_WATCH_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI}`));
"""
_STORAGES = """async () => ({
  local: {...localStorage}, session: {...sessionStorage}, cookies: document.cookie,
  databases: (await indexedDB.databases()).map(({name}) => name), caches: await caches.keys(),
})"""
_RUN_AXE = """async () => {
  const { violations } = await axe.run(document, { preload: false });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class Sent:
    """A request with a body."""

    url: str
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


@dataclass
class Watched:
    """A context of its own, whose pages are watched."""

    context: BrowserContext
    sent: list[Sent] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.add_init_script(_WATCH_VIOLATIONS)
        self.context.on("request", self._request)
        self.context.on("response", lambda answer: self.answers.append(answer))  # noqa: PLW0108  # Playwright writes an attribute on it
        self.context.on("console", lambda message: self.console.append(message.text))
        self.context.on("weberror", lambda error: self.faults.append(str(error.error)))

    def _request(self, request: Request) -> None:
        self.sent.append(Sent(request.url, request.headers, request.post_data or ""))

    def open(self, url: str) -> Page:
        page = self.context.new_page()
        page.goto(f"{url}/")
        return page

    def posts(self, path: str) -> list[Sent]:
        return [one for one in self.sent if one.body and one.url.endswith(path)]

    def network(self) -> str:
        """Return all that went over the network, in one text; of the window at the issuer, what it sent."""
        kept = [one for one in self.answers if not one.frame.page.is_closed()]
        bodies = [one.text() for one in kept if one.status in (200, 201)]
        heads = [f"{one.url} {one.headers}" for one in self.answers]
        return "\n".join([*map(str, self.sent), *heads, *bodies])

    def assert_clean(self, page: Page) -> None:
        """Nothing is stored, no policy was violated, no script failed."""
        assert page.evaluate(_STORAGES) == {
            "local": {}, "session": {}, "cookies": "", "databases": [], "caches": [],
        }  # fmt: skip
        own = urlsplit(page.url)
        assert [one for one in self.context.cookies() if one["domain"] == own.hostname] == []
        for one in self.context.pages:
            assert one.evaluate("window.violations") == []
        assert self.faults == []
        assert [line for line in self.console if "Content Security Policy" in line or "Trusted" in line] == []


@contextmanager
def watched(
    browser: Browser,
    *,
    locale: str = "en-US",
    time_zone: str = "UTC",
    java_script: bool = True,
    viewport: tuple[int, int] = (760, 480),
) -> Iterator[Watched]:
    width, height = viewport
    context = browser.new_context(
        locale=locale,
        timezone_id=time_zone,
        java_script_enabled=java_script,
        viewport={"width": width, "height": height},
    )
    context.set_default_timeout(10_000)
    try:
        yield Watched(context)
    finally:
        context.close()


def audit(page: Page, name: str, *, pictures: Collection[str] = ("light",)) -> None:
    """Look for obstacles with axe-core, light and dark, and take pictures of the schemes named."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.evaluate(_RUN_AXE) == [], (name, scheme)
        if scheme in pictures:
            picture(page, name if scheme == "light" else f"{name}-dark")
    page.emulate_media(color_scheme="light")


def picture(page: Page, name: str) -> None:
    if SCREENSHOTS:
        path = Path(SCREENSHOTS) / f"{name}.png"
        page.screenshot(path=path, full_page=True, animations="disabled")
        # A third of the size; flat colours lose nothing.
        subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", "--speed", "1", path], check=True)


_OVERFLOW = """() => [...document.querySelectorAll("body, body *")]
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5 || (one.scrollWidth > one.clientWidth
    && one.clientWidth && getComputedStyle(one).overflowX === "visible"))
  .map((one) => one.outerHTML.slice(0, 80))"""


def overflow(page: Page) -> list[str]:
    """Return what reaches beyond the window's right edge, so that one would have to scroll sideways."""
    beyond: list[str] = page.evaluate(_OVERFLOW)
    return beyond


def press_tab_to(page: Page, element_id: str, *, backwards: bool = False) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(40):
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
        if page.evaluate("document.activeElement.id") == element_id:
            return
    raise AssertionError(f"Tab does not lead to #{element_id}")
