"""What the tests of the page share, as a pytest plugin.

A module each and not the session: while Playwright runs, no other test can run an event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.token_issuer import free_port
from tests.support.web_browser import chromium
from tests.support.web_functions import function_at, function_with_typed_secrets
from tests.support.web_issuer import web_issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from tests.support.function_process import FunctionProcess


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def at_issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionProcess]:
    with (
        web_issuer(free_port()) as issuer,
        function_at(issuer, tmp_path_factory.mktemp("issuer")) as function,
    ):
        yield function


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionProcess]:
    with function_with_typed_secrets(tmp_path_factory.mktemp("typed")) as function:
        yield function
