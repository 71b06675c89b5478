"""A token: a JWT of an identity provider or of a CI system."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

from client.errors import UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from client.sign_in import UnsignedRequest

_SKEW = 30
"""Seconds by which the function lets clocks differ."""


class TokenSource(Protocol):
    """Where tokens come from."""

    def token(self) -> str:
        """Return a token. Raises SignInFailed or UsageProblem."""
        ...

    def renew(self) -> bool:
        """Drop a token that was refused; tell whether `token` would now bring another one without asking."""
        ...


class BearerCredential:
    """Sends a token with each request."""

    def __init__(self, source: TokenSource, audience: str) -> None:
        self._source = source
        self._audience = audience
        self._token: str | None = None

    def headers(self, request: UnsignedRequest, now: float) -> dict[str, str]:
        """Return the token; a token that has run out meanwhile is replaced."""
        del request
        expires = unverified_claims(self._token).get("exp") if self._token else None
        if self._token is None or (isinstance(expires, (int, float)) and expires < now and self.renew()):
            self._token = checked_token(self._source.token())
        return {"Authorization": f"Bearer {self._token}"}

    def renew(self) -> bool:
        """Drop the token; tell whether there is a way to another one."""
        if renewed := self._source.renew():
            self._token = None
        return renewed

    def doubts(self, now: float) -> list[str]:
        """Compare what the token says with the clock and with the audience that is configured."""
        claims = unverified_claims(self._token or "")
        found = []
        expires, issued, audience = claims.get("exp"), claims.get("iat"), claims.get("aud")
        if isinstance(expires, (int, float)) and expires + _SKEW < now:
            found.append(tr("The token ran out at {time}. Get a new one.", time=_when(expires)))
        if isinstance(issued, (int, float)) and issued - _SKEW > now:
            found.append(
                tr("The token is from the future ({time}). Check this machine's clock.", time=_when(issued))
            )
        if audience not in (self._audience, [self._audience]):
            found.append(
                tr(
                    "The token is for the audience {found!r}, the profile says {wanted!r}.",
                    found=audience,
                    wanted=self._audience,
                )
            )
        found.append(
            tr(
                "The policy has to name the issuer {issuer!r} and claims of this token (sub {subject!r}).",
                issuer=claims.get("iss"),
                subject=claims.get("sub"),
            )
        )
        return found


def checked_token(token: str) -> str:
    """Return a token without surrounding blanks. Raises UsageProblem if it is not a JWT."""
    token = token.strip()
    if not unverified_claims(token):
        raise UsageProblem(
            tr("The token is not a JWT."),
            tr("A JWT has three parts with dots between, and begins with 'ey'."),
        )
    return token


def unverified_claims(token: str) -> dict[str, Any]:
    """Return what a token says, for messages only; nothing verifies it here. Empty if it is not a JWT."""
    parts = token.split(".")
    try:
        _, payload, _ = parts
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):  # the latter for brackets in brackets without end
        return {}
    return claims if isinstance(claims, dict) else {}


def _when(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
