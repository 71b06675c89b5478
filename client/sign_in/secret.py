"""An id and a secret: requests are signed with TC3-HMAC-SHA256.

https://cloud.tencent.com/document/api/213/30654
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from client.errors import UsageProblem
from client.language import tr
from client.secret_store import open_store

if TYPE_CHECKING:
    from client.profiles import Profile
    from client.sign_in import UnsignedRequest

_SCHEME = "TC3-HMAC-SHA256"
# The function takes any service name; the SDKs for Python and Go sign this one.
_SERVICE = "cvm"
# 32 bytes in base64url, as the function derives them for its callers.
_SECRET_LENGTH = 43
_SECRET_KEY = re.compile(rf"[A-Za-z0-9_-]{{{_SECRET_LENGTH}}}")
_SECRET_ID = re.compile(r"[^/,\s]{1,64}")


@dataclass(frozen=True)
class SecretCredential:
    """Signs requests with a caller's secret. Raises UsageProblem for what cannot be an id or a secret."""

    secret_id: str
    secret_key: str = field(repr=False)

    def __post_init__(self) -> None:
        check_secret_id(self.secret_id)
        check_secret_key(self.secret_key)

    def headers(self, request: UnsignedRequest, now: float) -> dict[str, str]:
        """Return the signature over method, path, query, headers and body."""
        names = sorted(request.headers)
        # TC3 lower-cases header values, alone among signature schemes.
        canonical_headers = "".join(f"{name}:{request.headers[name].strip().lower()}\n" for name in names)
        digest = hashlib.sha256(request.body).hexdigest()
        parts = (request.method, request.path, request.query, canonical_headers, ";".join(names), digest)
        canonical = "\n".join(parts)
        date = datetime.fromtimestamp(int(now), timezone.utc).strftime("%Y-%m-%d")
        scope = f"{date}/{_SERVICE}/tc3_request"
        text = f"{_SCHEME}\n{int(now)}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"TC3{self.secret_key}".encode()
        for part in (date, _SERVICE, "tc3_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return {
            "X-TC-Timestamp": str(int(now)),
            "Authorization": f"{_SCHEME} Credential={self.secret_id}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={signature}",
        }

    def renew(self) -> bool:
        """Return False: a secret stays what it is."""
        return False

    def doubts(self, now: float) -> list[str]:
        """Return nothing: what can be seen to be wrong was refused before."""
        del now
        return []


def check_secret_id(secret_id: str) -> None:
    """Raise UsageProblem for what cannot be the id of a caller."""
    if secret_id != secret_id.strip():
        raise UsageProblem(
            tr("The secret id {id!r} has blanks around it.", id=secret_id), tr("Remove the blanks.")
        )
    if secret_id.startswith("AKID"):
        raise UsageProblem(
            tr("{id} is a SecretId of Tencent Cloud.", id=secret_id),
            tr("The function has its own ids and secrets; ask its operator for yours."),
        )
    if not _SECRET_ID.fullmatch(secret_id):
        raise UsageProblem(
            tr("{id!r} cannot be the id of a caller.", id=secret_id),
            tr("It has no blanks, slashes or commas; copy it again from the function's operator."),
        )


def check_secret_key(secret_key: str) -> None:
    """Raise UsageProblem for what cannot be a secret of the function; the message does not quote it."""
    if not _SECRET_KEY.fullmatch(secret_key):
        length = len(secret_key)
        raise UsageProblem(
            tr("The secret key cannot be right: its length is {length}.", length=length)
            if length != _SECRET_LENGTH
            else tr("The secret key cannot be right: it has characters that no secret has."),
            tr("It has 43 letters, digits, '-' and '_'. Copy it again, without blanks or quotes."),
        )


def stored_secret_key(profile: Profile) -> str | None:
    """Return the secret that `keypair login` stored."""
    return open_store().get(secret_name(profile))


def secret_name(profile: Profile) -> str:
    """Return the name under which a profile's secret is stored."""
    return f"secret {profile.secret_id} at {profile.url}"
