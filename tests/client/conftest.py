"""One function for the tests of the client; each test is a user with a home folder of its own."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.client_command import Home
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.function_process import FunctionProcess, running_function
from tests.support.function_under_test import MASTER, REGION, base64url
from tests.support.token_issuer import free_port

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
actions = ["create", "list", "delete", "import"]

[callers.leaver]
tc3 = true
[[callers.leaver.grants]]
names = ["*"]
regions = ["ap-guangzhou"]
own_recipients = true

[callers.lister]
tc3 = true
[[callers.lister.grants]]
names = ["*"]
regions = ["ap-guangzhou"]
actions = ["list"]

[callers.oncall]
tc3 = true
[[callers.oncall.grants]]
names = ["*"]
regions = ["ap-guangzhou", "ap-shanghai"]
actions = ["list", "delete"]
callers = ["*"]

[callers.narrow]
tc3 = true
[[callers.narrow.grants]]
names = ["ci_*"]
regions = ["ap-shanghai"]
longest_expiry = "12h"
own_recipients = true

[callers.pinned]
tc3 = true
recipients = ["age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"]
[[callers.pinned.grants]]
names = ["*"]
regions = ["ap-guangzhou"]

[callers.slow]
tc3 = true
rate = "1/day"
[[callers.slow.grants]]
names = ["*"]
regions = ["ap-guangzhou"]
own_recipients = true

[callers.slower]
tc3 = true
rate = "1/day"
[[callers.slower.grants]]
names = ["*"]
regions = ["ap-guangzhou"]
longest_expiry = "30d"
own_recipients = true
"""


@dataclass(frozen=True)
class Served:
    """A function, and the cloud behind it."""

    process: FunctionProcess
    cloud: EmulatorProcess


@contextmanager
def served(folder: Path, policy: str = POLICY, *hosts: str, port: int | None = None) -> Iterator[Served]:
    """Serve a function whose account holds any number of key pairs; `hosts` are further names of it."""
    file = folder / "policy.toml"
    file.write_text(policy)
    port = port or free_port()
    with running_emulator(quota=5000) as cloud:
        environment = {
            "KEYPAIR_REGION": REGION,
            "KEYPAIR_HOSTS": ",".join((f"127.0.0.1:{port}", *hosts)),
            "KEYPAIR_MASTER_SECRET": base64url(MASTER),
            "KEYPAIR_STORE": "memory:",
            "KEYPAIR_CVM_ENDPOINT": cloud.cvm_endpoint,
            "TENCENTCLOUD_SECRETID": cloud.secret_id,
            "TENCENTCLOUD_SECRETKEY": cloud.secret_key,
        }
        with running_function(policy=file, port=port, environment=environment) as function:
            yield Served(function, cloud)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, service: Served) -> Home:
    return Home.of_caller(tmp_path, service.process)


def key_pairs(service: Served) -> dict[str, dict[str, Any]]:
    return {pair["KeyName"]: pair for pair in service.cloud.key_pairs()}
