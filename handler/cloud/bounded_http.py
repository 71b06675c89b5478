"""Connections for requests that give up reading when time is up, or when an answer is too long.

The time-out of requests bounds each read, and not their sum: a peer that sends one byte after another, of the
head or of the body, would keep the connection for as long as it likes. This module imports requests, so it is
imported by the first call only.
"""

from __future__ import annotations

import io
from functools import partial
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    import socket

    import requests

    from handler.scf.invocation import Clock

_ANSWER_LIMIT = 1024 * 1024


class Limit:
    """Until when the current call may read. Not a part of the adapter: that would be a reference cycle."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.until = 0.0

    def remaining(self) -> float:
        """Return the seconds left."""
        return self.until - self._clock.monotonic()


class BoundedAdapter(HTTPAdapter):
    """An adapter whose connections read until `limit.until`, a time of the monotonic clock, and no longer."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.limit = Limit(clock)

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401, D102  # passed on
        pool: Any = super().get_connection_with_tls_context(*arguments, **named)
        if not isinstance(pool.ConnectionCls, partial):
            pool.ConnectionCls = partial(_connection, pool.ConnectionCls, self.limit)
        return pool


class _BoundedResponse(HTTPResponse):
    def __init__(self, limit: Limit, sock: socket.socket, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  # passed on
        super().__init__(sock, *arguments, **named)
        stream: Any = self.fp
        self.fp = io.BufferedReader(_BoundedStream(stream.detach(), sock, limit))


class _BoundedStream(io.RawIOBase):
    def __init__(self, raw: Any, sock: socket.socket, limit: Limit) -> None:  # noqa: ANN401  # http.client's own stream
        self._raw, self._sock, self._limit = raw, sock, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401  # any buffer
        remaining = self._limit.remaining()
        if remaining <= 0:
            raise TimeoutError
        self._sock.settimeout(remaining)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _connection(kind: Any, limit: Limit, **named: Any) -> Any:  # noqa: ANN401  # passed on
    connection = kind(**named)
    connection.response_class = partial(_BoundedResponse, limit)
    return connection


def read_body(response: requests.Response, *_: object, **__: object) -> None:
    """Read a body of at most 1 MiB; raise TimeoutError if it is longer."""
    body = b""
    while chunk := response.raw.read1(_ANSWER_LIMIT, decode_content=True):
        body += chunk
        if len(body) > _ANSWER_LIMIT:
            raise TimeoutError
    response._content = body  # noqa: SLF001  # what `Response.content` returns
