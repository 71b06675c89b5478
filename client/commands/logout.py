"""`keypair logout`: forgets what `keypair login` stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client.language import tr

if TYPE_CHECKING:
    from client.cli import Session


@click.command("logout")
@click.pass_obj
def logout_command(session: Session, /) -> None:
    """Forget the stored secret or sign-in."""
    from client.secret_store import all_stores
    from client.sign_in.oauth import token_name
    from client.sign_in.secret import secret_name

    profile = session.profile()
    for store in all_stores():
        for name in (secret_name(profile), token_name(profile)):
            store.delete(name)
        session.console.note(tr("Forgotten in {place}.", place=store.description))


logout_command.help = tr("Forget the stored secret or sign-in of the profile.")
