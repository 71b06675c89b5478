"""`keypair completion`: what makes a shell complete commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from client.language import tr

if TYPE_CHECKING:
    from client.cli import Session


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, /, *, shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None, shell  # noqa: S101  # click has all three
    session: Session = ctx.obj
    session.console.result(script(ctx.find_root().command, {}, "keypair", "_KEYPAIR_COMPLETE").source())


completion_command.help = tr(
    """Print the completion script of your shell.

    bash: put eval "$(keypair completion bash)" into ~/.bashrc; zsh and fish likewise."""
)
