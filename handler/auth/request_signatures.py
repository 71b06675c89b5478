"""What the verification of both request signatures shares: TC3 of API v3, and the one of API v2."""

from __future__ import annotations

import re
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from handler.auth.master_secret import is_one_of
from handler.auth.time_window import SIGNATURE_WINDOW
from handler.errors import Unauthenticated
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from handler.auth.master_secret import MasterSecrets, Purpose
    from handler.scf.invocation import Clock

_PORT = re.compile(r":[0-9]+$")
_TIMESTAMP = re.compile(r"[0-9]{1,11}")


@dataclass(frozen=True)
class SignatureVerifier:
    """Verifies requests that are addressed to one of `hosts`.

    The callers' secrets are derived from the master secrets. The verifier does not know which ids are
    callers': a secret can be derived for any id, so an unknown id costs the same work and gets the same
    answer as a wrong secret.
    """

    master_secrets: MasterSecrets
    hosts: Sequence[str]
    clock: Clock
    generations: Mapping[str, int] = field(default_factory=dict)
    """Caller -> the generation of its secret, where it is not the first."""

    scheme: ClassVar[str]
    """The prefix of the reasons for which a request is refused."""
    purpose: ClassVar[Purpose]

    @cached_property
    def signed_hosts(self) -> list[str]:
        """What a client of these hosts may have signed: each host with and without its port.

        The Host header itself is never trusted: otherwise a signature made for another service that shares
        the secret would verify here. The Python SDK signs `name:port`, the Node SDK the name alone.
        """
        names = [name for host in self.hosts for name in (host, _PORT.sub("", host))]
        return list(dict.fromkeys(names))

    def _timestamp(self, text: str) -> int:
        """Return the time at which a request was signed; raise Unauthenticated if it is not recent."""
        if not _TIMESTAMP.fullmatch(text):
            raise Unauthenticated(f"{self.scheme}-timestamp")
        timestamp = int(text)
        if not SIGNATURE_WINDOW.contains(timestamp, self.clock.now()):
            raise Unauthenticated(f"{self.scheme}-window")
        return timestamp

    def _secrets(self, caller_id: str) -> list[str]:
        """Return the secret of a caller under each master secret."""
        generation = self.generations.get(caller_id, 1)
        return self.master_secrets.caller_secrets(self.purpose, caller_id, generation)

    def _require_match(self, signature: str, expected: Iterable[str]) -> None:
        """Raise Unauthenticated unless `signature` is among `expected`."""
        # As text: one signature has several spellings in base64, and its text identifies the request.
        if not is_one_of(signature, expected):
            raise Unauthenticated(f"{self.scheme}-signature")
