"""The command: `/keypair NAME [for RECIPIENT] [in REGION] [expires 30d]`, or in Chinese words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from handler.order import Duration, KeyName, Region, seconds

TEXT_LIMIT = 16_000
"""Characters of a message; what is longer is no command.

Seven bytes each, for control characters in JSON within JSON, stay below the 128 KB that SCF takes as an
asynchronous event (583/11637).
"""


@dataclass(frozen=True)
class Wanted:
    """What a command asks for; None where it leaves something to the policy or the function.

    `recipient` is a public key, or `PLACE:USER`.
    """

    name: str
    recipient: str | None = None
    region: str | None = None
    expires_in: int | None = None
    """Seconds."""


class Mistake(str, Enum):
    """What is wrong with a command."""

    NAME = "name"
    RECIPIENT = "recipient"
    REGION = "region"
    EXPIRY = "expiry"
    TWICE = "twice"
    """A part of the command appears twice."""
    WORD = "word"
    """A word after the name that begins no part."""
    OTHER = "other"
    """No command at all."""


class Help(Enum):
    """Somebody asks what the bot can do."""

    HELP = "help"


Command: TypeAlias = Wanted | Help | Mistake

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
# JSON can carry one half of a surrogate pair, and nothing else can.
_HALF_A_CHARACTER = re.compile(r"[\ud800-\udfff]")

_NAME = TypeAdapter[str](KeyName)
_REGION = TypeAdapter[str](Region)
_DURATION = TypeAdapter[str](Duration)


def understand(text: str) -> Command:
    """Return what `text` asks for."""
    if len(text) > TEXT_LIMIT or _HALF_A_CHARACTER.search(text):
        return Mistake.OTHER
    words = list(_WORD.finditer(text))
    first = words[0][0].lower() if words else ""
    if first in _HELP:
        return Help.HELP
    if first not in _COMMANDS:
        return Mistake.OTHER
    if len(words) == 1 or (len(words) == 2 and words[1][0].lower() in _HELP):  # noqa: PLR2004  # `/keypair help`
        return Help.HELP
    name, rest = words[1][0], words[2:]
    if not _is(_NAME, name):
        return Mistake.NAME
    parts = _parts(rest)
    return parts if isinstance(parts, Mistake) else _wanted(name, parts, text)


def _parts(words: list[re.Match[str]]) -> dict[str, list[re.Match[str]]] | Mistake:
    parts: dict[str, list[re.Match[str]]] = {}
    current: list[re.Match[str]] | None = None
    armored = False
    for word in words:
        if word[0] in (_BEGIN, _END):
            armored = word[0] == _BEGIN
        # PGP's armor may have comments in it, such as `Comment: for letters`.
        part = None if armored else _PARTS.get(word[0].lower())
        if part is not None:
            if part in parts:
                return Mistake.TWICE
            current = parts[part] = []
        elif current is None:
            return Mistake.WORD
        else:
            current.append(word)
    return parts


def _wanted(name: str, parts: dict[str, list[re.Match[str]]], text: str) -> Wanted | Mistake:
    recipient = region = duration = None
    if "recipient" in parts:
        recipient = _written(parts["recipient"], text)
        if not recipient:
            return Mistake.RECIPIENT
        if _BEGIN not in recipient:
            # An SSH key is one line, of several words; a chat may have wrapped it.
            recipient = " ".join(recipient.split())
    if "region" in parts:
        region = _written(parts["region"], text)
        if not _is(_REGION, region):
            return Mistake.REGION
    if "expiry" in parts:
        duration = _written(parts["expiry"], text)
        if not _is(_DURATION, duration):
            return Mistake.EXPIRY
    return Wanted(name, recipient, region, None if duration is None else seconds(duration))


def _written(words: list[re.Match[str]], text: str) -> str:
    """Return `words` with what stands between them: the lines of PEM and PGP, and PGP's blank one, count."""
    return text[words[0].start() : words[-1].end()] if words else ""


def _is(kind: TypeAdapter[str], text: str) -> bool:
    try:
        kind.validate_python(text)
    except ValidationError:
        return False
    return True


_PLACE = re.compile(r"(?P<place>[A-Za-z0-9][A-Za-z0-9_.-]{0,63}):(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})")


def place_of(recipient: str) -> tuple[str, str] | None:
    """Return the place and the user in `PLACE:USER`; None if it is something else.

    A user's name has nothing in it that means something in a URL, and does not begin with a dot.
    """
    matched = _PLACE.fullmatch(recipient)
    return (matched["place"], matched["user"]) if matched else None
