"""A store in an SQLite file, for all processes and threads of one machine or container.

It does not work on network file systems, whose locks are unreliable (sqlite.org/wal.html,
sqlite.org/faq.html#q5).
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from handler.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handler.scf.invocation import Clock

BUSY_TIMEOUT = 2.0
"""Seconds without any commit by others after which a write that waits for its turn gives up."""
_MAX_WAITS = 5
"""Multiples of BUSY_TIMEOUT that a write waits at most, however busy the others are."""

_TABLE = """
    CREATE TABLE entry (key TEXT PRIMARY KEY, value TEXT NOT NULL, ends_at REAL NOT NULL) WITHOUT ROWID;
    CREATE INDEX entry_ends_at ON entry (ends_at);
"""
# A limit, so that no request pays for a long idle time; above one, so that the file cannot grow forever.
_DROP_EXPIRED = "DELETE FROM entry WHERE key IN (SELECT key FROM entry WHERE ends_at <= :now LIMIT 100)"
_GET = "SELECT value FROM entry WHERE key = :key AND ends_at > :now"
_ADD = """
    INSERT INTO entry VALUES (:key, :value, :ends_at)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, ends_at = excluded.ends_at
    WHERE entry.ends_at <= :now RETURNING 1
"""
_REPLACE = """
    UPDATE entry SET value = :value, ends_at = :ends_at
    WHERE key = :key AND value = :expected AND ends_at > :now RETURNING 1
"""


class SqliteStore:
    """See `handler.store.base.Store`. A missing file is created, readable by its owner only."""

    shared = True

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def get(self, key: str) -> str | None:
        """Return the value of `key`, or None."""
        with self._connected() as connection:
            rows = connection.execute(_GET, {"key": key, "now": self._clock.now()}).fetchall()
        if not rows:
            return None
        value: object = rows[0][0]
        if not isinstance(value, str):  # SQLite accepts any type in any column
            raise StoreUnavailable("sqlite-nonsense")
        return value

    def add(self, key: str, value: str, ttl: float) -> bool:
        """Set `key` unless it has a value."""
        now = self._clock.now()
        with self._connected() as connection:
            # One transaction waits for the disk once. Closing without COMMIT undoes both statements.
            _begin_write(connection)
            connection.execute(_DROP_EXPIRED, {"now": now})
            added = connection.execute(
                _ADD, {"key": key, "value": value, "now": now, "ends_at": now + ttl}
            ).fetchall()
            connection.execute("COMMIT")
        return bool(added)

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        """Set `key` if its value is exactly `expected`."""
        now = self._clock.now()
        with self._connected() as connection:
            _begin_write(connection)
            replaced = connection.execute(
                _REPLACE,
                {"key": key, "expected": expected, "value": value, "now": now, "ends_at": now + ttl},
            ).fetchall()
            connection.execute("COMMIT")
        return bool(replaced)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        # A new connection per operation. A connection that is kept does not survive a fork, keeps writing
        # to a file that was replaced (so one record gets two holders), and may outlive its error.
        try:
            if not self._path.exists():
                self._create()
            with closing(_connect(self._path)) as connection:
                # Some builds default to NORMAL, with which a power failure undoes the last commits.
                connection.execute("PRAGMA synchronous = FULL")
                yield connection
        except (sqlite3.OperationalError, OSError) as error:  # locked, full, read-only or unreadable
            raise StoreUnavailable("sqlite-unavailable") from error
        except sqlite3.Error as error:
            raise StoreUnavailable("sqlite-corrupt") from error

    def _create(self) -> None:
        # Create the file elsewhere and link it when complete: SQLite does not wait for another process
        # that turns on WAL at the same time, and it does not create files that only their owner can read.
        with tempfile.TemporaryDirectory(dir=self._path.parent, prefix=f".{self._path.name}.") as folder:
            fresh = Path(folder) / "fresh"
            fresh.touch(mode=0o600)
            with closing(_connect(fresh)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_TABLE)
            with suppress(FileExistsError):  # another process was faster
                self._path.hardlink_to(fresh)


def _connect(path: Path) -> sqlite3.Connection:
    # mode=rw: only `_create` creates a missing file.
    location = f"file:{quote(os.fspath(path))}?mode=rw"
    return sqlite3.connect(location, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)


def _begin_write(connection: sqlite3.Connection) -> None:
    """Begin a transaction when it is this one's turn. Raises sqlite3.OperationalError.

    On a busy machine, many short writes take longer than any fixed time-out. While others commit, the lock is
    not stuck, so this keeps waiting.
    """
    waits = 0
    while True:
        commits = _commits(connection)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            waits += 1
            if waits == _MAX_WAITS or _commits(connection) == commits:
                raise
        else:
            return


def _commits(connection: sqlite3.Connection) -> object:
    # The number changes when another connection commits (sqlite.org/pragma.html#pragma_data_version).
    return connection.execute("PRAGMA data_version").fetchone()[0]
