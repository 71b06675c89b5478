"""A store in a Redis or Valkey server: for any number of instances, wherever they run.

Needs Redis 6.2 or newer. Its `maxmemory-policy` has to be `noeviction`: another one may drop a claim that
still counts. The server's clock ends the times to live.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from redis.connection import ConnectionPool
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError

from handler.errors import StoreUnavailable

if TYPE_CHECKING:
    from redis.connection import ConnectionInterface

TIMEOUT = 1.0
"""Seconds for each wait: to connect, to send, for an answer."""

PREFIX = "keypair-function:"
"""Before each key, for servers that others use too."""

# GET of nothing is `false` in Lua, which equals no text.
_REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


class RedisStore:
    """See `handler.store.base.Store`.

    `url` is `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, user and password percent-encoded, or
    `rediss://…` for TLS, where certificate and host name are checked against the system's authorities or
    those in the file that the environment variable SSL_CERT_FILE names.
    """

    def __init__(self, url: str) -> None:
        # By default already; a change of the library's mind must not weaken it.
        checked = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        self._pool = ConnectionPool.from_url(
            url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            protocol=2,  # HELLO 3 is one more command that a proxy or an access list may not know
            driver_info=None,  # two commands a connection, for a name in CLIENT LIST
            **(checked if url.startswith("rediss:") else {}),
        )

    def get(self, key: str) -> str | None:
        """Return the text under `key`."""
        answer = self._ask("GET", PREFIX + key)
        if answer is None:
            return None
        if not isinstance(answer, bytes):
            raise StoreUnavailable("redis-nonsense")
        try:
            return answer.decode()
        except UnicodeDecodeError:
            raise StoreUnavailable("redis-nonsense") from None

    def add(self, key: str, value: str, ttl: float) -> bool:
        """Put `value` there unless something is."""
        answer = self._ask("SET", PREFIX + key, value, "NX", "PX", _milliseconds(ttl))
        if answer not in (b"OK", None):
            raise StoreUnavailable("redis-nonsense")
        return answer == b"OK"

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        """Put `value` in the place of exactly `expected`."""
        answer = self._ask("EVAL", _REPLACE, 1, PREFIX + key, expected, value, _milliseconds(ttl))
        if answer not in (0, 1):
            raise StoreUnavailable("redis-nonsense")
        return answer == 1

    def _ask(self, *command: str | int) -> object:
        """Send `command` once, over a connection that is alive, and return the server's answer."""
        try:
            connection = self._pool.get_connection()
            try:
                _revive(connection)
                # Not through redis-py's client, which repeats a command: an `add` that was done but whose
                # answer got lost would find its own entry, and say that somebody else was faster.
                connection.send_command(*command)
                return connection.read_response()
            finally:
                self._pool.release(connection)
        # `from None`: the text is the server's own.
        except (ResponseError, AuthenticationError, AuthorizationError):
            raise StoreUnavailable("redis-refused") from None
        # ValueError: what redis-py lets out when a server's answer is not of its protocol.
        except (RedisError, OSError, ValueError):
            raise StoreUnavailable("redis-unreachable") from None


def _revive(connection: ConnectionInterface) -> None:
    """Connect anew if the connection died unnoticed.

    SCF freezes an instance between requests, for longer than servers and gateways keep an idle connection.
    Asked before each command, since a command that fails on a dead connection must not be repeated. It
    costs one round trip; a connection an operation would cost two or three, and a TLS handshake.
    """
    try:
        connection.send_command("PING")
        if connection.read_response() == b"PONG":
            return
    except (RedisError, OSError, ValueError):
        pass
    connection.disconnect()
    connection.connect()


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)
