"""`keypair doctor`: checks each step between this machine and a key, and says what to do."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import click

from client.console import ATTENTION, BROKEN, WELL
from client.errors import ClientError
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from client.cli import Session
    from client.profiles import Profile
    from client.service import Service

_SECONDS = 20.0


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, and what to do if it is not well."""

    name: str
    detail: str
    advice: str = ""
    optional: bool = False

    @property
    def well(self) -> bool:
        """Whether nothing has to be done."""
        return not self.advice


@click.command("doctor")
@click.pass_context
def doctor_command(ctx: click.Context, /) -> None:
    """Check everything and say what to do."""
    session: Session = ctx.obj
    broken = False
    for finding in _findings(session):
        mark = BROKEN
        if finding.well:
            mark = WELL
        elif finding.optional:
            mark = ATTENTION
        session.console.result(f"{finding.name}: {finding.detail}", mark)
        if finding.advice:
            session.console.result(f"    → {finding.advice}")
        broken = broken or not (finding.well or finding.optional)
    ctx.exit(3 if broken else 0)


doctor_command.help = tr("Check address, clock, sign-in, grants, ssh-agent and ~/.ssh, and say what to do.")


def _findings(session: Session) -> Iterator[Finding]:
    try:
        profile = session.profile()
    except ClientError as error:
        yield Finding(tr("Profile"), str(error), error.advice)
    else:
        yield Finding(tr("Profile"), f"{profile.name}, {profile.url}, {profile.method}")
        yield from _of_function(session, profile)
    yield _agent()
    yield _ssh_folder()


def _of_function(session: Session, profile: Profile) -> Iterator[Finding]:
    from client.connection import NoAnswer, exchange
    from client.service import HEALTH, Service
    from client.sign_in import credential_for

    try:
        health = exchange("GET", profile.url + HEALTH, {}, seconds=_SECONDS)
    except NoAnswer as fault:
        yield Finding(
            tr("Address"), str(fault), tr("Check the address and the network: {url}", url=profile.url)
        )
        return
    if health.status != HTTPStatus.OK or (health.content or {}).get("status") != "ok":
        yield Finding(
            tr("Address"),
            tr("answers with status {status}", status=health.status),
            tr("That is not the function, or it does not run. Check the address: {url}", url=profile.url),
        )
        return
    yield Finding(tr("Address"), tr("the function answers"))
    yield _clock(health.date, time.time())
    try:
        service = Service(profile, credential_for(profile, session.console), session.console, _SECONDS)
        answered = _grants(service)
    except ClientError as error:
        yield Finding(tr("Sign-in"), str(error), error.advice)
        return
    yield from answered


def _clock(date: float | None, now: float) -> Finding:
    from client.explanations import CLOCK_TOLERANCE

    if date is None:
        return Finding(tr("Clock"), tr("the function sends no time"), optional=True)
    off = now - date
    if abs(off) > CLOCK_TOLERANCE:
        return Finding(
            tr("Clock"),
            tr("{minutes:.0f} minutes fast", minutes=off / 60)
            if off > 0
            else tr("{minutes:.0f} minutes slow", minutes=-off / 60),
            tr("Set this machine's clock; signatures are accepted within 300 s."),
        )
    return Finding(tr("Clock"), tr("within {seconds:.0f} s", seconds=max(1.0, abs(off))))


def _grants(service: Service) -> list[Finding]:
    from client.explanations import describe_grant, require_grants

    granted = require_grants(service)
    who = Finding(tr("Sign-in"), tr("you are {caller}", caller=granted["caller"]))
    if not granted["grants"]:
        return [who, Finding(tr("Grants"), tr("none"), tr("Ask the function's operator for a grant."))]
    return [who, *(Finding(tr("You may have"), describe_grant(grant)) for grant in granted["grants"])]


def _agent() -> Finding:
    from client.ssh_agent import require_agent

    try:
        require_agent()
    except ClientError as error:
        advice = f"{error.advice} {tr('Only --agent needs it.')}"
        return Finding("ssh-agent", str(error), advice, optional=True)
    return Finding("ssh-agent", tr("is running"))


def _ssh_folder() -> Finding:
    from client.folders import shown, ssh_folder

    folder = ssh_folder()
    if not folder.exists():
        return Finding(shown(folder), tr("will be made"))
    if os.name != "posix":
        return Finding(shown(folder), tr("is there"))
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o022:
        # sshd and ssh refuse what others may change.
        return Finding(
            shown(folder),
            tr("others may write to it (mode {mode})", mode=f"{mode:o}"),
            f"chmod 700 {shown(folder)}",
        )
    return Finding(shown(folder), tr("only you may write to it"))
