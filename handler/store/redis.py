"""A store in a Redis or Valkey server, for any number of instances.

Needs Redis 6.2 or newer with `maxmemory-policy noeviction`: any other policy may drop a record that is
still needed. The server's clock decides when a key expires.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from redis.connection import ConnectionPool
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

from handler.errors import StoreUnavailable

if TYPE_CHECKING:
    from redis.connection import ConnectionInterface

TIMEOUT = 1.0
"""Seconds for each step: connecting, sending, and waiting for the response."""

PREFIX = "keypair-function:"
"""Prefix of every key, for servers that are shared with other applications."""

# GET of a missing key is `false` in Lua, which equals no string.
_REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


class RedisStore:
    """See `handler.store.base.Store`.

    `url` is `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]` with a percent-encoded user and password,
    or `rediss://…` for TLS. Certificate and host name are then checked against the system's certificate
    authorities, or against those in the file that SSL_CERT_FILE names.
    """

    shared = True

    def __init__(self, url: str) -> None:
        # These are the defaults. A later default of the library must not weaken them.
        checked = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        self._pool = ConnectionPool.from_url(
            url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            protocol=2,  # HELLO 3 is one more command that a proxy or an ACL may refuse
            driver_info=None,  # saves two commands per connection that set a name in CLIENT LIST
            **(checked if url.startswith("rediss:") else {}),
        )

    def get(self, key: str) -> str | None:
        """Return the value of `key`, or None."""
        answer = self._ask("GET", PREFIX + key)
        if not (answer is None or isinstance(answer, bytes)):
            # Reading twice changes nothing. What a write did is unknown after such a response, so only reads
            # are repeated.
            self._pool.disconnect()
            answer = self._ask("GET", PREFIX + key)
        if answer is None:
            return None
        if not isinstance(answer, bytes):
            raise self._nonsense()
        try:
            return answer.decode()
        except UnicodeDecodeError:
            raise self._nonsense() from None

    def add(self, key: str, value: str, ttl: float) -> bool:
        """Set `key` unless it has a value."""
        answer = self._ask("SET", PREFIX + key, value, "NX", "PX", _milliseconds(ttl))
        if answer not in (b"OK", None):
            raise self._nonsense()
        return answer == b"OK"

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        """Set `key` if its value is exactly `expected`."""
        answer = self._ask("EVAL", _REPLACE, 1, PREFIX + key, expected, value, _milliseconds(ttl))
        if answer not in (0, 1):
            raise self._nonsense()
        return answer == 1

    def _ask(self, *command: str | int) -> object:
        """Send `command` over a live connection; return the response.

        After a failover the old server may live on as a replica, and refuse commands with READONLY, LOADING,
        MOVED or others. An error has no effect, as the last step of `_REPLACE` is its only write, so the
        command is sent once more, over a new connection to what the name now stands for.
        """
        try:
            try:
                return self._send(*command)
            except (ResponseError, BusyLoadingError):
                return self._send(*command)
        # `from None`, because the text comes from the server.
        except (ResponseError, AuthenticationError, AuthorizationError):
            raise StoreUnavailable("redis-refused") from None
        # redis-py raises ValueError for a response that violates the protocol.
        except (RedisError, OSError, ValueError):
            raise StoreUnavailable("redis-unreachable") from None

    def _nonsense(self) -> StoreUnavailable:
        """Return the error for a response that fits no command; the next one gets a new connection."""
        self._pool.disconnect()
        return StoreUnavailable("redis-nonsense")

    def _send(self, *command: str | int) -> object:
        connection = self._pool.get_connection()
        try:
            _revive(connection)
            # redis-py's client would repeat a command. A repeated `add` whose first response was lost
            # would find its own entry and report that another instance was faster.
            connection.send_command(*command)
            return connection.read_response()
        except (ResponseError, BusyLoadingError):
            # Whatever the reason: the next command starts with a new connection.
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)


def _revive(connection: ConnectionInterface) -> None:
    """Reconnect if the connection has died unnoticed.

    SCF freezes an instance between requests for longer than servers and gateways keep an idle connection.
    The check precedes every command, because a command that fails on a dead connection must not be
    repeated. It costs one round trip; a new connection per command would cost two or three and a TLS
    handshake.
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
