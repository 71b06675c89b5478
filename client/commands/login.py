"""`keypair login`: stores a secret, or signs in as a person."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from client.errors import UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from client.cli import Session
    from client.profiles import Profile


@click.command("login")
@click.option("--stdin", is_flag=True, help=tr("Read the secret key from standard input instead of asking."))
@click.pass_obj
def login_command(session: Session, /, *, stdin: bool) -> None:
    """Sign in as the profile says."""
    if session.local:
        raise UsageProblem(tr("--local needs no sign-in."), tr("Run: keypair --local create NAME"))
    profile = session.profile()
    if profile.method in {"device", "browser"}:
        from client.sign_in.bearer import unverified_claims
        from client.sign_in.oauth import OAuthTokens

        claims = unverified_claims(OAuthTokens(profile, session.console).sign_in())
        who = claims.get("preferred_username") or claims.get("email") or claims.get("sub")
        session.console.note(tr("Signed in as {who}.", who=who))
    elif profile.method in {"secret", "ci"}:
        _store_secret(session, profile, from_stdin=stdin)
    else:
        raise UsageProblem(
            tr("The profile signs in with {method}; there is nothing to store.", method=profile.method),
            tr("To change that: keypair config set sign-in secret, device or browser"),
        )


login_command.help = tr(
    """Store the secret that the function's operator gave you, or sign in at the identity provider.

    Secrets go into the system's keyring, or into a file that only you can read."""
)


def _store_secret(session: Session, profile: Profile, *, from_stdin: bool) -> None:
    from client.profiles import ProfileFile
    from client.secret_store import open_store
    from client.sign_in.secret import check_secret_id, check_secret_key, secret_name

    if not profile.secret_id and from_stdin:
        raise UsageProblem(
            tr("The profile has no secret id."), tr("Set it: keypair config set secret-id NAME")
        )
    if not from_stdin and not session.console.interactive:
        raise UsageProblem(
            tr("This is not a terminal, so nobody can be asked."),
            tr("Pipe the secret key into: keypair login --stdin"),
        )
    secret_id = profile.secret_id or click.prompt(tr("Secret id"), err=True)
    check_secret_id(secret_id)
    secret_key = (
        sys.stdin.readline().rstrip("\r\n")
        if from_stdin
        else click.prompt(tr("Secret key"), hide_input=True, err=True)
    )
    check_secret_key(secret_key)
    stored = ProfileFile.read()
    stored.set(profile.name, "url", profile.url)
    stored.set(profile.name, "secret-id", secret_id)
    store = open_store()
    store.set(secret_name(replace(profile, secret_id=secret_id)), secret_key)
    session.console.note(tr("Stored in {place}. Check it with: keypair doctor", place=store.description))
