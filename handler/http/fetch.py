"""One outgoing HTTP request, bounded in time and size.

SECURITY BOUNDARY: no redirect is followed, no proxy or .netrc entry of the environment is used, and what
arrives is cut at a limit. A peer that sends one byte at a time cannot keep a connection: when the time is up,
its socket is shut down, and the thread that reads from it ends.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from handler.errors import KeyPairFunctionError
from handler.startup.records import dataclass

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_MINIMAL_TIMEOUT = 0.001
"""Seconds; to a socket, 0 means not to wait at all, and less is an error."""

Resolve: TypeAlias = Callable[[str, int], Sequence[tuple[str, int]]]
"""Host and port -> the addresses and ports to try in turn. May raise OSError or an error of this function."""


def resolve_name(host: str, port: int) -> Sequence[tuple[str, int]]:
    """Ask the name service for the addresses of `host`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(address[0]), port) for *_, address in found]


THREAD_NAME = "outgoing request"
"""Not the URL: Python prints the names of threads."""


@dataclass(frozen=True)
class HttpRequest:
    """A request to send."""

    url: str = field(repr=False)
    """Secret: some platforms take passwords and tokens in it."""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    resolve: Resolve = resolve_name
    authority: str | None = None
    """A file of certificate authorities to trust, instead of `trusted_authorities`."""


@dataclass(frozen=True)
class HttpResponse:
    """Status and body of a response."""

    status: int
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is 200. Redirects are not followed, and other successes have no content."""
        return self.status == 200  # noqa: PLR2004  # OK


def fetch(request: HttpRequest, *, seconds: float, limit: int) -> HttpResponse | None:
    """Return the response; None if it did not arrive completely within `seconds`.

    A body longer than `limit` bytes is cut one byte after it. Raises what `request.resolve` raises of this
    function's own errors.
    """
    if seconds <= 0:
        return None  # a request that was begun might still be sent
    exchange = _Exchange(request, seconds, limit)
    # Name resolution has no time-out at all, and a socket's applies to each read only. Hence a thread.
    exchange.thread.start()
    exchange.thread.join(seconds)
    if exchange.thread.is_alive():
        exchange.give_up()
        return None
    if exchange.error is not None:
        raise exchange.error
    return exchange.response


def trusted_authorities() -> ssl.SSLContext:
    """Return a TLS context that trusts the machine's authorities and those of certifi.

    A serverless runtime may bring no authorities of its own.
    """
    import ssl

    import certifi

    context = ssl.create_default_context()
    # A file or, in the package, a folder (scripts/packaging/authorities.py).
    authorities = Path(certifi.where())
    file, folder = (None, authorities) if authorities.is_dir() else (authorities, None)
    context.load_verify_locations(file, folder)
    return context


class _Exchange:
    """Sends a request and reads its response, on a thread of its own."""

    def __init__(self, request: HttpRequest, seconds: float, limit: int) -> None:
        self.response: HttpResponse | None = None
        self.error: KeyPairFunctionError | None = None
        # A daemon: name resolution cannot be interrupted and must not keep the process alive.
        self.thread = threading.Thread(target=self._run, daemon=True, name=THREAD_NAME)
        self._request = request
        self._limit = limit
        self._ends_at = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._given_up = False

    def give_up(self) -> None:
        """Shut the socket down. Whatever the thread waits for there fails, and the thread ends."""
        with self._lock:
            self._given_up = True
            if self._socket is not None:
                with suppress(OSError):
                    # The plain socket's method: that of a TLS socket is not made for use by two threads.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _run(self) -> None:
        try:
            self.response = self._exchange()
        except KeyPairFunctionError as error:
            self.error = error
        except Exception:  # noqa: BLE001, S110  # OSError, HTTPException, and what a peer's headers can raise
            # SECURITY BOUNDARY: `threading.excepthook` would log whatever it is, and that may quote the URL.
            pass
        finally:
            with self._lock:
                if self._socket is not None:
                    self._socket.close()
                    self._socket = None

    def _exchange(self) -> HttpResponse | None:
        from http.client import HTTPConnection

        parts = urlsplit(self._request.url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        connection = HTTPConnection(host)
        connection.sock = self._connect(host, parts.port or (443 if secure else 80))
        if secure:
            connection.sock = self._start_tls(connection.sock, host)
        target = parts._replace(scheme="", netloc="", fragment="").geturl()
        own = {"Host": parts.netloc, "User-Agent": "keypair-function", "Connection": "close"}
        headers = {**own, **self._request.headers}
        connection.request(self._request.method, target, self._request.body, headers)
        with connection.getresponse() as response:
            body = response.read(self._limit + 1)
            # http.client does not report a body that ends early if it was asked for a number of bytes.
            complete = not response.length or len(body) > self._limit
            return HttpResponse(response.status, body) if complete else None

    def _connect(self, host: str, port: int) -> socket.socket:
        for address in self._request.resolve(host, port):
            seconds = max(self._ends_at - time.monotonic(), _MINIMAL_TIMEOUT)
            with suppress(OSError):
                connected = socket.create_connection(address, seconds)
                with self._lock:
                    self._socket = connected
                    if self._given_up:
                        connected.shutdown(socket.SHUT_RDWR)
                return connected
        raise ConnectionError

    def _start_tls(self, plain: socket.socket, host: str) -> ssl.SSLSocket:
        import ssl

        authority = self._request.authority
        context = ssl.create_default_context(cafile=authority) if authority else trusted_authorities()
        with self._lock:
            # Without the handshake, which takes time: from here on, `give_up` needs this socket.
            secured = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
            self._socket = secured
        secured.do_handshake()
        return secured
