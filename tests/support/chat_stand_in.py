"""A local stand-in of a chat platform's API: it takes what the platform would take, and keeps it."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from scripts.cvm_emulator.server import LoopbackServer, QuietHandler, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True)
class Posted:
    """A request to the platform: its path with the query, its headers in lower case, its JSON."""

    path: str
    headers: Mapping[str, str]
    payload: Any


@dataclass
class StandIn:
    """`respond` gives status and body of the answer, and raises AssertionError for what no platform takes."""

    respond: Callable[[Posted], tuple[int, bytes]]
    posted: list[Posted] = field(default_factory=list)
    """What was taken: answered with 200."""
    troubles: list[tuple[int, bytes]] = field(default_factory=list)
    """Answers to the next requests, before any is taken."""
    faults: list[str] = field(default_factory=list)
    """What was wrong with requests that no platform would take."""
    requests: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """Of all connections: one request is answered at a time."""

    def answer(self, request: Posted) -> tuple[int, bytes]:
        self.requests += 1
        if self.troubles:
            return self.troubles.pop(0)
        try:
            status, body = self.respond(request)
        except AssertionError as fault:
            self.faults.append(str(fault))
            return 400, b"refused"
        if status == 200:
            self.posted.append(request)
        return status, body

    @contextmanager
    def serving(self) -> Iterator[StandIn]:
        """Serve for the duration of the block, which has to leave no fault behind."""
        server = LoopbackServer(0, partial(_Handler, self))
        self.url = server.url
        with serving(server):
            yield self
        assert self.faults == []


class _Handler(QuietHandler):
    def __init__(self, stand_in: StandIn, *connection: Any) -> None:  # noqa: ANN401  # http.server's own arguments
        # The base class serves the whole connection inside its constructor.
        self._stand_in = stand_in
        super().__init__(*connection)

    def _exchange(self) -> None:
        body = self.body() or b""
        headers = {name.lower(): value for name, value in self.headers.items()}
        payload = json.loads(body) if body else None
        with self._stand_in.lock:
            status, answer = self._stand_in.answer(Posted(self.path, headers, payload))
        extra = {"Location": "http://127.0.0.1:9/"} if status in (301, 302, 307) else {}
        self.head(status, {"Content-Length": str(len(answer)), "Content-Type": "application/json", **extra})
        self.wfile.write(answer)

    do_GET = do_POST = _exchange  # noqa: N815  # http.server
