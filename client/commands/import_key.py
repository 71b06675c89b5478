"""`keypair import`: a key that never leaves its owner."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

import click

from client.language import tr

if TYPE_CHECKING:
    from client.cli import Session


@click.command("import")
@click.argument("name")
@click.argument("file", metavar="FILE|-")
@click.option(
    "--region", metavar="REGION", help=tr("Region, such as ap-guangzhou [default: the function's].")
)
@click.option("--expires", metavar="TIME", help=tr("Remove the key pair after 90m, 12h or 30d."))
@click.option("--project", default="0", metavar="NUMBER", help=tr("Project of the key pair."))
@click.option(
    "--tag", "tags", multiple=True, metavar="KEY=VALUE", help=tr("Tag of the key pair; may be repeated.")
)
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON."))
@click.pass_obj
def import_key_command(
    session: Session,
    /,
    *,
    name: str,
    file: str,
    region: str | None,
    expires: str | None,
    project: str,
    tags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Import a public key."""
    from client.answers import IMPORTED, has_shape, incomplete
    from client.explanations import explained
    from client.order import Order, check_duration, check_name, check_project, check_region, check_tags
    from client.recipients import read_public_key
    from client.service import KEY_PAIRS

    region = region or ("" if session.local else session.profile().region)
    order = Order(
        name=check_name(name),
        recipients=(),
        region=check_region(region) if region else "",
        expires_in=check_duration(expires) if expires else "",
        project=check_project(project),
        tags=check_tags(tags),
    )
    body = {**json.loads(order.body()), "publicKey": read_public_key(file)}
    service = session.service()
    # Without an idempotency key: the function knows an order that is repeated, and there is no key to lose.
    answer = service.post(KEY_PAIRS, json.dumps(body, sort_keys=True).encode())
    if answer.status != HTTPStatus.CREATED or not answer.content:
        raise explained(answer, service, imported=name)
    if not has_shape(answer.content, IMPORTED):
        raise incomplete()
    made = answer.content
    if as_json:
        session.console.data(made)
        return
    session.console.note(
        tr("Imported {name} as {id} in {region}.", name=name, id=made["keyId"], region=made["region"])
    )
    session.console.result(str(made["keyId"]))


import_key_command.help = tr(
    """Import the RSA public key in FILE, such as ~/.ssh/id_rsa.pub, as the key pair NAME.

    Only the public half is sent. `ssh-keygen -t rsa -b 3072` makes a key."""
)
