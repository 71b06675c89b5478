"""Host blocks in a file of the client's own, which ~/.ssh/config includes."""

from __future__ import annotations

import fnmatch
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from client.errors import LocalFailure, UsageProblem
from client.files import changing, replace_private
from client.folders import private_folder, shown
from client.language import tr

if TYPE_CHECKING:
    from pathlib import Path

INCLUDE = "Include config.d/keypair"
_HEADING = "# Written by `keypair create --host`; a block is replaced when its key pair is made again.\n"
_DESTINATION = re.compile(
    r"(?:(?P<user>[A-Za-z0-9._-]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True)
class Host:
    """A server to log in to."""

    host: str
    user: str
    port: int | None


def parse_host(text: str) -> Host:
    """Return USER@HOST or USER@HOST:PORT. Raises UsageProblem."""
    found = _DESTINATION.fullmatch(text)
    if found is None or found["host"].startswith("-"):
        raise UsageProblem(
            tr("{text!r} is not a server.", text=text),
            tr("Write --host root@1.2.3.4 or --host ubuntu@name:2222."),
        )
    port = int(found["port"]) if found["port"] else None
    return Host(found["host"].strip("[]"), found["user"] or "root", port)


class SshConfig:
    """The user's ~/.ssh/config, which is only read unless asked, and the file that it includes."""

    def __init__(self, folder: Path) -> None:
        self._main = folder / "config"
        self.file = folder / "config.d" / "keypair"

    def add(self, name: str, host: Host, identity: Path) -> None:
        """Write the block for `name` in place of an earlier one. Raises LocalFailure."""
        lines = [
            f"Host {name}",
            f"    HostName {host.host}",
            f"    User {host.user}",
            *([f"    Port {host.port}"] if host.port else []),
            f"    IdentityFile {_quoted(shown(identity))}",
            "    IdentitiesOnly yes",
        ]
        try:
            private_folder(self.file.parent)
            with changing(self.file):
                text = _with_block(_text_of(self.file) or _HEADING, name, "\n".join(lines) + "\n")
                replace_private(self.file, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise LocalFailure(
                tr("{file} cannot be written: {error}", file=shown(self.file), error=error.strerror),
                tr("Correct its permissions and run the command again."),
            ) from None

    def has(self, name: str) -> bool:
        """Tell whether the file has a block for `name`."""
        try:
            return _block(_text_of(self.file), name) is not None
        except OSError:
            return False

    @property
    def included(self) -> bool:
        """Whether ~/.ssh/config includes the file before its first Host or Match (ssh_config(5))."""
        try:
            lines = _text_of(self._main).splitlines()
        except OSError:
            return False
        for line in lines:
            words = _words(line)
            if not words:
                continue
            if words[0].lower() in {"host", "match"}:
                return False
            if words[0].lower() == "include" and any(self._names(pattern) for pattern in words[1:]):
                return True
        return False

    def include(self) -> None:
        """Put the Include line at the top of ~/.ssh/config. Raises LocalFailure."""
        advice = tr("Put this line at its top yourself: {line}", line=INCLUDE)
        # A link to a file elsewhere stays a link.
        place = self._main.resolve()
        try:
            with changing(place):
                try:
                    text = _text_of(place)
                except OSError as error:
                    raise LocalFailure(
                        tr("{file} cannot be read: {error}", file=shown(self._main), error=error.strerror),
                        advice,
                    ) from None
                text = f"{INCLUDE}\n\n{text}" if text else f"{INCLUDE}\n"
                replace_private(place, text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise LocalFailure(
                tr("{file} cannot be written: {error}", file=shown(self._main), error=error.strerror),
                advice,
            ) from None

    def _names(self, pattern: str) -> bool:
        from pathlib import Path

        path = Path(pattern).expanduser()
        full = path if path.is_absolute() else self._main.parent / path
        return fnmatch.fnmatchcase(str(self.file), str(full))


def _text_of(path: Path) -> str:
    """Return a file's text, in any encoding; empty if the file does not exist."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _with_block(text: str, name: str, block: str) -> str:
    """Put a block in place of the earlier one for `name`, or at the end; everything else stays as it is."""
    text = text if text.endswith("\n") else text + "\n"
    earlier = _block(text, name)
    if earlier is None:
        return f"{text}\n{block}"
    return text[: earlier.start()] + block + text[earlier.end() :]


def _block(text: str, name: str) -> re.Match[str] | None:
    return re.search(rf"^Host {re.escape(name)}\n(?:[ \t]+.*\n)*", text, re.MULTILINE)


def _words(line: str) -> list[str]:
    line = line.strip()
    if not line or line.startswith("#"):
        return []
    try:
        return shlex.split(re.sub(r"^(\w+)\s*=\s*", r"\1 ", line))
    except ValueError:
        return []


def _quoted(path: str) -> str:
    """Return a path for ssh_config(5), which reads quotes, backslashes, and tokens that begin with %."""
    path = path.replace("%", "%%")
    if not re.search(r"[\s'\"#=]", path):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
