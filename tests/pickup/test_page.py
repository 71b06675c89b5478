"""What stands behind a pick-up link, in a real Chromium."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handler.auth.master_secret import MasterSecrets, Purpose
from handler.pickup.links import PickupLinks
from handler.scf.invocation import Clock
from handler.store.authenticated import AuthenticatedStore
from handler.store.sqlite import SqliteStore
from tests.support.chat_function import chat_policy
from tests.support.function_process import running_function
from tests.support.function_under_test import MASTER
from tests.support.pickup import ISSUED
from tests.support.web_browser import NEEDS_A_BROWSER, audit, overflow, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.support.emulator_process import EmulatorProcess

pytest_plugins = ["tests.support.web_fixtures"]
pytestmark = NEEDS_A_BROWSER


@pytest.fixture
def links(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[PickupLinks]:
    """Give what leaves parcels for a running function, whose policy has no page for browsers."""
    policy, store = tmp_path / "policy.json", tmp_path / "store"
    policy.write_text(json.dumps(chat_policy("slack", "T1", {"U1": "pinned"})))
    environment = {
        "KEYPAIR_REGION": "ap-guangzhou",
        "KEYPAIR_HOSTS": "keys.example.com",
        "KEYPAIR_MASTER_SECRET": "A" * 43,
        "KEYPAIR_CVM_ENDPOINT": emulator.cvm_endpoint,
        "KEYPAIR_STORE": f"sqlite:{store}",
        "TENCENTCLOUD_SECRETID": emulator.secret_id,
        "TENCENTCLOUD_SECRETKEY": emulator.secret_key,
    }
    with running_function(policy=policy, environment=environment) as function:
        codes = partial(MasterSecrets([bytes(32)]).derive, Purpose.STORE_RECORD)
        shared = AuthenticatedStore(SqliteStore(store, Clock()), codes, Clock(), shared=True)
        yield PickupLinks(shared, Clock(), function.url, MasterSecrets([MASTER]))


@pytest.mark.parametrize("java_script", [True, False])
def test_opening_a_link_does_not_use_it_up(
    browser: Browser, links: PickupLinks, *, java_script: bool
) -> None:
    link = links.create("alice", ISSUED, "message 1")
    with watched(browser, java_script=java_script) as watch:
        page = watch.context.new_page()
        for _ in range(2):
            page.goto(link)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the file").press("Enter")
        assert download.value.suggested_filename == "web_1.age"
        assert Path(download.value.path()).read_text(encoding="utf-8") == "-----BEGIN…\n"
        page.goto(link)
        page.get_by_role("button", name="下载文件").click()
        page.get_by_text(
            "The file was already downloaded, the link has expired, or the key pair was deleted."
        ).wait_for()
        assert watch.faults == []


@pytest.mark.parametrize(("width", "name"), [(760, "pickup"), (320, "pickup-narrow")])
def test_the_page_behind_a_link(browser: Browser, links: PickupLinks, width: int, name: str) -> None:
    with watched(browser, viewport=(width, 480)) as watch:
        page = watch.context.new_page()
        page.goto(links.create("alice", ISSUED, "message 1"))
        assert overflow(page) == []
        audit(page, name, pictures=("light", "dark"))
        with page.expect_download():
            page.get_by_role("button").click()
        page.get_by_role("button").click()
        page.get_by_text("The file was already downloaded").wait_for()
        assert overflow(page) == []
        audit(page, f"{name}-gone")
        watch.assert_clean(page)
