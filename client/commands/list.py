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
    from client.key_pairs import is_over, listed, regions_to_ask, table
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
        if caller:
            # The function lists what the grants reach, and does not tell what they leave out.
            session.console.note(tr("Without a grant that reaches {caller}, none is shown.", caller=caller))
        return
    for line in table(pairs, service.now()):
        session.console.result(line)
    soon = [pair for pair in pairs if pair["expiresSoon"]]
    over = [str(pair["keyName"]) for pair in soon if is_over(pair, service.now())]
    ahead = [str(pair["keyName"]) for pair in soon if not is_over(pair, service.now())]
    if ahead:
        session.console.note(tr("End within seven days: {names}", names=", ".join(ahead)))
    if over:
        session.console.note(tr("Expired, and removed soon: {names}", names=", ".join(over)))


list_command.help = tr(
    """List your key pairs. NAME is a name or a pattern: '*' matches any characters, '?' one.

    Key pairs that end within seven days are named below the list."""
)
