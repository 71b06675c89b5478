"""`keypair create`: from a name to a private key that logs in."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.console import WELL
from client.errors import ClientError, UsageProblem
from client.language import tr
from client.order import FORMATS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.cli import Session
    from client.destinations import Agent, Envelope, File, Result
    from client.order import Order
    from client.pending import PendingFile, PendingRequest
    from client.service import Service


@click.command("create")
@click.argument("name")
@click.option(
    "--region", metavar="REGION", help=tr("Region, such as ap-guangzhou [default: the function's].")
)
@click.option("--expires", metavar="TIME", help=tr("Remove the key pair after 90m, 12h or 30d."))
@click.option("--project", default="0", metavar="NUMBER", help=tr("Project of the key pair."))
@click.option(
    "--tag", "tags", multiple=True, metavar="KEY=VALUE", help=tr("Tag of the key pair; may be repeated.")
)
@click.option(
    "--format",
    "key_format",
    type=click.Choice(FORMATS),
    default="pkcs1",
    show_default=True,
    help=tr("How the private key is written; ppk is PuTTY's."),
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help=tr("Save it there [default: ~/.ssh/NAME; ~/.ssh/NAME.ppk; NAME.age or the like for --recipient]."),
)
@click.option("--agent", is_flag=True, help=tr("Put the private key into ssh-agent and into no file."))
@click.option("--lifetime", metavar="TIME", help=tr("With --agent: remove it from there after this time."))
@click.option(
    "--host",
    metavar="[USER@]HOST",
    help=tr("Make `ssh NAME` log in to this server, as root if no USER is named."),
)
@click.option(
    "--include/--no-include",
    default=None,
    help=tr("With --host: add the Include line to ~/.ssh/config, or do not ask."),
)
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="FILE|-|KEY",
    help=tr("Seal to this public key instead, and save the envelope; may be repeated."),
)
@click.option(
    "--registered", is_flag=True, help=tr("Seal to the public keys that the policy registers for you.")
)
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON."))
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help=tr("Give up after this time; the same command goes on later."),
)
@click.option(
    "--start-over",
    is_flag=True,
    help=tr("Give up an unfinished request of this name. A key pair of it cannot be opened any more."),
)
@click.pass_obj
def create_command(session: Session, /, **options: Any) -> None:  # noqa: ANN401  # click's own
    """Make a key pair and save its private key."""
    create(session, Options(**options))


create_command.help = tr(
    """Make a key pair, open what comes back, check it, and save the private key as ~/.ssh/NAME.

    Nothing is lost if this is interrupted: the same command goes on where it stopped."""
)


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    name: str
    region: str | None = None
    expires: str | None = None
    project: str = "0"
    tags: tuple[str, ...] = ()
    key_format: str = "pkcs1"
    save: Path | None = None
    agent: bool = False
    lifetime: str | None = None
    host: str | None = None
    include: bool | None = None
    recipients: tuple[str, ...] = ()
    registered: bool = False
    as_json: bool = False
    timeout: float = 120.0
    start_over: bool = False


def create(session: Session, options: Options) -> None:
    """Do what the command is for. Raises a ClientError."""
    from client.pending import pending_file

    order = _order(session, options)
    destination = _destination(options)
    destination.prepare()
    service = session.service(options.timeout)
    with pending_file(order.name, service.profile.url) as pending:
        if options.start_over:
            pending.forget()
        destination.require_free(pending.request)
        begun_before = pending.request is not None
        request = _request(pending, order, service, own_key=not destination.for_others)
        answer = request.answer
        if answer is None:
            answer = _ordered(service, pending, request, begun_before=begun_before)
            if destination.keeps_answer:
                # From here on not even the function is needed.
                pending.keep_answer(answer)
        result = destination.deliver(request, answer)
        # Report before deleting the request: if the user saw nothing, the next run must find it.
        _report(session, options, answer, result)
        pending.forget()


def _order(session: Session, options: Options) -> Order:
    from client.order import Order, check_duration, check_name, check_project, check_region, check_tags
    from client.recipients import read_recipients

    _check_combination(options)
    region = options.region or ("" if session.local else session.profile().region)
    return Order(
        name=check_name(options.name),
        recipients=read_recipients(options.recipients),
        region=check_region(region) if region else "",
        expires_in=check_duration(options.expires) if options.expires else "",
        project=check_project(options.project),
        tags=check_tags(options.tags),
        key_format=options.key_format,
    )


def _destination(options: Options) -> File | Agent | Envelope:
    from client.destinations import Agent, Envelope, File
    from client.folders import ssh_folder
    from client.order import seconds
    from client.ssh_config import parse_host

    if options.recipients or options.registered:
        return Envelope(options.name, options.save)
    host = None if options.host is None else parse_host(options.host)
    if options.agent:
        lifetime = seconds(options.lifetime) if options.lifetime else None
        return Agent(options.name, lifetime, host)
    suffix = ".ppk" if options.key_format == "ppk" else ""
    path = options.save or ssh_folder() / f"{options.name}{suffix}"
    return File(options.name, path.expanduser().absolute(), options.key_format, host)


def _check_combination(options: Options) -> None:
    from client.ssh_agent import check_options

    if options.include is not None and not options.host:
        raise UsageProblem(tr("--include needs --host."), tr("Add --host USER@HOST, or leave it out."))
    check_options(agent=options.agent, save=options.save, lifetime=options.lifetime)
    for_others = options.recipients or options.registered
    conflicts = (
        ("--recipient", options.recipients, "--registered", options.registered),
        ("--agent", options.agent, "--recipient", for_others),
        ("--host", options.host, "--recipient", for_others),
        ("--format ppk", options.key_format == "ppk", "--recipient", for_others),
        ("--format ppk", options.key_format == "ppk", "--host", options.host),
    )
    for one, first, other, second in conflicts:
        if first and second:
            raise UsageProblem(
                tr("{one} and {other} cannot be used together.", one=one, other=other),
                tr("Leave one of them out."),
            )


def _request(pending: PendingFile, order: Order, service: Service, *, own_key: bool) -> PendingRequest:
    """Return the unfinished request of this name, or write down a new one."""
    from dataclasses import replace

    from client.envelopes import age
    from client.order import same_order
    from client.pending import new_request

    url = service.profile.url
    if found := pending.request:
        whose = bool(found.identity) == own_key and (own_key or found.body == order.body().decode())
        if not same_order(found.body.encode(), order.body()) or not whose:
            raise UsageProblem(
                tr("There is an unfinished request for {name} with other options.", name=order.name),
                tr("Run it with the same options as before, or add --start-over to give it up."),
            )
        service.console.note(tr("Going on with the unfinished request for {name}.", name=order.name))
        return found
    identity = ""
    if own_key:
        identity, recipient = age.new_identity()
        order = replace(order, recipients=(recipient,))
    request = new_request(order.name, url, order.body(), identity)
    pending.save(request)
    return request


def _ordered(
    service: Service, pending: PendingFile, request: PendingRequest, *, begun_before: bool
) -> dict[str, Any]:
    """Return the function's answer. A refusal ends the request if it can have made nothing."""
    from client.answers import ISSUED, has_shape, incomplete
    from client.explanations import explained, kept_request
    from client.service import KEY_PAIRS

    try:
        answer = service.post(
            KEY_PAIRS, request.body.encode(), request.idempotency_key, sent_before=begun_before
        )
    except ClientError:
        if not service.doubtful:
            pending.forget()  # it never left this machine
        raise
    if answer.status == HTTPStatus.CREATED and answer.content:
        if has_shape(answer.content, ISSUED):
            return dict(answer.content)
        # Another answer is not kept: it would be final.
        error = incomplete()
        error.advice += " " + kept_request()
        raise error
    if not service.doubtful:
        pending.forget()
    raise explained(answer, service, request, unfinished=pending.request is not None)


def _report(session: Session, options: Options, answer: Mapping[str, Any], result: Result) -> None:
    next_command = result.next_command
    if options.host and next_command.startswith("ssh -F"):
        next_command = _offer_include(session, options, next_command)
    if options.as_json:
        shown = {name: value for name, value in answer.items() if name != "sealedPrivateKey"}
        session.console.data({**shown, **result.described, "next": next_command})
        return
    say = session.console.note
    say(
        tr(
            "Key pair {name} ({id}) in {region}",
            name=answer["keyName"],
            id=answer["keyId"],
            region=answer["region"],
        ),
        WELL,
    )
    say("  " + tr("Fingerprint  {fingerprint}", fingerprint=answer["fingerprint"]))
    if answer.get("expiresAt"):
        say("  " + tr("Expires      {time}", time=_local_time(answer["expiresAt"])))
    for line in result.lines:
        say("  " + line)
    if not options.recipients and not options.registered:
        say(
            tr(
                "Bind it to a server when you make one (console, API, Terraform: {id}), then:",
                id=answer["keyId"],
            )
        )
    session.console.result(next_command)


def _offer_include(session: Session, options: Options, command: str) -> str:
    from client.folders import ssh_folder
    from client.ssh_config import INCLUDE, SshConfig

    wanted = options.include
    if wanted is None and session.console.interactive and not options.as_json:
        wanted = click.confirm(
            tr("Add the line `{line}` to ~/.ssh/config?", line=INCLUDE), default=True, err=True
        )
    if wanted:
        SshConfig(ssh_folder()).include()
        return f"ssh {options.name}"
    session.console.note(
        tr(
            "For plain `ssh {name}`, put this line at the top of ~/.ssh/config: {line}",
            name=options.name,
            line=INCLUDE,
        )
    )
    return command


def _local_time(text: str) -> str:
    from client.answers import moment

    return moment(text).astimezone().strftime("%Y-%m-%d %H:%M %Z")
