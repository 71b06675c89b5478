"""A policy with an index, so that a start reads the caller at hand and no other.

`scripts/build` checks the whole policy, writes it to `policy.json` in a normal form, and the index,
`policy.index`, beside it. The index says where in that file each caller is. With 100,000 callers, reading and
checking all of them at each start took two seconds and 328 MB.

    MAGIC
    one line of JSON: the head, see `scripts.policy_file.pack`
    records, sorted: digest of what is asked for, offset and length of the caller in policy.json
    SHA-256 of all before

SECURITY BOUNDARY: `policy.json` is what counts. An index that does not belong to exactly that file, or that
was made by other rules, is not used. Then, and without an index, the whole policy is read and checked. A
function that runs goes on with the file that it has opened, so a policy is replaced, and not written over.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from handler.errors import PolicyInvalid
from handler.order import Action
from handler.policy.grants import Grant
from handler.policy.model import Caller, ChatBinding, Policy, TokenBinding, TokenIssuer, Web
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from handler.policy.model import ClaimOf

MAGIC = b"keypair-function policy index 2\n"
"""The number stands for the rules that the policy was checked by, and for the form of this file.

Raise it with every change of a rule, a default, the code of a validator or of what it calls, or the normal
form.
"""
UNREADABLE = "{}: not a readable policy in JSON; scripts/build creates one from policy.toml"
RECORD = struct.Struct(">16sQI")
SUFFIX = ".index"

_DIGEST_LENGTH = 32
_PIECE = 1 << 20
_CALLERS_KEPT = 64
"""A warm instance parses a caller once."""
_Table = TypeVar("_Table")


def index_of(policy: Path) -> Path:
    """Return where the index of a packed policy is."""
    return policy.with_suffix(SUFFIX)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits, in constant memory; raise PolicyInvalid."""
    try:
        with path.open("rb") as file:
            return _digest(file.read, None)
    except OSError:
        raise PolicyInvalid(UNREADABLE.format(path)) from None


def caller_key(caller_id: str) -> bytes:
    """Return the key of a caller's record."""
    return _key("caller", caller_id)


def chat_key(platform: str, tenant: str, user: str) -> bytes:
    """Return the key of the record of the caller who is this chat user."""
    return _key("chat", platform, tenant, user)


def claims_key(issuer: str, claims: tuple[ClaimOf, ...]) -> bytes:
    """Return the key of the record of a caller whom these claims identify."""
    return _key("jwt", issuer, [(name, kind.__name__, value) for name, kind, value in claims])


def _key(*parts: object) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()[:16]


def _digest(read: Callable[[int], bytes], length: int | None) -> str:
    """Return the SHA-256 of the next `length` bytes, or of all."""
    digest = hashlib.sha256()
    while length != 0:
        piece = read(_PIECE if length is None else min(_PIECE, length))
        if not piece:
            break
        digest.update(piece)
        length = None if length is None else length - len(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class PolicyIndex:
    """An open index, and the policy that it belongs to."""

    policy: int
    """A file descriptor, as is `file`. They are open as long as the instance lives."""
    file: int
    start: int
    """Offset of the first record."""
    records: int
    head: Mapping[str, Any]

    @classmethod
    def open(cls, policy: Path) -> PolicyIndex | None:
        """Return the index of a packed policy; None if there is none that belongs to exactly this file."""
        try:
            file = os.open(index_of(policy), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        index = cls._of(policy, file)
        if index is None:
            os.close(file)
        return index

    @classmethod
    def _of(cls, policy: Path, file: int) -> PolicyIndex | None:
        size = os.fstat(file).st_size - _DIGEST_LENGTH
        with os.fdopen(os.dup(file), "rb") as reader:
            digest = _digest(reader.read, max(size, 0))
            if reader.read() != bytes.fromhex(digest):
                return None
            reader.seek(0)
            if reader.readline() != MAGIC:
                return None
            head = json.loads(reader.readline())
            start = reader.tell()
        # The file that callers are read from later is the one whose digest is compared.
        try:
            opened = os.open(policy, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            raise PolicyInvalid(UNREADABLE.format(policy)) from None
        with os.fdopen(os.dup(opened), "rb") as content:
            if _digest(content.read, None) != head["policy"]:
                os.close(opened)
                return None
        count = (size - start) // RECORD.size
        return cls(opened, file, start, count, head)

    def find(self, key: bytes) -> list[tuple[str, dict[str, Any]]]:
        """Return the callers that are recorded under `key`: id and table, as in the policy."""
        found = []
        for position in range(self._first(key), self.records):
            recorded, offset, length = self._record(position)
            if recorded != key:
                break
            # `"ID": {...}`, a member of the object `callers`.
            member = os.pread(self.policy, length, offset)
            found.extend(json.loads(b"{" + member + b"}").items())
        return found

    def all_callers(self) -> Iterator[str]:
        """Return the ids of all callers. Takes as long as reading a policy without an index."""
        for position in range(self.records):
            recorded, offset, length = self._record(position)
            (caller_id,) = json.loads(b"{" + os.pread(self.policy, length, offset) + b"}")
            if recorded == caller_key(caller_id):
                yield caller_id

    def _first(self, key: bytes) -> int:
        """Return the position of the first record whose key is not below `key`."""
        low, high = 0, self.records
        while low < high:
            middle = (low + high) // 2
            if self._record(middle)[0] < key:
                low = middle + 1
            else:
                high = middle
        return low

    def _record(self, position: int) -> tuple[bytes, int, int]:
        offset = self.start + position * RECORD.size
        found: tuple[bytes, int, int] = RECORD.unpack(os.pread(self.file, RECORD.size, offset))
        return found


class _Callers(Mapping[str, Caller]):
    """The callers of a policy with an index."""

    def __init__(self, index: PolicyIndex) -> None:
        self.index = index
        self._find = lru_cache(_CALLERS_KEPT)(self._found)

    def __getitem__(self, caller_id: str) -> Caller:
        caller = self._find(caller_id)
        if caller is None:
            raise KeyError(caller_id)
        return caller

    def __iter__(self) -> Iterator[str]:
        return self.index.all_callers()

    def __len__(self) -> int:
        count: int = self.index.head["callers"]
        return count

    def _found(self, caller_id: str) -> Caller | None:
        return next((_caller(table) for _, table in self.index.find(caller_key(caller_id))), None)


# What follows turns the tables of a checked policy into what pydantic made of them.


def _made(
    kind: Callable[..., _Table], table: Mapping[str, Any], **convert: Callable[[Any], object]
) -> _Table:
    """Return a table as `kind`, the values of some keys converted."""
    return kind(**{key: convert[key](value) if key in convert else value for key, value in table.items()})


def _caller(table: Mapping[str, Any]) -> Caller:
    return _made(
        Caller,
        table,
        grants=lambda tables: tuple(_grant(one) for one in tables),
        v2=tuple,
        jwt=lambda tables: tuple(TokenBinding(**one) for one in tables),
        chat=lambda tables: tuple(ChatBinding(**one) for one in tables),
        recipients=tuple,
    )


def _grant(table: Mapping[str, Any]) -> Grant:
    def actions(names: list[str]) -> tuple[Action, ...]:
        return tuple(Action(name) for name in names)

    return _made(Grant, table, names=tuple, regions=tuple, projects=tuple, actions=actions, callers=tuple)


def _issuers(tables: Mapping[str, Any]) -> dict[str, TokenIssuer]:
    return {name: _made(TokenIssuer, table, algorithms=tuple) for name, table in tables.items()}


def _web(table: Mapping[str, Any]) -> Web:
    return _made(Web, table, origins=tuple)


@dataclass(frozen=True)
class CompiledPolicy(Policy):
    """A policy with an index. All of it was checked when the index was made.

    A caller is read when it is asked for.
    """

    callers: _Callers

    @classmethod
    def beside(cls, path: Path) -> CompiledPolicy | None:
        """Return the packed policy at `path`; None if no index belongs to it. Raises PolicyInvalid."""
        index = PolicyIndex.open(path)
        if index is None:
            return None
        rest = {"callers": _Callers(index), **index.head["rest"]}
        return _made(cls, rest, escrow=tuple, issuers=_issuers, web=_web)

    def chat_caller(self, platform: str, tenant: str, user: str) -> str | None:
        """Return the caller who is this chat user."""
        return next(
            (caller_id for caller_id, _ in self.callers.index.find(chat_key(platform, tenant, user))), None
        )

    def callers_bound(self, issuer: str, claims: tuple[ClaimOf, ...]) -> Collection[str]:
        """Return the callers whom these claims, sorted by name, identify."""
        return {caller_id for caller_id, _ in self.callers.index.find(claims_key(issuer, claims))}

    @property
    def chat_platforms(self) -> frozenset[str]:
        """The names of the platforms that callers have chat users at."""
        return frozenset(self.callers.index.head["platforms"])

    @property
    def v2_keys(self) -> list[str]:
        """The first key that lets a caller use API v2."""
        return list(self.callers.index.head["v2"])

    @property
    def generations(self) -> Mapping[str, int]:
        """Caller -> the generation of its secret, where it is not the first."""
        return dict(self.callers.index.head["generations"])

    @property
    def claim_names(self) -> Mapping[str, Collection[tuple[str, ...]]]:
        """Issuer -> the sorted names of claims that identify some caller."""
        names: Mapping[str, list[list[str]]] = self.callers.index.head["claims"]
        return {issuer: [tuple(one) for one in combinations] for issuer, combinations in names.items()}

    @property
    def regions(self) -> frozenset[str]:
        """All regions that the policy grants."""
        return frozenset(self.callers.index.head["regions"])
