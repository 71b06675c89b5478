import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .answer import Answer
from .legacy import LegacyService
from .service import Service
from .signature_v2 import PATH as LEGACY_PATH

_LARGEST_BODY = 10 * 1024 * 1024


class LoopbackServer(ThreadingHTTPServer):
    """Serves each connection in its own thread. Port 0 means any free port."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, handler: Callable[..., BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.server_port}"
        if tls is not None:
            # The handshake happens at the first read, in the connection's thread, so a slow client does not
            # keep others waiting.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  # as the base class
        """Report what went wrong in a connection's thread."""
        # Clients that hang up are part of the tests.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextmanager
def serving(server: LoopbackServer) -> Iterator[None]:
    """Serve in the background for the duration of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class QuietHandler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive. Headers and body go out in one send, which avoids the Nagle delay."""

    protocol_version = "HTTP/1.1"
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True

    def body(self) -> bytes | None:
        """Read the body. Without a usable length, return None and close the connection."""
        length = self.headers.get("Content-Length", "0")
        if self.headers.get("Transfer-Encoding") or not length.isdecimal() or int(length) > _LARGEST_BODY:
            self.close_connection = True
            return None
        return self.rfile.read(int(length))

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Write the status line and the headers into the buffer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Log nothing: request lines would only clutter the terminal."""


class CvmHandler(QuietHandler):
    """Answers at the API's endpoint."""

    def __init__(
        self,
        service: Service,
        legacy: LegacyService,
        stopping: threading.Event,
        *connection: Any,  # noqa: ANN401  # http.server's own arguments
    ) -> None:
        # The base class serves the whole connection inside its constructor.
        self._service = service
        self._legacy = legacy
        self._stopping = stopping
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Answer one call of the legacy API."""
        path, _, query = self.path.partition("?")
        if path != LEGACY_PATH:
            self.head(404, {"Content-Length": "0"})
        else:
            self._send(self._legacy.answer("GET", self._host, query))

    def do_POST(self) -> None:
        """Answer one call."""
        body = self.body()
        if body is None:
            self.head(413, {"Content-Length": "0"})
        elif self.path == "/":
            self._send(self._service.answer(self.headers, body))
        elif self.path == LEGACY_PATH:
            self._send(self._legacy.answer("POST", self._host, body.decode("utf-8", "replace")))
        else:
            self.head(404, {"Content-Length": "0"})

    @property
    def _host(self) -> str:
        return self.headers.get("Host", "")

    def _send(self, answer: Answer) -> None:
        if answer.cut:
            self._hang_up()
            return
        headers = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
        if answer.location is not None:
            headers["Location"] = answer.location
        self.head(answer.status, headers)
        if answer.byte_seconds:
            self._dribble(answer)
        else:
            self.wfile.write(answer.body[: answer.sent_bytes])
        if answer.sent_bytes is not None:
            self.wfile.flush()
            self._hang_up()

    def _dribble(self, answer: Answer) -> None:
        for position in range(len(answer.body)):
            self.wfile.flush()
            if self._stopping.wait(answer.byte_seconds):
                self.close_connection = True
                return
            self.wfile.write(answer.body[position : position + 1])

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
