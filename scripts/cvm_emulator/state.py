import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from .errors import ApiError

QUOTA = 100
"""Key pairs that an account may hold."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS key_pair (
    number INTEGER PRIMARY KEY,
    key_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    project_id INTEGER NOT NULL,
    public_key TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    tags TEXT NOT NULL,
    instance_ids TEXT NOT NULL DEFAULT '[]',
    description TEXT NOT NULL DEFAULT '',
    region TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS tag (name TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (name, value))
"""
_COLUMNS = "key_id, name, project_id, public_key, created_at, tags, instance_ids, description, region"


@dataclass(frozen=True)
class KeyPair:
    """What the account stores of a key pair, which never includes its private half."""

    key_id: str
    name: str
    project_id: int
    public_key: str
    """`ssh-rsa BASE64`, without a comment."""
    created_at: int
    """Seconds since the epoch."""
    tags: dict[str, str]
    instance_ids: tuple[str, ...] = ()
    description: str = ""
    region: str = ""

    def without_tags(self) -> "KeyPair":
        """Return it as if it had no tags."""
        return replace(self, tags={})

    def described_as(self, description: str) -> "KeyPair":
        """Return it with another description."""
        return replace(self, description=description)

    def described(self) -> dict[str, object]:
        """Return it in the form of the API."""
        created = datetime.fromtimestamp(self.created_at, tz=timezone.utc)
        return {
            "KeyId": self.key_id,
            "KeyName": self.name,
            "ProjectId": self.project_id,
            "Description": self.description,
            "PublicKey": f"{self.public_key} {self.key_id}",
            "AssociatedInstanceIds": list(self.instance_ids),
            "CreatedTime": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()],
        }


class PublicKeyTakenError(Exception):
    """The account already holds a key pair with this public key."""


class State:
    """The key pairs of one account, in an SQLite file that several processes may share."""

    def __init__(self, path: Path, quota: int = QUOTA) -> None:
        self._path = path
        self._quota = quota
        with self._transaction() as database:
            for statement in _SCHEMA.split(";"):
                database.execute(statement)

    def add(self, key_pair: KeyPair) -> None:
        """Add a key pair if its name is free and the quota allows one more, in one step.

        Raises ApiError for the name and the quota, and PublicKeyTakenError.
        """
        with self._transaction() as database:
            try:
                database.execute(
                    "INSERT INTO key_pair (key_id, name, project_id, public_key, created_at, tags, region)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        key_pair.key_id,
                        key_pair.name,
                        key_pair.project_id,
                        key_pair.public_key,
                        key_pair.created_at,
                        json.dumps(key_pair.tags),
                        key_pair.region,
                    ),
                )
                # A tag is a separate object that outlives the key pairs that carry it (651/13354).
                database.executemany("INSERT OR IGNORE INTO tag VALUES (?, ?)", key_pair.tags.items())
            except sqlite3.IntegrityError as conflict:
                if database.execute("SELECT 1 FROM key_pair WHERE name = ?", (key_pair.name,)).fetchone():
                    raise ApiError(
                        "InvalidKeyPairName.Duplicate", f"A key pair named `{key_pair.name}` exists already."
                    ) from conflict
                raise PublicKeyTakenError from conflict
            (count,) = database.execute("SELECT count(*) FROM key_pair").fetchone()
            if count > self._quota:
                raise ApiError(
                    "InvalidKeyPair.LimitExceeded", f"The account holds {self._quota} key pairs already."
                )

    def tags(self) -> set[tuple[str, str]]:
        """Return every tag, key and value, that the account has ever had."""
        with self._transaction() as database:
            return set(database.execute("SELECT name, value FROM tag").fetchall())

    def forget_tags(self) -> None:
        """Remove the tags that no key pair carries."""
        with self._transaction() as database:
            database.execute("DELETE FROM tag")
            for key_pair in _all(database):
                database.executemany("INSERT OR IGNORE INTO tag VALUES (?, ?)", key_pair.tags.items())

    def all(
        self, *, key_ids: Collection[str] | None = None, names: Collection[str] | None = None
    ) -> list[KeyPair]:
        """Return every key pair, or those with one of these IDs or names, in the order of creation."""
        with self._transaction() as database:
            return _all(database, key_ids, names)

    def delete(self, key_ids: list[str]) -> list[KeyPair]:
        """Delete all of these key pairs, or none; return them.

        Raises ApiError if one of them does not exist or is bound to an instance.
        """
        with self._transaction() as database:
            existing = {key_pair.key_id: key_pair for key_pair in _all(database, key_ids)}
            for key_id in key_ids:
                if key_id not in existing:
                    raise ApiError("InvalidKeyPairId.NotFound", f"The key pair `{key_id}` does not exist.")
                if existing[key_id].instance_ids:
                    raise ApiError(
                        "InvalidParameterValue.KeyPairNotSupported",
                        f"The key pair `{key_id}` is bound to an instance.",
                    )
            database.executemany("DELETE FROM key_pair WHERE key_id = ?", [(key_id,) for key_id in key_ids])
            return list(existing.values())

    def modify(self, key_id: str, name: str | None, description: str | None) -> None:
        """Give a key pair another name, another description, or both.

        Raises ApiError if it does not exist or the name is taken.
        """
        with self._transaction() as database:
            try:
                changed = database.execute(
                    "UPDATE key_pair SET name = coalesce(?, name), description = coalesce(?, description)"
                    " WHERE key_id = ?",
                    (name, description, key_id),
                )
            except sqlite3.IntegrityError as conflict:
                raise ApiError(
                    "InvalidKeyPairName.Duplicate", f"A key pair named `{name}` exists already."
                ) from conflict
            if changed.rowcount == 0:
                raise ApiError("InvalidKeyPairId.NotFound", f"The key pair `{key_id}` does not exist.")

    def bind(self, key_id: str, instance_id: str | None) -> bool:
        """Bind a key pair to an instance, or release it; return whether it exists."""
        with self._transaction() as database:
            changed = database.execute(
                "UPDATE key_pair SET instance_ids = ? WHERE key_id = ?",
                (json.dumps([instance_id] if instance_id else []), key_id),
            )
            return changed.rowcount == 1

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        # isolation_level=None: the module's implicit transactions would lock too late.
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


def _all(
    database: sqlite3.Connection,
    key_ids: Collection[str] | None = None,
    names: Collection[str] | None = None,
) -> list[KeyPair]:
    # Filtered in SQL: reading a large account in Python would take longer than the rest of a request.
    conditions = ["TRUE"]
    values: list[str] = []
    for column, wanted in (("key_id", key_ids), ("name", names)):
        if wanted is not None:
            conditions.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    where = " AND ".join(conditions)
    rows = database.execute(
        f"SELECT {_COLUMNS} FROM key_pair WHERE {where} ORDER BY number",  # noqa: S608  # constants
        values,
    )
    return [
        KeyPair(
            key_id=key_id,
            name=name,
            project_id=project_id,
            public_key=public_key,
            created_at=created_at,
            tags=json.loads(tags),
            instance_ids=tuple(json.loads(instance_ids)),
            description=description,
            region=region,
        )
        for key_id, name, project_id, public_key, created_at, tags, instance_ids, description, region in rows
    ]
