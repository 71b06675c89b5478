"""Parses the command `/keypair NAME [in REGION] [expires 30d] [as FORMAT] [for RECIPIENT…]`.

`/keypair list [in REGION]` and `/keypair delete NAME [WORD] [in REGION]` are about key pairs that exist.

Options stand on lines of their own or before the key: after the base64 of an SSH key, the rest of that line
is the key's comment. Keywords are English or Chinese. Chat clients change what people type (quotes, dashes,
full-width punctuation, invisible characters), and the parser undoes that.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import field
from enum import Enum
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from handler.order import RECIPIENTS_LIMIT, Action, Duration, KeyName, PrivateKeyFormat, Region, seconds
from handler.sealing.recipient_text import straight_boundaries
from handler.sealing.ssh_keys import SSH_KEY, SshKey, blobs_in, read_key
from handler.startup.records import dataclass

TEXT_LIMIT = 16_000
"""The longest command, in characters.

A control character takes seven bytes in JSON within JSON. Even then the event stays below the 128 KB that SCF
accepts for an asynchronous invocation (583/11637).
"""


@dataclass(frozen=True)
class KeyPairCommand:
    """A command that asks for a key pair. None leaves the choice to the policy or the default.

    `recipients` are public keys, or one `PLACE:USER`.
    """

    name: str
    recipients: tuple[str, ...] = ()
    region: str | None = None
    expires_in: int | None = None
    """Seconds."""
    private_key_format: PrivateKeyFormat | None = None
    comment_reads_like_options: bool = field(default=False, compare=False)
    """Whether a key's comment looks as if the author meant an option. The answer says how it was read."""


@dataclass(frozen=True)
class ListCommand:
    """A command that asks which key pairs the author has."""

    region: str | None = None


@dataclass(frozen=True)
class DeleteCommand:
    """A command that deletes a key pair, if it repeats the `word` that the bot has answered with."""

    name: str
    word: str | None = None
    region: str | None = None


class CommandProblem(str, Enum):
    """What is wrong with a command. The value is a part of the audit reason."""

    NAME = "name"
    RECIPIENT = "recipient"
    REGION = "region"
    EXPIRY = "expiry"
    FORMAT = "format"
    TWICE = "twice"
    """A part of the command appears twice."""
    MANY = "many"
    """More public keys than an order may have."""
    WORD = "word"
    """An unknown word after the name."""
    LONG = "long"
    """The command is longer than TEXT_LIMIT."""
    OTHER = "other"
    """The text is not a command."""


class HelpCommand(Enum):
    """A command that asks what the bot can do."""

    HELP = "help"


Command: TypeAlias = KeyPairCommand | ListCommand | DeleteCommand | HelpCommand | CommandProblem

_COMMANDS = {"/keypair", "keypair", "/密钥对", "密钥对"}
_HELP = {"help", "/help", "?", "帮助", "/帮助"}
_CREATE = {"create", "创建"}
_LIST = {"list", "列表"}
_DELETE = {"delete", "删除"}
_OPTIONS = {
    "for": "recipient",
    "给": "recipient",
    "in": "region",
    "在": "region",
    "expires": "expiry",
    "有效期": "expiry",
    "as": "format",
    "格式": "format",
}

# Invisible characters that chat clients insert: zero-width spaces and joiners, marks of direction, the soft
# hyphen and the byte order mark. No key contains them.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
# Full-width forms of ASCII, which Chinese input methods produce, and the ideographic space.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")

_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u201e\u300c\u300d\u00ab\u00bb"
_SEPARATORS = r"\s,;\u3001\u3002"
_DASHES = "-\u2010-\u2015\u2212"
# Between words: white space, punctuation, and quotes or code fences, which mean nothing here.
_GAP = re.compile(rf"[{_SEPARATORS}{_QUOTES}]*")
# Comment lines too, but for the one in which age-keygen writes a key.
_GAP_BEFORE_KEY = re.compile(
    rf"(?:[{_SEPARATORS}{_QUOTES}]|(?<!\S)#(?![ \t]*(?i:public key):)[^\n]*(?![^\n]))*"
)
_WORD = re.compile(rf"[^{_SEPARATORS}{_QUOTES}]+")
# Perhaps with dashes, as on a command line; the value follows after a space, `=` or `:`, in Chinese directly.
# `a` beside `i`: otherwise U+017F is an 's' and U+0131 an 'i'.
_OPTION = re.compile(
    rf"[{_DASHES}]*(?:(?P<english>(?ai:for|in|as)|(?ai:expires)(?:\s+(?ai:in)(?=\s+[0-9]))?)"
    rf"(?:[:=]|(?=[{_SEPARATORS}{_QUOTES}])|$)|(?P<chinese>给|在|有效期|格式)[:=为]?)"
)
_BLOCK = re.compile(
    r"-----BEGIN (?P<label>[A-Za-z0-9 ]{1,64})-----.*?-----END (?P=label)-----"
    r"|---- BEGIN SSH2 PUBLIC KEY ----.*?---- END SSH2 PUBLIC KEY ----",
    re.DOTALL,
)
_BLOCK_BEGIN = re.compile(r"-----BEGIN |---- BEGIN SSH2 ")
_CERTIFICATE_END = "-----END CERTIFICATE-----"
_AGE_KEY = re.compile(rf"age1[^{_SEPARATORS}{_QUOTES}]*", re.IGNORECASE)
_JSON_PART = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}]', re.DOTALL)
_DURATION_TEXT = re.compile(
    r"(?P<number>[0-9]{1,6})\s*"
    r"(?ai:(?P<m>m|min|mins|minutes?|分钟?)|(?P<h>h|hrs?|hours?|小时|时)|(?P<d>d|days?|天|日))"
)
_OPTION_IN_COMMENT = re.compile(r"(?:\b(?:for|in|expires|as)|给|在|有效期|格式)\s+\S", re.IGNORECASE)

_NAME = TypeAdapter[str](KeyName)
_REGION = TypeAdapter[str](Region)
_DURATION = TypeAdapter[str](Duration)


def plain(text: str) -> str:
    """Return `text` without what chat clients and input methods add to it."""
    return straight_boundaries(_INVISIBLE.sub("", text).translate(_FULL_WIDTH))


def parse_command(text: str) -> Command:
    """Return the command in `text`, or what is wrong with it."""
    if _LONE_SURROGATE.search(text):
        return CommandProblem.OTHER
    parser = _Parser(plain(text))
    first = parser.word().lower()
    if first not in _COMMANDS:
        return HelpCommand.HELP if first in _HELP else CommandProblem.OTHER
    if len(text) > TEXT_LIMIT:
        return CommandProblem.LONG
    name = parser.word()
    if not name or (name.lower() in _HELP and parser.at_end()):  # `/keypair help`
        return HelpCommand.HELP
    try:
        if name.lower() in _LIST:
            return ListCommand(parser.region_only())
        if name.lower() in _DELETE:
            return parser.delete()
        if name.lower() in _CREATE and parser.has_word():  # else it is a name
            name = parser.word()
        return parser.options(_key_name(name))
    except _CommandError as error:
        return error.problem


def action_of(text: str) -> Action:
    """Return what the author of `text` wants to do; to create, if it is no command about what exists."""
    command = parse_command(text)
    if isinstance(command, ListCommand):
        return Action.LIST
    return Action.DELETE if isinstance(command, DeleteCommand) else Action.CREATE


def _key_name(text: str) -> str:
    if not _is_valid(_NAME, text):
        raise _CommandError(CommandProblem.NAME)
    return text


class _CommandError(Exception):
    def __init__(self, problem: CommandProblem) -> None:
        super().__init__(problem.value)
        self.problem = problem


@dataclasses.dataclass
class _Parser:
    """Reads a command from left to right."""

    text: str
    position: int = 0
    keys: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)

    def word(self) -> str:
        """Return the next word, empty at the end."""
        found = _WORD.search(self.text, self.position)
        self.position = found.end() if found else len(self.text)
        return found[0] if found else ""

    def at_end(self) -> bool:
        """Return whether no word follows."""
        return _WORD.search(self.text, self.position) is None

    def has_word(self) -> bool:
        """Return whether a word follows that is no option."""
        return not self.at_end() and not self._is_option()

    def delete(self) -> DeleteCommand:
        """Read everything after `delete`; raise _CommandError."""
        name = _key_name(self.word())
        word = self.word().lower() if self.has_word() else None
        return DeleteCommand(name, word, self.region_only())

    def region_only(self) -> str | None:
        """Read `in REGION` if it is there; raise _CommandError if anything else is."""
        if self.at_end():
            return None
        if self._option() != "region":
            raise _CommandError(CommandProblem.WORD)
        region = _region(self._value())
        if not self.at_end():
            raise _CommandError(CommandProblem.WORD)
        return region

    def options(self, name: str) -> KeyPairCommand:
        """Read everything after the name; raise _CommandError."""
        while not self.at_end():
            option = self._option()
            if option is None:
                raise _CommandError(CommandProblem.WORD)
            if option in self.values:
                raise _CommandError(CommandProblem.TWICE)
            self.values[option] = ""
            if option == "recipient":
                self._recipients()
            else:
                self.values[option] = self._value()
        return self._command(name)

    def _option(self) -> str | None:
        """Read the name of an option; return None if something else comes next."""
        found = _OPTION.match(self.text, self._after(_GAP))
        if found is None:
            return None
        self.position = found.end()
        return _OPTIONS[(found["english"] or found["chinese"]).lower().split()[0]]

    def _after(self, gap: re.Pattern[str]) -> int:
        found = gap.match(self.text, self.position)
        return found.end() if found else self.position

    def _is_option(self) -> bool:
        return _OPTION.match(self.text, self._after(_GAP)) is not None

    def _value(self) -> str:
        """Return the words up to the next option."""
        words: list[str] = []
        while self.has_word():
            words.append(self.word())
        return " ".join(words)

    def _recipients(self) -> None:
        """Read keys up to the next option that is not a part of one of them."""
        while self._key():
            self.position = self._after(_GAP_BEFORE_KEY)
        self.position = self._after(_GAP_BEFORE_KEY)
        if not self.keys and self.has_word():
            self._other_recipient()
        if not self.keys:
            raise _CommandError(CommandProblem.RECIPIENT)

    def _key(self) -> bool:
        """Read one key if one begins here, and its comment; return whether one did."""
        begin = self._after(_GAP_BEFORE_KEY)
        if SSH_KEY.match(self.text, begin) and (key := read_key(self.text, begin)):
            self._ssh_key(key)
            return True
        if block := _BLOCK.match(self.text, begin):
            end = self._end_of_block(block)
        elif _BLOCK_BEGIN.match(self.text, begin):
            end = len(self.text)
        elif self.text.startswith("{", begin):
            end = _end_of_json(self.text, begin)
        elif age := _AGE_KEY.match(self.text, begin):
            end = age.end()
        else:
            return False
        self.keys.append(self.text[begin:end])
        self.position = end
        return True

    def _ssh_key(self, key: SshKey) -> None:
        line_end = self.text.find("\n", key.end)
        line_end = len(self.text) if line_end < 0 else line_end
        # A client may have joined the lines of two keys.
        following = SSH_KEY.search(self.text, key.end, line_end)
        self.position = following.start() if following else line_end
        comment = self.text[key.end : self.position]
        self.comments.append(comment)
        # A key in the comment, such as one that followed without a line end. Sealing refuses the two.
        self.keys.append(key.line + comment if blobs_in(comment) else key.line)

    def _end_of_block(self, block: re.Match[str]) -> int:
        # SECURITY BOUNDARY: certificates that follow each other are a chain, which sealing refuses, because
        # the issuer must not become a reader.
        last = self.text.rfind(_CERTIFICATE_END) + len(_CERTIFICATE_END)
        return max(block.end(), last) if block["label"] == "CERTIFICATE" else block.end()

    def _other_recipient(self) -> None:
        """Read PLACE:USER, or any other text; sealing says what a text is if it is not a key."""
        begin = self._after(_GAP)
        line = self.text[begin:].partition("\n")[0]
        block = _BLOCK.search(self.text, begin)
        # Text before a block, such as the attributes of PKCS #12, belongs to it.
        if block and place_of(line.strip()) is None:
            self.position = self._end_of_block(block)
        elif SSH_KEY.search(line):
            self.position = begin + len(line)
        else:
            self.keys.append(self._value())
            return
        self.keys.append(self.text[begin : self.position])

    def _command(self, name: str) -> KeyPairCommand:
        keys = tuple(dict.fromkeys(self.keys))
        if len(keys) > RECIPIENTS_LIMIT:
            raise _CommandError(CommandProblem.MANY)
        return KeyPairCommand(
            name,
            keys,
            _region(self.values.get("region")),
            _seconds(self.values.get("expiry")),
            _format(self.values.get("format")),
            comment_reads_like_options=any(_OPTION_IN_COMMENT.search(comment) for comment in self.comments),
        )


def _end_of_json(text: str, begin: int) -> int:
    """Return where the JSON object that begins at `begin` ends; the end of the text if it does not end."""
    depth = 0
    for found in _JSON_PART.finditer(text, begin):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    return len(text)


def _region(text: str | None) -> str | None:
    if text is not None and not _is_valid(_REGION, text):
        raise _CommandError(CommandProblem.REGION)
    return text


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    found = _DURATION_TEXT.fullmatch(text)
    # The group that matched is the unit.
    duration = f"{found['number']}{found.lastgroup}" if found else ""
    if not _is_valid(_DURATION, duration):
        raise _CommandError(CommandProblem.EXPIRY)
    return seconds(duration)


def _format(text: str | None) -> PrivateKeyFormat | None:
    if text is None:
        return None
    try:
        return PrivateKeyFormat(text.lower())
    except ValueError:
        raise _CommandError(CommandProblem.FORMAT) from None


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
