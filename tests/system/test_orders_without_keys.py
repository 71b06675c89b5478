"""Unmodified clients that know nothing of idempotency keys, on a network that cuts 40 % of the exchanges.

Four tries each; then the same commands again on a calm network. Every order is served, and nothing is left
over. ORDERS=300 in the environment orders 300 key pairs.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.cvm.v20170312 import cvm_client, models

from tests.support.emulator_process import ROOT, EmulatorProcess, running_emulator
from tests.support.function_under_test import (
    REGION,
    REGISTERED,
    FunctionUnderTest,
    caller_secret,
    fresh_name,
)
from tests.support.opened_keys import opened_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcfromtimestamp:DeprecationWarning"),
]

TCCLI = ROOT / ".venv" / "tccli" / "bin" / "tccli"
ORDERS = int(os.environ.get("ORDERS", "30"))
CUT = 0.4
TRIES = 4


@dataclass
class Network:
    """HTTP to a function in this process, by which requests and answers get lost at random from a seed."""

    function: FunctionUnderTest
    chance: random.Random
    cut: float = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def exchange(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """Return the function's answer, or None if the connection is cut."""
        with self.lock:
            lost = self.chance.random() < self.cut
            if lost and self.chance.random() < 0.5:
                return None  # before the request arrives
            self.function.clock.time = time.time()
            answer = self.function.call(event)
            return None if lost else answer.event


@contextmanager
def serving(network: Network, server: ThreadingHTTPServer) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            event = {"httpMethod": "POST", "path": self.path, "headers": headers, "body": body.decode()}
            answer = network.exchange(event)
            self.close_connection = True
            if answer is None:
                return
            self.send_response(answer["statusCode"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer["body"])))
            self.end_headers()
            self.wfile.write(answer["body"].encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as the base class has it
            pass

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture
def cloud() -> Iterator[EmulatorProcess]:
    with running_emulator(quota=1000) as emulator:
        yield emulator


@pytest.fixture
def network(cloud: EmulatorProcess, tmp_path: Path) -> Iterator[tuple[Network, str]]:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")  # noqa: T201  # shown if the test fails
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        host = f"127.0.0.1:{server.server_port}"
        # tccli and the SDK sign the scheme as part of the host, if it is plain HTTP.
        settings = {"KEYPAIR_HOSTS": f"{host},http://{host}", "KEYPAIR_STORE": f"sqlite:{tmp_path}/store"}
        function = FunctionUnderTest(cloud, tmp_path / "policy.json", settings=settings)
        network = Network(function, random.Random(seed))  # noqa: S311  # to be repeated, not to be secret
        with serving(network, server):
            yield network, host


def by_typed_client(host: str, name: str) -> str | None:
    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=host))
    credential = Credential("registered", caller_secret("registered"))
    order = models.CreateKeyPairRequest()
    order.KeyName, order.ProjectId = name, 0
    try:
        pair = cvm_client.CvmClient(credential, REGION, profile).CreateKeyPair(order).KeyPair
    except TencentCloudSDKException:
        return None
    sealed: str = pair.PrivateKey
    return sealed


def by_tccli(host: str, name: str) -> str | None:
    with tempfile.TemporaryDirectory() as home:  # tccli writes settings there
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "TENCENTCLOUD_SECRET_ID": "registered",
            "TENCENTCLOUD_SECRET_KEY": caller_secret("registered"),
            "TENCENTCLOUD_REGION": REGION,
        }
        order = ["--endpoint", f"http://{host}", "--KeyName", name, "--ProjectId", "0"]
        command = [str(TCCLI), "cvm", "CreateKeyPair", *order]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        return None
    sealed: str = json.loads(done.stdout)["KeyPair"]["PrivateKey"]
    return sealed


CLIENTS = {
    "typed": (by_typed_client, ORDERS),
    "tccli": (by_tccli, max(3, ORDERS // 10) if ORDERS < 300 else ORDERS),
}


@pytest.mark.parametrize(("client", "orders"), CLIENTS.values(), ids=CLIENTS.keys())
def test_every_order_is_served_and_nothing_is_left_over(
    network: tuple[Network, str],
    cloud: EmulatorProcess,
    client: Callable[[str, str], str | None],
    orders: int,
) -> None:
    if client is by_tccli and not TCCLI.exists():
        pytest.skip("tccli is not here; scripts/test installs it")
    line, host = network
    names = [fresh_name() for _ in range(orders)]
    sealed: dict[str, str] = {}
    for cut, tries in ((CUT, TRIES), (0.0, 3)):
        line.cut = cut
        for name, _ in itertools.product(names, range(tries)):
            if name not in sealed and (answer := client(host, name)) is not None:
                sealed[name] = answer
    assert sorted(sealed) == sorted(names)
    pairs = {pair["KeyName"]: pair["PublicKey"].split()[:2] for pair in cloud.key_pairs()}
    assert {name: opened_text(text, REGISTERED).split() for name, text in sealed.items()} == pairs
