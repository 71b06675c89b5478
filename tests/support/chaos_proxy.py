"""A TCP proxy before the cloud that loses, delays and repeats what goes through, at random from a seed.

Each connection carries one request, as those of `handler.cloud.cvm` do, and meets a fate of its own.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Fate(Enum):
    """What becomes of a connection, and how often in a hundred."""

    PASS = ("pass", 72)
    REFUSED = ("closed at once", 2)
    REQUEST_LOST = ("closed after the request, which nobody gets", 3)
    ANSWER_LOST = ("closed instead of the answer", 5)
    ANSWER_CUT = ("closed in the middle of the answer", 4)
    SLOW_REQUEST = ("the request is a little late", 3)
    SLOW_ANSWER = ("the answer is a little late", 3)
    ANSWER_TOO_LATE = ("the answer comes when the client has given up", 1)
    REQUEST_TOO_LATE = ("the request arrives when the client has given up", 1)
    TWICE = ("the request arrives twice, and the first answer goes back", 2)
    TWICE_SECOND = ("the request arrives twice, and the second answer goes back", 2)
    AGAIN_LATER = ("the request arrives once more, long after its answer", 2)

    def __init__(self, meaning: str, weight: int) -> None:
        self.meaning = meaning
        self.weight = weight


@dataclass
class ChaosProxy:
    """`url` leads to the target by way of chaos; what happened is counted in `fates`."""

    target: tuple[str, int]
    seed: int
    late: float
    """Seconds after which a client has certainly given up."""
    url: str = ""
    fates: Counter[str] = field(default_factory=Counter)

    def fate(self, number: int) -> tuple[Fate, float]:
        """Return what becomes of the connection with this number, and a random number for the details."""
        chance = random.Random(f"{self.seed} {number}")  # noqa: S311  # to be repeated, not to be secret
        (fate,) = chance.choices(list(Fate), [fate.weight for fate in Fate])
        return fate, chance.random()

    def serve(self, client: socket.socket, number: int) -> None:
        """Read the one request on this connection, and let it meet its fate."""
        fate, detail = self.fate(number)
        self.fates[fate.name] += 1
        request = b""
        with client, suppress(OSError):
            client.settimeout(30)
            if fate is not Fate.REFUSED:
                request = _message(client)
            if request and fate is not Fate.REQUEST_LOST:
                time.sleep(self._pause(fate, detail, Fate.SLOW_REQUEST, Fate.REQUEST_TOO_LATE))
                answer = self._answer(request, fate, detail)
                time.sleep(self._pause(fate, detail, Fate.SLOW_ANSWER, Fate.ANSWER_TOO_LATE))
                client.sendall(answer)
        if fate is Fate.AGAIN_LATER and request:
            time.sleep(detail * self.late)
            self._ask(request)

    def _pause(self, fate: Fate, detail: float, slow: Fate, too_late: Fate) -> float:
        if fate is too_late:
            return self.late
        return detail * 0.3 if fate is slow else 0

    def _answer(self, request: bytes, fate: Fate, detail: float) -> bytes:
        answer = self._ask(request)
        if fate in (Fate.TWICE, Fate.TWICE_SECOND):
            second = self._ask(request)
            return answer if fate is Fate.TWICE else second
        if fate is Fate.ANSWER_LOST:
            return b""
        return answer[: int(len(answer) * detail)] if fate is Fate.ANSWER_CUT else answer

    def _ask(self, request: bytes) -> bytes:
        with socket.create_connection(self.target, timeout=30) as upstream:
            upstream.sendall(request)
            return _message(upstream)


def _message(stream: socket.socket) -> bytes:
    """Read one HTTP message, which says how long it is; or what there is of it."""
    data = b""
    wanted: int | None = None
    while wanted is None or len(data) < wanted:
        chunk = stream.recv(65536)
        if not chunk:
            break
        data += chunk
        head, end, _ = data.partition(b"\r\n\r\n")
        if end and wanted is None:
            lengths = [
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ]
            wanted = len(head) + len(end) + sum(lengths)
    return data


@contextmanager
def running_chaos_proxy(endpoint: str, *, seed: int, late: float) -> Iterator[ChaosProxy]:
    """Serve `endpoint` (http://HOST:PORT) by way of chaos; all that was late has arrived at the end."""
    host, _, port = endpoint.removeprefix("http://").partition(":")
    proxy = ChaosProxy((host, int(port)), seed, late)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    proxy.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    connections: list[threading.Thread] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                connections.append(
                    threading.Thread(target=proxy.serve, args=(client, len(connections)), daemon=True)
                )
                connections[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield proxy
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for connection in connections:
            connection.join()
