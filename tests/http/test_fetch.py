"""One outgoing request: complete within its time, or given up without leaving a thread or a socket behind."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from handler.errors import KeysUnavailable
from handler.http.fetch import HttpRequest, HttpResponse, fetch, resolve_name
from scripts.cvm_emulator.certificates import tls_context
from tests.support.slow_peer import HEAD, assert_nothing_left, drip, open_sockets, peer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def hold(_connection: socket.socket) -> None:
    """Send nothing."""


@pytest.mark.parametrize("talk", [drip, hold])
def test_a_peer_that_takes_too_long(talk: Callable[[socket.socket], None]) -> None:
    before = open_sockets()
    with peer(talk) as slow:
        assert fetch(HttpRequest(slow.url), seconds=0.3, limit=1000) is None
    assert_nothing_left(before)


def test_a_peer_that_drips_over_tls(tmp_path: Path) -> None:
    context, authority = tls_context(tmp_path)
    before = open_sockets()
    with peer(drip, context) as slow:
        assert fetch(HttpRequest(slow.url, authority=str(authority)), seconds=1, limit=10**6) is None
    assert b"GET /x?y=1" in slow.received
    assert_nothing_left(before)


def test_a_peer_that_delays_the_tls_handshake(tmp_path: Path) -> None:
    _, authority = tls_context(tmp_path)
    before = open_sockets()
    with peer(hold) as slow:
        url = slow.url.replace("http:", "https:")
        assert fetch(HttpRequest(url, authority=str(authority)), seconds=0.3, limit=1000) is None
    assert_nothing_left(before)


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
    assert_nothing_left(before)


def test_a_complete_response() -> None:
    before = open_sockets()
    with peer(lambda connection: connection.sendall(HEAD + b"a" * 100)) as good:
        request = HttpRequest(good.url, "PUT", {"X-Own": "1"}, b"body")
        assert fetch(request, seconds=30, limit=100) == HttpResponse(200, b"a" * 100)
    assert good.received.startswith(b"PUT /x?y=1 HTTP/1.1\r\n")
    assert f"Host: localhost:{good.port}\r\n".encode() in good.received
    assert b"X-Own: 1\r\n" in good.received
    assert_nothing_left(before)


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


def test_a_header_that_the_parser_fails_on(capfd: pytest.CaptureFixture[str]) -> None:
    """No defect of a library ends in `threading.excepthook`, which prints to the log."""
    sent = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary*=a; boundary*0=b\r\n\r\n"
    secret = "/gettoken?corpsecret=a-secret"
    with peer(lambda connection: connection.sendall(sent)) as broken:
        request = HttpRequest(broken.url.partition("/x")[0] + secret)
        assert fetch(request, seconds=30, limit=1000) is None
    assert broken.received.startswith(b"GET " + secret.encode())
    assert "a-secret" not in repr(request) + "".join(capfd.readouterr())


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
