"""`keypair open`: opens an envelope of the function, however it was pasted."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from client.errors import NotOpened, UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from client.cli import Session

_SIZE_LIMIT = 1 << 20


@click.command("open")
@click.argument("file", metavar="FILE|-")
@click.option(
    "--identity",
    "-i",
    "identities",
    multiple=True,
    metavar="KEY",
    type=click.Path(path_type=Path, dir_okay=False),
    help=tr("Private key that the envelope is sealed to [default: ~/.ssh/id_ed25519, id_rsa]."),
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help=tr("Save the private key there [default: FILE without its suffix, as .pem]."),
)
@click.option("--agent", is_flag=True, help=tr("Put the private key into ssh-agent and into no file."))
@click.option("--lifetime", metavar="TIME", help=tr("With --agent: remove it from there after this time."))
@click.pass_obj
def open_command(
    session: Session,
    /,
    *,
    file: str,
    identities: tuple[Path, ...],
    save: Path | None,
    agent: bool,
    lifetime: str | None,
) -> None:
    """Open an envelope and save its private key."""
    from client.envelopes import open_envelope
    from client.envelopes.text import find_envelope
    from client.files import save_once
    from client.folders import shown, ssh_folder
    from client.order import seconds
    from client.private_key import checked_private_key
    from client.ssh_agent import add_key, check_options, require_agent

    check_options(agent=agent, save=save, lifetime=lifetime)
    path = None if agent else _target(file, save)
    if agent:
        require_agent()
    found = find_envelope(_read(file))
    name = _name(found.answer, file)
    plain = open_envelope(found, [one.expanduser() for one in identities], _asking(file), ssh_folder())
    answer = found.answer
    key = checked_private_key(plain, answer.get("publicKey", ""), answer.get("fingerprint", ""))
    if path is None:
        add_key(key.written("openssh", name), seconds(lifetime) if lifetime else None)
        session.console.note(tr("Private key  in ssh-agent, in no file"))
    else:
        save_once(path, key.written("pkcs1", name))
        session.console.note(tr("Private key  {file}", file=shown(path)))
    session.console.note(tr("Fingerprint  {fingerprint}", fingerprint=key.fingerprint))
    session.console.result("ssh root@HOST" if path is None else f"ssh -i {shown(path)} root@HOST")


open_command.help = tr(
    """Open an envelope, in a file or pasted into standard input, and save its private key.

    It may be the function's JSON answer or the envelope alone: age, JWE, CMS or OpenPGP."""
)


def _name(answer: Mapping[str, Any], file: str) -> str:
    """Return what the agent calls the key; `ssh-add -l` prints that as it is. Raises UsageProblem."""
    from client.order import check_name

    if name := answer.get("keyName"):
        return check_name(str(name))
    return re.sub(r"[^\w.-]", "_", Path(file).stem) if file != "-" else "keypair"


def _target(file: str, save: Path | None) -> Path:
    from client.folders import shown

    if save is None and file == "-":
        raise UsageProblem(tr("Where should the private key go?"), tr("Add --save PATH, or --agent."))
    path = (save or Path(file).with_suffix(".pem")).expanduser().absolute()
    if not path.parent.is_dir():
        raise UsageProblem(
            tr("There is no folder {folder}.", folder=shown(path.parent)),
            tr("Make it, or choose another one."),
        )
    return path


def _read(file: str) -> str:
    try:
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).expanduser().open("rb") as source:
            raw = source.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise UsageProblem(
            tr("{file} cannot be read: {error}", file=file, error=error.strerror),
            tr("Name the file with the envelope, or '-' for standard input."),
        ) from None
    if len(raw) > _SIZE_LIMIT:
        raise NotOpened(
            tr("{file} is larger than 1 MiB.", file=tr("standard input") if file == "-" else file),
            tr("Give the whole text from BEGIN to END, or the function's JSON answer."),
        )
    for encoding in ("utf-8", "utf-16"):
        # UTF-16 is what `>` of Windows PowerShell writes.
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise NotOpened(
        tr("There is no envelope in this."),
        tr("Give the whole text from BEGIN to END, or the function's JSON answer."),
    )


def _asking(file: str) -> Callable[[str], str]:
    """Return how a passphrase is asked for: on the terminal, or one line of a pipe."""

    def ask(prompt: str) -> str:
        if file == "-" or sys.stdin.isatty():
            answer: str = click.prompt(prompt, hide_input=True, err=True)
            return answer
        line = sys.stdin.readline()
        if not line:
            raise UsageProblem(
                tr("This is not a terminal, so nobody can be asked."),
                tr("Pipe the passphrase into standard input, or open the envelope in a terminal."),
            )
        return line.rstrip("\r\n")

    return ask
