"""`keypair logout`: forgets what `keypair login` stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client.errors import UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from client.cli import Session


@click.command("logout")
@click.pass_obj
def logout_command(session: Session, /) -> None:
    """Forget the stored secret or sign-in."""
    from client.secret_store import all_stores
    from client.sign_in import stored_names

    if session.local:
        raise UsageProblem(tr("--local needs no sign-in, so nothing is stored for it."), tr("Leave it out."))
    profile = session.profile()
    forgotten = False
    for store in all_stores():
        deleted = [store.delete(name) for name in stored_names(profile)]
        if any(deleted):
            session.console.note(tr("Forgotten in {place}.", place=store.description))
            forgotten = True
    if not forgotten:
        session.console.note(tr("Nothing is stored for this profile at {url}.", url=profile.url))


logout_command.help = tr("Forget the stored secret or sign-in of the profile.")
