"""A server for one connection, which may take its time, and what a request to it may leave behind."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from handler.http.fetch import THREAD_NAME

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

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


def open_sockets() -> set[str]:
    """Return this process's sockets by inode."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the folder
            found.add(str(entry.readlink()))
    return {target for target in found if target.startswith("socket:")}


def assert_nothing_left(before: set[str]) -> None:
    for thread in [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]:
        thread.join(30)
        assert not thread.is_alive()
    assert open_sockets() <= before
