"""Signing in: what a request carries to prove who sends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from client.errors import SignInFailed
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.console import Console
    from client.profiles import Profile


@dataclass(frozen=True)
class UnsignedRequest:
    """A request as it goes out, but for its proof. `headers` has lower-case names, all to be signed."""

    method: str
    path: str
    query: str
    """As it is in the URL, its parameters in the order of their names."""
    headers: Mapping[str, str]
    body: bytes


class Credential(Protocol):
    """Proves who sends a request."""

    def headers(self, request: UnsignedRequest, now: float) -> dict[str, str]:
        """Return the headers that prove it; `now` is Unix time in seconds."""
        ...

    def renew(self) -> bool:
        """Replace what was refused, where that is possible without asking; tell whether it was."""
        ...

    def doubts(self, now: float) -> list[str]:
        """Return what this machine can see to be wrong with it, each with what to do."""
        ...


def stored_names(profile: Profile) -> tuple[str, str]:
    """Return the names under which `client.secret_store` may keep something for a profile."""
    from client.sign_in.oauth import token_name
    from client.sign_in.secret import secret_name

    return secret_name(profile), token_name(profile)


def credential_for(profile: Profile, console: Console) -> Credential:
    """Return how `profile` signs in. Raises SignInFailed or UsageProblem."""
    if profile.method == "secret":
        from client.sign_in.secret import SecretCredential, stored_secret_key

        secret_key = profile.secret_key or stored_secret_key(profile)
        if not profile.secret_id or not secret_key:
            raise SignInFailed(
                tr("Not signed in to {url}.", url=profile.url),
                tr("Run `keypair login`, or set KP_SECRET_ID and KP_SECRET_KEY."),
            )
        return SecretCredential(profile.secret_id, secret_key)
    from client.sign_in.bearer import BearerCredential
    from client.sign_in.tokens import token_source

    return BearerCredential(token_source(profile, console), profile.wanted_audience)
