"""A web server with keys that people publish, and the way to it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from handler.chat.published_keys import PublishedKeys, SelectedKeys
from scripts.cvm_emulator.certificates import tls_context
from scripts.cvm_emulator.server import LoopbackServer, QuietHandler, serving

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PUBLIC = "93.184.215.14"


@dataclass
class Place:
    """A web server with people's keys; `answers` are status, headers and body by path."""

    url: str
    authority: Path
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    addresses: Sequence[str] = (PUBLIC,)
    asked: list[tuple[str, int]] = field(default_factory=list)
    dialled: list[tuple[str, int]] = field(default_factory=list)
    seconds: float = 20.0
    stalled: threading.Event | None = None
    """If it is there, no answer goes out before it is set."""

    def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.addresses

    def dial(self, address: str, port: int) -> tuple[str, int]:
        self.dialled.append((address, port))
        return "127.0.0.1", int(self.url.rpartition(":")[2])

    def keys(self, user: str = "alice", template: str = "https://localhost/{user}.keys") -> tuple[str, ...]:
        return self.found(user, template).keys

    def found(self, user: str = "alice", template: str = "https://localhost/{user}.keys") -> SelectedKeys:
        places = PublishedKeys(
            {"place": template}, self.resolve, self.dial, str(self.authority), seconds=self.seconds
        )
        return places.keys("place", user)

    def publish(self, *lines: str, user: str = "alice") -> None:
        self.answers[f"/{user}.keys"] = (200, {}, "\n".join(lines).encode())


class _Handler(QuietHandler):
    def __init__(self, place: Place, *connection: Any) -> None:  # noqa: ANN401  # http.server's own arguments
        # The base class serves the whole connection inside its constructor.
        self._place = place
        super().__init__(*connection)

    def do_GET(self) -> None:  # noqa: N802  # http.server asks for this name
        self._place.requests.append((self.path, {name.lower(): v for name, v in self.headers.items()}))
        if self._place.stalled:
            self._place.stalled.wait(20)
        status, headers, body = self._place.answers.get(self.path, (404, {}, b"not found"))
        self.head(status, {"Content-Length": str(len(body)), **headers})
        self.wfile.write(body)


@contextmanager
def running_place(folder: Path) -> Iterator[Place]:
    context, authority = tls_context(folder)
    place = Place("", authority)
    server = LoopbackServer(0, partial(_Handler, place), context)
    place.url = server.url
    with serving(server):
        yield place
