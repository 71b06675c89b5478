"""`keypair config`: shows and changes the profiles."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from client.errors import ClientError, UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from client.cli import Session
    from client.profiles import Profile


@click.group("config", invoke_without_command=True)
@click.pass_context
def config_command(ctx: click.Context) -> None:
    """Show the profiles."""
    if ctx.invoked_subcommand is not None:
        return
    from client.folders import shown
    from client.profiles import ProfileFile

    session: Session = ctx.obj
    stored = ProfileFile.read()
    session.console.note(shown(stored.path))
    for name in stored.names():
        mark = "*" if name == stored.default else " "
        session.console.result(f"{mark} {name}")
        for key, value in stored.settings(name).items():
            session.console.result(f"    {key.replace('_', '-')} = {value}")
    if not stored.names():
        session.console.note(tr("No profiles yet. Make one: keypair config set url https://…"))


config_command.help = tr(
    """Show the profiles, or change them with the commands below.

    Settings: url, region, sign-in (secret, ci, token-command, device, browser), secret-id, audience, issuer,
    client-id, scope, token-command. The environment has them as KP_URL, KP_SECRET_ID and so on, and secrets
    as KP_SECRET_KEY and KP_TOKEN."""
)


@config_command.command("set", help=tr("Change a setting of the profile; an empty value removes it."))
@click.argument("setting")
@click.argument("value")
@click.pass_obj
def set_command(session: Session, /, *, setting: str, value: str) -> None:
    """Change a setting."""
    from client.profiles import Profile, ProfileFile

    _require_profile(session)
    stored = ProfileFile.read()
    name = session.profile_name or stored.default
    before = Profile(name, **stored.settings(name))
    stored.set(name, setting, value)
    _say_what_stays(session, before, Profile(name, **stored.settings(name)), setting)


def _say_what_stays(session: Session, before: Profile, now: Profile, setting: str) -> None:
    """Say how to forget a secret that the profile does not find any more."""
    from client.profiles import ENVIRONMENT_PREFIX
    from client.secret_store import all_stores
    from client.sign_in import stored_names

    names = set(stored_names(before)) - set(stored_names(now))
    kept = False
    # The setting is changed already; whoever signs in or out is told what is wrong with the store.
    with suppress(ClientError):
        kept = any(store.get(name) is not None for store in all_stores() for name in names)
    if kept:
        old = getattr(before, setting.replace("-", "_"))
        variable = f"{ENVIRONMENT_PREFIX}{setting.replace('-', '_').upper()}={shlex.quote(old)}"
        session.console.note(
            tr(
                "What is stored for {old} stays. To forget it: {command}",
                old=old,
                command=f"{variable} keypair --profile {before.name} logout",
            )
        )


@config_command.command("use", help=tr("Make NAME the profile that is used when none is named."))
@click.argument("name")
@click.pass_obj
def use_command(session: Session, /, *, name: str) -> None:
    """Change the default profile."""
    from client.profiles import ProfileFile

    _require_profile(session)
    ProfileFile.read().use(name)


def _require_profile(session: Session) -> None:
    if session.local:
        raise UsageProblem(
            tr("The profile of --local is written by `scripts/serve` and is not changed here."),
            tr("To change a profile of yours, leave --local out."),
        )
