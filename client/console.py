"""What the user sees: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import click


@dataclass
class Console:
    """Writes to the terminal."""

    quiet: bool = False

    def result(self, text: str) -> None:
        """Write what the command was run for."""
        click.echo(text, color=_in_color(sys.stdout.isatty()))

    def note(self, text: str) -> None:
        """Write what helps and is not the result."""
        if not self.quiet:
            click.echo(text, err=True, color=_in_color(sys.stderr.isatty()))

    def important(self, text: str) -> None:
        """Write what the user has to act on, also when quiet."""
        click.echo(text, err=True, color=_in_color(sys.stderr.isatty()))

    def progress(self, text: str) -> None:
        """Write how far a long operation is: one line that the next one replaces, on a terminal."""
        if self.quiet:
            return
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[2K{text}", nl=False, err=True)
        else:
            click.echo(text, err=True)

    def end_progress(self) -> None:
        """Remove the line of `progress`."""
        if not self.quiet and sys.stderr.isatty():
            click.echo("\r\x1b[2K", nl=False, err=True)

    @property
    def interactive(self) -> bool:
        """Whether there is somebody to ask."""
        return sys.stdin.isatty() and sys.stderr.isatty()


def _in_color(terminal: bool) -> bool:  # noqa: FBT001  # a fact about the stream
    # https://no-color.org
    return terminal and not os.environ.get("NO_COLOR")
