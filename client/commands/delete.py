"""`keypair delete`: takes key pairs back."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

import click

from client.errors import ClientError, UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from client.cli import Session
    from client.key_pairs import KeyPair
    from client.service import Service


@click.command("delete")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--caller", metavar="ID", default="", help=tr("All that this caller got, for operators."))
@click.option("--region", metavar="REGION", default="", help=tr("Only this region [default: all of yours]."))
@click.option("--yes", is_flag=True, help=tr("Do not ask."))
@click.pass_obj
def delete_command(
    session: Session, /, *, names: tuple[str, ...], caller: str, region: str, yes: bool
) -> None:
    """Delete key pairs, after a question."""
    from client.key_pairs import found, listed, regions_to_ask, table
    from client.order import check_region

    if bool(names) == bool(caller):
        raise UsageProblem(tr("Give names, or --caller."), tr("For example: keypair delete web_1"))
    service = session.service()
    regions = regions_to_ask(service, check_region(region) if region else "")
    pairs = (
        listed(service, regions, caller=caller)
        if caller
        else [found(service, regions, name) for name in dict.fromkeys(names)]
    )
    if not pairs:
        session.console.note(tr("No key pairs found."))
        # The function lists what the grants reach, and does not tell what they leave out.
        session.console.note(tr("Without a grant that reaches {caller}, none is shown.", caller=caller))
        return
    for line in table(pairs, service.now()):
        session.console.note(line)
    if yes or _agreed(session, len(pairs)):
        _delete(session, service, pairs)
    else:
        session.console.note(tr("Nothing was deleted."))


delete_command.help = tr(
    """Delete key pairs by name or id, after a question.

    This locks nobody out of a server that has the public key in authorized_keys: remove it there as well."""
)


def _agreed(session: Session, number: int) -> bool:
    if not session.console.interactive:
        raise UsageProblem(
            tr("This is not a terminal, so nobody can be asked."),
            tr("Add --yes to delete without a question."),
        )
    return click.confirm(
        tr("Key pairs to delete: {number}. This cannot be undone. Go on?", number=number), err=True
    )


def _delete(session: Session, service: Service, pairs: Sequence[KeyPair]) -> None:
    """Delete as many as possible; raise the first refusal after that."""
    from client.explanations import explained
    from client.service import KEY_PAIRS

    refusals: list[ClientError] = []
    for pair in pairs:
        answer = service.ask("DELETE", f"{KEY_PAIRS}/{pair['keyId']}", {"region": str(pair["region"])})
        if answer.status == HTTPStatus.NO_CONTENT:
            session.console.result(tr("Deleted {name} ({id})", name=pair["keyName"], id=pair["keyId"]))
            _forget_answer(service, pair)
            _say_what_stays(session, str(pair["keyName"]))
        else:
            refusals.append(explained(answer, service))
            session.console.important(f"{pair['keyName']}: {refusals[-1]}")
    if refusals:
        raise refusals[0]


def _forget_answer(service: Service, pair: KeyPair) -> None:
    """Drop the answer that an interrupted `create` has kept: it would hand out the deleted key pair."""
    from client.folders import state_folder
    from client.order import check_name
    from client.pending import pending_file

    if not (state_folder() / "pending").exists():
        return
    # Another command holds the request, or it cannot be read: then that is for `create` to say. The name is
    # the function's, and becomes a part of a path.
    with (
        suppress(ClientError, OSError),
        pending_file(check_name(str(pair["keyName"])), service.profile.url) as pending,
    ):
        answer = pending.request.answer if pending.request else None
        if answer and answer.get("keyId") == pair["keyId"]:
            pending.forget()


def _say_what_stays(session: Session, name: str) -> None:
    """Name what `create` wrote on this machine: servers may still trust the key, so it is left alone."""
    from client.folders import shown, ssh_folder
    from client.ssh_config import SshConfig

    path = ssh_folder() / name
    if path.exists():
        session.console.note(
            tr("  {file} is still here. Remove it when no server trusts the key any more.", file=shown(path))
        )
    config = SshConfig(ssh_folder())
    if config.has(name):
        session.console.note(
            tr("  {file} still has a block for the host {name}.", file=shown(config.file), name=name)
        )
