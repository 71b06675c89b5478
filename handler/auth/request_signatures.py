"""What is the same for both signatures, TC3 and that of the legacy API v2, on the side that verifies."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from handler.auth.caller_secrets import derive_secret
from handler.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handler.auth.caller_secrets import Scheme
    from handler.scf.invocation import Clock

WINDOW = 300
"""Seconds that a timestamp may be off, either way; the same as the cloud's own."""

_PORT = re.compile(r":[0-9]+$")
_TIMESTAMP = re.compile(r"[0-9]{1,11}")


def signed_hosts(hosts: Sequence[str]) -> list[str]:
    """Return the values that a client of these hosts may have signed: each with its port and without it.

    The Host header itself is never believed: with it, a signature made for another service that shares the
    secret would verify here. The Python SDK signs `name:port`, the Node SDK the name alone.
    """
    names = [name for host in hosts for name in (host, _PORT.sub("", host))]
    return list(dict.fromkeys(names))


@dataclass(frozen=True)
class SignatureVerifier:
    """Verifies requests that are addressed to one of `hosts`.

    The callers' secrets are derived from `master_secrets`: two of them while they are rotated. Whether an id
    is a caller's is not known here: a secret can be derived for any id, so an unknown one costs the same work
    and gets the same answer as a wrong secret.
    """

    master_secrets: Sequence[bytes] = field(repr=False)
    hosts: Sequence[str]
    clock: Clock

    scheme: ClassVar[Scheme]
    """Also what the reasons begin with for which a request is refused."""

    def _timestamp(self, text: str) -> int:
        """Return the time at which a request was signed; raise Unauthenticated if that is not now."""
        if not _TIMESTAMP.fullmatch(text):
            raise Unauthenticated(f"{self.scheme}-timestamp")
        timestamp = int(text)
        if abs(self.clock.now() - timestamp) > WINDOW:
            raise Unauthenticated(f"{self.scheme}-window")
        return timestamp

    def _require(self, signature: str, caller_id: str, sign: Callable[[str, str], str]) -> None:
        """Raise Unauthenticated unless `sign` makes `signature` of a secret of the caller and a host."""
        matched = False
        for secret in [derive_secret(master, self.scheme, caller_id) for master in self.master_secrets]:
            for host in signed_hosts(self.hosts):
                # No early exit: the time taken must not tell which host or secret came close. As text, not as
                # bytes: one signature has several spellings in base64, and it names the request.
                matched |= hmac.compare_digest(sign(secret, host), signature)
        if not matched:
            raise Unauthenticated(f"{self.scheme}-signature")
