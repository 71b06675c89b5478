"""`keypair show`: one key pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client.language import tr

if TYPE_CHECKING:
    from client.cli import Session


@click.command("show")
@click.argument("name")
@click.option("--region", metavar="REGION", default="", help=tr("Only this region [default: all of yours]."))
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON."))
@click.pass_obj
def show_command(session: Session, /, *, name: str, region: str, as_json: bool) -> None:
    """Show a key pair."""
    from client.key_pairs import ends, found, local_day, regions_to_ask
    from client.order import check_region

    service = session.service()
    pair = found(service, regions_to_ask(service, check_region(region) if region else ""), name)
    if as_json:
        session.console.data(pair)
        return
    say = session.console.result
    say(tr("{name}  {id}  {region}", name=pair["keyName"], id=pair["keyId"], region=pair["region"]))
    say("  " + tr("Fingerprint  {fingerprint}", fingerprint=pair["fingerprint"] or "-"))
    say("  " + tr("Caller       {caller}", caller=pair["caller"]))
    say("  " + tr("Made         {time}", time=local_day(pair["createdAt"])))
    say("  " + tr("Expires      {time}", time=ends(pair, service.now())))
    say("  " + tr("Used by      {servers}", servers=", ".join(pair["instanceIds"]) or "-"))
    tags = ", ".join(f"{key}={value}" for key, value in sorted(pair["tags"].items()))
    say("  " + tr("Tags         {tags}", tags=tags or "-"))
    say("  " + tr("Public key   {key}", key=pair["publicKey"] or "-"))


show_command.help = tr("Show the key pair with this name or id. The private key is not stored anywhere.")
