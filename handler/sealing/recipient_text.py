"""Reads recipient texts as people paste them.

`normalise` removes everything that is not key material: byte order marks, quotes, comments, armor headers,
text around PEM. What remains is ASCII, in one spelling for each key, and `handler.sealing.detection` decides
what it is. A text that can be understood in two ways is refused.
"""

from __future__ import annotations

import re
import textwrap
from enum import Enum

from handler.errors import RecipientRefused
from handler.sealing import bech32
from handler.sealing.recipient_problems import (
    PGP_RECIPIENT_LIMIT,
    RECIPIENT_LIMIT,
    RecipientProblem,
)
from handler.sealing.ssh_keys import SSH_KEY, SSH_START, blobs_in, read_key
from handler.startup.records import dataclass


class Dropped(Enum):
    """What `normalise` removed, in the words of `scripts/policy explain`."""

    QUOTES = "quotes around the key"
    COMMENT_LINES = "comment lines"
    COMMENT = "the key's comment"
    LINE_BREAKS = "line breaks inside the key"
    ARMOR_HEADERS = "armor headers"
    SURROUNDING_TEXT = "text around the block"


@dataclass(frozen=True)
class NormalisedText:
    """A recipient without what is not key material. `dropped` is in the order of removal."""

    text: str
    dropped: tuple[Dropped, ...] = ()


PGP_LABEL = "PGP PUBLIC KEY BLOCK"

# Characters that show nothing and that no key contains, at the ends of a text. Unlike str.strip, this
# includes the byte order mark and zero-width spaces.
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u00ad"
_ENDS = f" \t\n\r\x0b\x0c\x85\u00a0\u2028\u2029\u3000{_INVISIBLE}"
_LINE_END = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_QUOTES = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\u201c": "\u201d",
    "\u2018": "\u2019",
    "\u300c": "\u300d",
    "\u00ab": "\u00bb",
}
# What is left of a list or of JSON that was written twice, or ends the sentence around a key.
_TRAILING = ",;.\u3002\uff0c\uff1b"
_TRAILING_ESCAPES = ("\\n", "\\r")
_QUOTED_LINE = re.compile(r"^(?:>[ \t]?)+", re.MULTILINE)
_LAYERS = 16
"""How many layers of quotes, marks and fences are removed from around a key."""
_STRAIGHT_QUOTES = dict.fromkeys(map(ord, "\u201c\u201d\u201e\uff02"), '"')
_FENCE = re.compile(r"```[a-z0-9]{0,16}\n(?P<inside>.*)\n?```", re.DOTALL)
_NOT_ASCII = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[^\x00-\x7f]")

_PEM_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,64})-----")
_PEM_END = re.compile(r"-----END ([A-Z0-9 ]{1,64})-----")
# Programs that make typing look nicer turn two hyphens into a dash.
_DASHES = "-\u2010-\u2015\u2212"
_TYPED_BOUNDARY = re.compile(
    rf"(?<![{_DASHES}])[{_DASHES}]{{1,5}}(?P<text>(?:BEGIN|END)[ \u00a0][A-Z0-9 \u00a0]{{1,64}})"
    rf"[{_DASHES}]{{1,5}}(?![{_DASHES}])"
)
_ANY_BOUNDARY = re.compile(r"-----(?:BEGIN|END)\b", re.IGNORECASE)
# RFC 9580 section 6.2.2. No character may match in two ways: many such lines would take exponential time.
_ARMOR_HEADERS = re.compile(r"[ \t]*\n(?:[ \t]*[A-Za-z][A-Za-z-]*:[^\n]*\n)+(?=[ \t]*\n)")
_RFC_4716 = re.compile(r"---- BEGIN SSH2 PUBLIC KEY ----")
_AGE = re.compile(r"(?<![A-Za-z0-9])age1[a-z0-9]{20}", re.IGNORECASE)
# The beginning of one, which may be broken. bech32 has no b, i, o and 1.
_AGE_ANYWHERE = re.compile(r"(?<![A-Za-z0-9])age1[ac-hj-np-z02-9]{16}", re.IGNORECASE)
_AGE_START = re.compile(r"age1", re.IGNORECASE)
_AGE_PIECES = 8
# The line that age-keygen prints, and writes as a comment above the identity.
_AGE_LABEL = re.compile(r"^#?[ \t]*public key:[ \t]*(?=age1)", re.IGNORECASE)
# sshd(8), AUTHORIZED_KEYS FILE FORMAT: options, of which some have values in quotes.
_OPTIONS = re.compile(r"[^\n]*=\"|(?:no-|restrict|cert-authority|agent-forwarding|port-forwarding|pty)")
# sshd(8), SSH_KNOWN_HOSTS FILE FORMAT: a marker, hashed hosts, or hosts, before the key.
_KNOWN_HOST = re.compile(r"(?:@[a-z-]+[ \t]+)?(?:\|1\||\[|[A-Za-z0-9-]+[.,]\w|localhost\b)\S*[ \t]+$")
# DER of a SEQUENCE of 256 bytes or more, or of the length of a key on a curve, in bytes.
_DER = re.compile(r"0(?:[\x81\x82\ufffd]|[*Yv]0[\x00-\x1f])")
_FINGERPRINT = re.compile(r"(?:\d+ )?(?:SHA256:|MD5:)[A-Za-z0-9+/:]{16,}")
_INSTEAD_OF_A_KEY = (
    # The same DER in base64.
    (r"M(?:I[A-Za-z]|Fk|HY|Co)[A-Za-z0-9+/=\s]{56,}", RecipientProblem.DER),
    # RFC 9580 section 5.5.4, as gpg prints it: a fingerprint, or its last 16 or 8 digits.
    (r"(?i:(?:0x)?(?:[0-9A-F]{8}|[0-9A-F]{16}|(?:[0-9A-F]{4}\s*){10}))", RecipientProblem.PGP_FINGERPRINT),
    (r"(?i:https?://\S+)", RecipientProblem.URL),
    (
        r"(?i:(?:~|\.{0,2}|[A-Z]:)[/\\]\S+|\S+\.(?:pub|asc|gpg|pem|crt|cer|der|jwk|json|txt))",
        RecipientProblem.FILE_NAME,
    ),
)
"""What a whole text may be in the place of a key."""


def normalise(text: str) -> NormalisedText:
    """Return the key material in `text`; raise RecipientRefused.

    The caller has searched it for private keys.
    """
    dropped: list[Dropped] = []
    if len(text) > PGP_RECIPIENT_LIMIT:
        # First, because what follows takes longer the longer a text is.
        raise RecipientRefused(
            RecipientProblem.PGP_TOO_LONG if PGP_LABEL in text else RecipientProblem.TOO_LONG
        )
    inside = _unwrapped(straight_boundaries(_LINE_END.sub("\n", text)), dropped)
    if len(text) > RECIPIENT_LIMIT and PGP_LABEL not in inside:
        raise RecipientRefused(RecipientProblem.TOO_LONG)
    if (json := _without_comment_lines_around(inside)).startswith("{"):
        if json != inside:
            dropped.append(Dropped.COMMENT_LINES)
        return NormalisedText(_json(json), tuple(dropped))
    if _ANY_BOUNDARY.search(inside):
        return NormalisedText(_pem(inside, dropped), tuple(dropped))
    if _RFC_4716.search(inside):
        raise RecipientRefused(RecipientProblem.SSH2_BLOCK)
    return NormalisedText(_line(inside, dropped), tuple(dropped))


def straight_boundaries(text: str) -> str:
    """Return `text` with the lines around a PEM block as RFC 7468 section 2 has them: five hyphens."""
    return _TYPED_BOUNDARY.sub(lambda found: f"-----{found['text']}-----".replace("\u00a0", " "), text)


def _keys_in(text: str) -> int:
    """Return how many keys seem to begin in `text`, damaged and hidden ones included."""
    ssh = max(len(SSH_KEY.findall(text)), blobs_in(text))
    return ssh + len(_AGE_ANYWHERE.findall(text)) + len(_ANY_BOUNDARY.findall(text)) + text.count('"kty"')


def _unwrapped(text: str, dropped: list[Dropped]) -> str:
    """Remove white space, pairs of quotes, a mail's quotation marks and trailing punctuation."""
    text = text.strip(_ENDS)
    for _ in range(_LAYERS):  # each takes as long as the text is
        if len(text) <= 1:
            break
        fence = _FENCE.fullmatch(text)
        if fence:
            text = fence["inside"].strip(_ENDS)
        elif _QUOTES.get(text[0]) == text[-1]:
            text = text[1:-1].strip(_ENDS)
        elif text[0] == ">" and all(line.startswith(">") for line in text.split("\n") if line.strip()):
            text = _QUOTED_LINE.sub("", text).strip(_ENDS)
        elif text[-1] in _TRAILING:
            text = text.rstrip(_TRAILING + _ENDS)
        elif text.endswith(_TRAILING_ESCAPES):
            text = text[:-2].strip(_ENDS)
        else:
            break
        dropped[:] = [Dropped.QUOTES]
    return text


def _without_comment_lines_around(text: str) -> str:
    lines = text.split("\n")
    first, last = 0, len(lines)
    while first < last and _is_comment(lines[first]):
        first += 1
    while first < last and _is_comment(lines[last - 1]):
        last -= 1
    return "\n".join(lines[first:last]).strip(_ENDS)


def _is_comment(line: str) -> bool:
    line = line.strip(_ENDS)
    return not line or line.startswith("#")


def _ascii(text: str) -> str:
    if _NOT_ASCII.search(text):
        raise RecipientRefused(RecipientProblem.CONTROL_CHARACTERS)
    return text


def _json(text: str) -> str:
    # The parser of JSON refuses control characters in its own way, and reads only members that are ASCII.
    # A lone surrogate could not even be encoded.
    if '"' not in text:
        text = text.translate(_STRAIGHT_QUOTES)
    if re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]", text):
        raise RecipientRefused(RecipientProblem.CONTROL_CHARACTERS)
    return text


def _pem(text: str, dropped: list[Dropped]) -> str:
    """Return the only block in `text`, its headers and the text around it removed."""
    # A PEM file that went through JSON twice, or through an environment variable.
    if "\n" not in text:
        text = text.replace("\\r", "").replace("\\n", "\n")
    labels = _PEM_BEGIN.findall(text)
    if len(labels) > 1:
        chain = set(labels) == {"CERTIFICATE"}
        raise RecipientRefused(RecipientProblem.CERTIFICATE_CHAIN if chain else RecipientProblem.SEVERAL)
    malformed = RecipientProblem.PGP_MALFORMED if PGP_LABEL in labels else RecipientProblem.PEM_MALFORMED
    begin, end = _PEM_BEGIN.search(text), _PEM_END.search(text)
    if begin is None or end is None or begin[1] != end[1] or len(_ANY_BOUNDARY.findall(text)) != 2:  # noqa: PLR2004  # BEGIN and END
        raise RecipientRefused(malformed)
    # RFC 7468 sections 2 and 5.2: text before a block explains it, such as the attributes of PKCS #12.
    around = text[: begin.start()] + "\n" + text[end.end() :]
    if _keys_in(around):
        raise RecipientRefused(RecipientProblem.SEVERAL)
    if around.strip(_ENDS):
        dropped.append(Dropped.SURROUNDING_TEXT)
    content = text[begin.end() : end.start()]
    headers = _ARMOR_HEADERS.match(content) if begin[1] == PGP_LABEL else None
    if headers:
        content = content[headers.end() :]
        dropped.append(Dropped.ARMOR_HEADERS)
    # RFC 7468 section 3: parsers handle different line ends, blank lines and indentation.
    words = _ascii(content).split()
    lines = ["", *words] if begin[1] == PGP_LABEL else textwrap.wrap("".join(words), 64)
    return "\n".join([begin[0], *lines, end[0]])


def _line(text: str, dropped: list[Dropped]) -> str:
    """Return the only key in `text`: an age recipient, or an SSH key without its comment."""
    lines = [line.strip(_ENDS) for line in text.split("\n")]
    kept = [_AGE_LABEL.sub("", line) for line in lines if not _is_comment(line)]
    if not kept:
        # Only then: otherwise the key that is meant is in the text, even if nothing can be read from it.
        kept = [_AGE_LABEL.sub("", line) for line in lines if _AGE_LABEL.match(line)]
    if len(kept) < len(list(filter(None, lines))):
        dropped.append(Dropped.COMMENT_LINES)
    text = "\n".join(kept)
    if _keys_in(text) > 1:
        raise RecipientRefused(RecipientProblem.SEVERAL)
    if SSH_START.match(text):
        return _ssh(text, dropped)
    if _AGE_START.match(text):
        return _age(text, dropped)
    raise RecipientRefused(_other_problem(text))


def _ssh(text: str, dropped: list[Dropped]) -> str:
    key = read_key(text)
    if key is None:
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED)
    if key.wrapped:
        dropped.append(Dropped.LINE_BREAKS)
    if text[key.end :].strip(_ENDS):
        dropped.append(Dropped.COMMENT)
    return _ascii(key.line)


def _age(text: str, dropped: list[Dropped]) -> str:
    words = text.split()
    # The checksum tells where a key ends that was broken into several lines.
    for count in range(1, min(len(words), _AGE_PIECES) + 1):
        key = "".join(words[:count]).lower()  # telephones, see `read_key`, and QR codes write capitals
        if bech32.is_valid(key):
            dropped += [Dropped.LINE_BREAKS] * (count > 1) + [Dropped.COMMENT] * (count < len(words))
            return key
    return _ascii("".join(words))


def _other_problem(text: str) -> RecipientProblem:
    """Return what a text is that begins like no key."""
    key = SSH_KEY.search(text)
    if key is not None:
        before = text[: key.start()]
        if _OPTIONS.match(before):
            return RecipientProblem.SSH_OPTIONS
        if _KNOWN_HOST.match(before):
            return RecipientProblem.KNOWN_HOSTS
    if key is not None or _AGE.search(text):
        return RecipientProblem.SURROUNDING_TEXT
    for pattern, problem in _INSTEAD_OF_A_KEY:
        if re.fullmatch(pattern, text):
            return problem
    if _DER.match(text):
        return RecipientProblem.DER
    if _FINGERPRINT.match(text):
        return RecipientProblem.FINGERPRINT
    if text.startswith("AAAA"):
        return RecipientProblem.SSH_MALFORMED
    return RecipientProblem.CONTROL_CHARACTERS if _NOT_ASCII.search(text) else RecipientProblem.UNKNOWN
