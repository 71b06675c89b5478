"""One function for the tests of the client; each test is a user with a home folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.client_command import Home
from tests.support.function_process import FunctionProcess, running_function

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY = """
failed_rate = "9999/minute"

[callers.demo]
tc3 = true
[[callers.demo.grants]]
names = ["*"]
projects = [0]
regions = ["ap-guangzhou"]
optional_tags = { team = "*" }
longest_expiry = "30d"
own_recipients = true
"""


@pytest.fixture(scope="session")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionProcess]:
    policy = tmp_path_factory.mktemp("policy") / "policy.toml"
    policy.write_text(POLICY)
    with running_function(emulator=True, policy=policy) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, function: FunctionProcess) -> Home:
    return Home.of_caller(tmp_path, function)
