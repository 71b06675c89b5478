"""One outgoing request: complete within its time, or given up without leaving a thread or a socket behind."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handler.errors import KeysUnavailable
from handler.http.fetch import HttpRequest, HttpResponse, fetch, resolve_name
from scripts.cvm_emulator.certificates import tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"


class Peer:
    """A server for one connection. `talk` says what it does there."""

    def __init__(self, talk: Callable[[socket.socket], None], tls: ssl.SSLContext | None) -> None:
        self.received = b""
        self.hung_up = False
        """Whether the client ended the connection."""
        self._talk = talk
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.url = f"http{'' if tls is None else 's'}://localhost:{self.port}/x?y=1"
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        with self._listening:
            self._listening.settimeout(30)
            connection, _ = self._listening.accept()
        with connection:
            connection.settimeout(30)
            try:
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                while b"\r\n\r\n" not in self.received and not self.hung_up:
                    self._receive(connection)
                self._talk(connection)
                while not self.hung_up:
                    self._receive(connection)
            except ConnectionError:
                self.hung_up = True
            finally:
                connection.close()

    def _receive(self, connection: socket.socket) -> None:
        received = connection.recv(65536)
        self.received += received
        self.hung_up = not received


@contextmanager
def peer(talk: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """Run a peer; at the end, the client must have ended the connection."""
    running = Peer(talk, tls)
    running.thread.start()
    try:
        yield running
    finally:
        running.thread.join()
    assert running.hung_up


def drip(connection: socket.socket) -> None:
    """Send one byte after the other until the client goes away."""
    connection.sendall(HEAD.replace(b"100", b"10000000"))
    connection.settimeout(0.02)
    while True:
        connection.sendall(b" ")
        try:
            if not connection.recv(1):
                return
        except TimeoutError:
            pass


def hold(_connection: socket.socket) -> None:
    """Send nothing."""


def open_sockets() -> set[str]:
    """Return this process's sockets by inode."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the folder
            found.add(str(entry.readlink()))
    return {target for target in found if target.startswith("socket:")}


def assert_nothing_left(url: str, before: set[str]) -> None:
    for thread in [thread for thread in threading.enumerate() if thread.name == url]:
        thread.join(30)
        assert not thread.is_alive()
    assert open_sockets() <= before


@pytest.mark.parametrize("talk", [drip, hold])
def test_a_peer_that_takes_too_long(talk: Callable[[socket.socket], None]) -> None:
    before = open_sockets()
    with peer(talk) as slow:
        assert fetch(HttpRequest(slow.url), seconds=0.3, limit=1000) is None
    assert_nothing_left(slow.url, before)


def test_a_peer_that_drips_over_tls(tmp_path: Path) -> None:
    context, authority = tls_context(tmp_path)
    before = open_sockets()
    with peer(drip, context) as slow:
        assert fetch(HttpRequest(slow.url, authority=str(authority)), seconds=1, limit=10**6) is None
    assert b"GET /x?y=1" in slow.received
    assert_nothing_left(slow.url, before)


def test_a_peer_that_delays_the_tls_handshake(tmp_path: Path) -> None:
    _, authority = tls_context(tmp_path)
    before = open_sockets()
    with peer(hold) as slow:
        url = slow.url.replace("http:", "https:")
        assert fetch(HttpRequest(url, authority=str(authority)), seconds=0.3, limit=1000) is None
    assert_nothing_left(url, before)


def test_a_name_service_that_takes_too_long() -> None:
    """It cannot be interrupted, but what it finally returns is of no use any more."""
    given_up = threading.Event()
    before = open_sockets()
    with peer(hold) as late:

        def resolve(host: str, port: int) -> Sequence[tuple[str, int]]:
            given_up.wait(30)
            return resolve_name(host, port)

        assert fetch(HttpRequest(late.url, resolve=resolve), seconds=0.05, limit=1000) is None
        given_up.set()
    assert late.received == b""
    assert_nothing_left(late.url, before)


def test_a_complete_response() -> None:
    before = open_sockets()
    with peer(lambda connection: connection.sendall(HEAD + b"a" * 100)) as good:
        request = HttpRequest(good.url, "PUT", {"X-Own": "1"}, b"body")
        assert fetch(request, seconds=30, limit=100) == HttpResponse(200, b"a" * 100)
    assert good.received.startswith(b"PUT /x?y=1 HTTP/1.1\r\n")
    assert f"Host: localhost:{good.port}\r\n".encode() in good.received
    assert b"X-Own: 1\r\n" in good.received
    assert_nothing_left(good.url, before)


def test_a_body_is_cut_one_byte_after_the_limit() -> None:
    with peer(lambda connection: connection.sendall(HEAD + b"a" * 100)) as long:
        response = fetch(HttpRequest(long.url), seconds=30, limit=50)
    assert response == HttpResponse(200, b"a" * 51)


@pytest.mark.parametrize("sent", [HEAD + b"a" * 99, HEAD, b"no HTTP\r\n\r\n", b""])
def test_a_response_that_ends_early(sent: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)

    with peer(talk) as broken:
        assert fetch(HttpRequest(broken.url), seconds=30, limit=1000) is None


def test_the_next_address_is_tried_where_one_refuses() -> None:
    with peer(lambda connection: connection.sendall(HEAD + b"a" * 100)) as good:

        def resolve(_host: str, port: int) -> Sequence[tuple[str, int]]:
            return [("127.0.0.1", 1), ("127.0.0.1", port)]

        assert fetch(HttpRequest(good.url, resolve=resolve), seconds=30, limit=100) is not None


def test_errors_of_the_resolver_pass() -> None:
    def resolve(_host: str, _port: int) -> Sequence[tuple[str, int]]:
        raise KeysUnavailable("keys-address-refused")

    with pytest.raises(KeysUnavailable):
        fetch(HttpRequest("https://localhost/", resolve=resolve), seconds=30, limit=1)


@pytest.mark.parametrize("url", ["http://a..b/", "http://127.0.0.1:1/", "https://127.0.0.1:1/", "http:///"])
def test_addresses_where_nothing_listens(url: str) -> None:
    assert fetch(HttpRequest(url), seconds=30, limit=1) is None
