"""`keypair list`: what one has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from client.language import tr

if TYPE_CHECKING:
    from client.cli import Session


@click.command("list")
@click.argument("name", default="")
@click.option("--region", metavar="REGION", default="", help=tr("Only this region [default: all of yours]."))
@click.option("--caller", metavar="ID", default="", help=tr("Only what this caller got, for operators."))
@click.option("--ends-within", metavar="TIME", help=tr("Only key pairs that end within 90m, 12h or 30d."))
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON."))
@click.pass_obj
def list_command(
    session: Session, /, *, name: str, region: str, caller: str, ends_within: str | None, as_json: bool
) -> None:
    """List key pairs."""
    from client.key_pairs import listed, regions_to_ask, table
    from client.order import check_pattern, check_region, seconds

    before = ""
    if ends_within:
        end = time.gmtime(time.time() + seconds(ends_within))
        before = time.strftime("%Y-%m-%dT%H:%M:%SZ", end)
    service = session.service()
    regions = regions_to_ask(service, check_region(region) if region else "")
    pairs = listed(
        service, regions, name=check_pattern(name) if name else "", caller=caller, expiringBefore=before
    )
    if as_json:
        session.console.data(pairs)
        return
    if not pairs:
        session.console.note(tr("No key pairs found."))
        return
    for line in table(pairs, service.now()):
        session.console.result(line)
    soon = [str(pair["keyName"]) for pair in pairs if pair["expiresSoon"]]
    if soon:
        session.console.note(tr("End within seven days: {names}", names=", ".join(soon)))


list_command.help = tr(
    """List your key pairs. NAME is a name or a pattern: '*' matches any characters, '?' one.

    Key pairs that end within seven days are named below the list."""
)
