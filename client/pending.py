"""Requests that are not finished: written down before they leave, so that none is lost on this machine.

One file a request, in the state folder: the identity that the answer is sealed to, the idempotency key and
the body. Whatever happens to the process, the same request can be sent again, and its answer opened.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from client.errors import LocalFailure, Unavailable
from client.files import Busy, locked, partial_file, remove, replace_private
from client.folders import private_folder, shown, state_folder
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class PendingRequest:
    """A request that may have been sent."""

    name: str
    url: str
    body: str
    idempotency_key: str
    identity: str = field(default="", repr=False)
    """The throw-away age identity; empty where the envelope is for somebody else."""
    created: float = 0.0
    """Unix time, in seconds."""
    answer: Mapping[str, Any] | None = None
    """The function's answer once it is here, except where the key must not touch the disk."""


@dataclass
class PendingFile:
    """The place of one pending request, held against other processes."""

    path: Path
    request: PendingRequest | None

    def save(self, request: PendingRequest) -> None:
        """Write the request down; it is on the disk when this returns. Raises LocalFailure."""
        try:
            replace_private(self.path, json.dumps(asdict(request)).encode())
        except OSError as error:
            raise LocalFailure(
                tr("{file} cannot be written: {error}", file=shown(self.path), error=error.strerror),
                tr("Nothing was sent. Make room, or correct the permissions of that folder."),
            ) from None
        self.request = request

    def keep_answer(self, answer: Mapping[str, Any]) -> None:
        """Add the function's answer."""
        if self.request is None:
            return
        try:
            self.save(replace(self.request, answer=answer))
        except LocalFailure as failure:
            raise LocalFailure(
                str(failure),
                tr("The key pair was made. Make room, and run the same command again: it gets the same key."),
            ) from None

    def forget(self) -> None:
        """Delete the request: it is finished, or nothing came of it."""
        remove(self.path)
        partial_file(self.path).unlink(missing_ok=True)
        self.request = None


def new_request(name: str, url: str, body: bytes, identity: str) -> PendingRequest:
    """Return a request with an idempotency key of its own."""
    # Hexadecimal: TC3 lower-cases what it signs, so a key must not depend on letter case.
    return PendingRequest(name, url, body.decode(), secrets.token_hex(16), identity, time.time())


@contextmanager
def pending_file(name: str, url: str) -> Iterator[PendingFile]:
    """Hold the place of the request for `name` at `url`; raise Unavailable while another process does."""
    folder = private_folder(state_folder() / "pending")
    place = hashlib.sha256(url.encode()).hexdigest()[:12]
    path = folder / f"{name}.{place}.json"
    try:
        with locked(path.with_suffix(".lock")):
            yield PendingFile(path, _read(path))
    except Busy:
        raise Unavailable(
            tr("Another `keypair create {name}` is running.", name=name), tr("Wait until it has ended.")
        ) from None


def _read(path: Path) -> PendingRequest | None:
    partial_file(path).unlink(missing_ok=True)
    try:
        return PendingRequest(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise LocalFailure(
            tr("{file} cannot be read: {error}", file=shown(path), error=error),
            tr("It holds an unfinished request. Move it away to start again."),
        ) from None
