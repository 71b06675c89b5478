"""What the user sees: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

WELL = click.style("✓", fg="green") + " "
BROKEN = click.style("✗", fg="red") + " "
ATTENTION = click.style("!", fg="yellow") + " "
FAILED = click.style("keypair: ", fg="red", bold=True)
# Control and format characters, lone surrogates, and line and paragraph separators. Terminals obey some of
# them, and others hide text or reverse it: https://www.unicode.org/reports/tr44/#General_Category_Values
_COMMAND = re.compile(r"\bkeypair ([a-z]+)\b")
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass
class Console:
    """Writes to the terminal.

    A text may hold what the function or a file says, so nothing in it controls the terminal; a mark may.
    """

    quiet: bool = False
    global_options: Mapping[str, str] = field(default_factory=dict)
    """A command -> what it has to be typed with to go to the same function, such as `--local`."""

    def result(self, text: str, mark: str = "") -> None:
        """Write what the command was run for."""
        click.echo(mark + printable(text), color=_in_color(sys.stdout.isatty()))

    def data(self, content: object) -> None:
        """Write a result for programs, as JSON. What cannot be printed is escaped; nothing is lost."""
        text = json.dumps(content, indent=2, ensure_ascii=sys.stdout.encoding.lower() != "utf-8")
        click.echo("".join(_escaped(letter) for letter in text))

    def note(self, text: str, mark: str = "") -> None:
        """Write what helps and is not the result."""
        if not self.quiet:
            shown = mark + printable(self._to_type(text))
            click.echo(shown, err=True, color=_in_color(sys.stderr.isatty()))

    def important(self, text: str) -> None:
        """Write what the user has to act on, also when quiet."""
        click.echo(printable(self._to_type(text)), err=True, color=_in_color(sys.stderr.isatty()))

    def progress(self, text: str) -> None:
        """Write how far a long operation is: one line that the next one replaces, on a terminal."""
        if self.quiet:
            return
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[2K{printable(text)}", nl=False, err=True)
        else:
            click.echo(printable(text), err=True)

    def end_progress(self) -> None:
        """Remove the line of `progress`."""
        if not self.quiet and sys.stderr.isatty():
            click.echo("\r\x1b[2K", nl=False, err=True)

    def _to_type(self, text: str) -> str:
        return _COMMAND.sub(lambda found: f"keypair {self._options(found[1])}{found[1]}", text)

    def _options(self, command: str) -> str:
        options = self.global_options.get(command)
        return f"{options} " if options else ""

    @property
    def interactive(self) -> bool:
        """Whether there is somebody to ask."""
        return sys.stdin.isatty() and sys.stderr.isatty()


def printable(text: str) -> str:
    """Return a text in which nothing but line ends and tabs is not printable."""
    return "".join("\ufffd" if _is_unprintable(letter) else letter for letter in text)


def one_line(text: object) -> str:
    """Return somebody else's text without line ends: after one it could pass for a line of this program."""
    return " ".join(str(text).split())


def _is_unprintable(letter: str) -> bool:
    return letter not in "\n\t" and unicodedata.category(letter) in _UNPRINTABLE


def _escaped(letter: str) -> str:
    # All of JSON's own syntax is printable, so this is inside of a string.
    return json.dumps(letter)[1:-1] if _is_unprintable(letter) else letter


def _in_color(terminal: bool) -> bool:  # noqa: FBT001  # a fact about the stream
    # https://no-color.org
    return terminal and not os.environ.get("NO_COLOR")
