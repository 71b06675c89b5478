"""Parses the command `/keypair NAME [for RECIPIENT] [in REGION] [expires 30d]`, in English or Chinese."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from handler.order import Duration, KeyName, Region, seconds

TEXT_LIMIT = 16_000
"""The longest command, in characters.

A control character takes seven bytes in JSON within JSON. Even then the event stays below the 128 KB that SCF
accepts for an asynchronous invocation (583/11637).
"""


@dataclass(frozen=True)
class KeyPairCommand:
    """A command that asks for a key pair. None leaves the choice to the policy or the default.

    `recipient` is a public key or `PLACE:USER`.
    """

    name: str
    recipient: str | None = None
    region: str | None = None
    expires_in: int | None = None
    """Seconds."""


class CommandProblem(str, Enum):
    """What is wrong with a command. The value is a part of the audit reason."""

    NAME = "name"
    RECIPIENT = "recipient"
    REGION = "region"
    EXPIRY = "expiry"
    TWICE = "twice"
    """A part of the command appears twice."""
    WORD = "word"
    """An unknown word after the name."""
    OTHER = "other"
    """The text is not a command."""


class HelpCommand(Enum):
    """A command that asks what the bot can do."""

    HELP = "help"


Command: TypeAlias = KeyPairCommand | HelpCommand | CommandProblem

_COMMANDS = {"/keypair", "keypair", "/密钥对", "密钥对"}
_HELP = {"help", "/help", "?", "帮助", "/帮助"}
_PARTS = {
    "for": "recipient",
    "给": "recipient",
    "in": "region",
    "在": "region",
    "expires": "expiry",
    "有效期": "expiry",
}

_WORD = re.compile(r"\S+")
_BEGIN, _END = "-----BEGIN", "-----END"
# JSON can carry half of a surrogate pair, which UTF-8 cannot encode.
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")

_NAME = TypeAdapter[str](KeyName)
_REGION = TypeAdapter[str](Region)
_DURATION = TypeAdapter[str](Duration)


def parse_command(text: str) -> Command:
    """Return the command in `text`, or what is wrong with it."""
    if len(text) > TEXT_LIMIT or _LONE_SURROGATE.search(text):
        return CommandProblem.OTHER
    words = list(_WORD.finditer(text))
    first = words[0][0].lower() if words else ""
    if first in _HELP:
        return HelpCommand.HELP
    if first not in _COMMANDS:
        return CommandProblem.OTHER
    if len(words) == 1 or (len(words) == 2 and words[1][0].lower() in _HELP):  # noqa: PLR2004  # `/keypair help`
        return HelpCommand.HELP
    name, rest = words[1][0], words[2:]
    if not _is_valid(_NAME, name):
        return CommandProblem.NAME
    parts = _parts(rest)
    return parts if isinstance(parts, CommandProblem) else _command(name, parts, text)


def _parts(words: list[re.Match[str]]) -> dict[str, list[re.Match[str]]] | CommandProblem:
    parts: dict[str, list[re.Match[str]]] = {}
    current: list[re.Match[str]] | None = None
    armored = False
    for word in words:
        if word[0] in (_BEGIN, _END):
            armored = word[0] == _BEGIN
        # PGP armor may contain comments, such as `Comment: for letters`.
        part = None if armored else _PARTS.get(word[0].lower())
        if part is not None:
            if part in parts:
                return CommandProblem.TWICE
            current = parts[part] = []
        elif current is None:
            return CommandProblem.WORD
        else:
            current.append(word)
    return parts


def _command(name: str, parts: dict[str, list[re.Match[str]]], text: str) -> KeyPairCommand | CommandProblem:
    recipient = region = duration = None
    if "recipient" in parts:
        recipient = _text_of(parts["recipient"], text)
        if not recipient:
            return CommandProblem.RECIPIENT
        if _BEGIN not in recipient:
            # An SSH key is one line of several words. The chat client may have wrapped it.
            recipient = " ".join(recipient.split())
    if "region" in parts:
        region = _text_of(parts["region"], text)
        if not _is_valid(_REGION, region):
            return CommandProblem.REGION
    if "expiry" in parts:
        duration = _text_of(parts["expiry"], text)
        if not _is_valid(_DURATION, duration):
            return CommandProblem.EXPIRY
    return KeyPairCommand(name, recipient, region, None if duration is None else seconds(duration))


def _text_of(words: list[re.Match[str]], text: str) -> str:
    """Return `words` with the white space between them: PEM and PGP need their line breaks."""
    return text[words[0].start() : words[-1].end()] if words else ""


def _is_valid(type_: TypeAdapter[str], text: str) -> bool:
    try:
        type_.validate_python(text)
    except ValidationError:
        return False
    return True


_PLACE = re.compile(r"(?P<place>[A-Za-z0-9][A-Za-z0-9_.-]{0,63}):(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})")


def place_of(recipient: str) -> tuple[str, str] | None:
    """Return the place and the user in `PLACE:USER`, or None if `recipient` is something else.

    A user name contains no character with a meaning in URLs and does not start with a dot.
    """
    matched = _PLACE.fullmatch(recipient)
    return (matched["place"], matched["user"]) if matched else None
