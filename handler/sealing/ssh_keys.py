"""Finds SSH public keys in a text, and the end of each: an SSH key states its own length."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re

from handler.startup.records import dataclass

# The key types of OpenSSH. Types that are refused later count as SSH keys as well.
_TYPE = r"(?:sk-|webauthn-sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]{1,64}"
SSH_KEY = re.compile(rf"(?<![A-Za-z0-9@._/+-])(?P<type>{_TYPE})\s+(?=AAAA)", re.IGNORECASE)
"""The beginning of a key anywhere in a text: a type, and a blob that begins with a length below 2^8."""
SSH_START = re.compile(rf"(?P<type>{_TYPE})(?:\s+|$)", re.IGNORECASE)
"""The beginning of a key at the beginning of a text, its blob possibly damaged."""

# A word ends before a closing quote as well.
_QUOTES = "\"'`\u201d\u2019\u300d\u00bb"
_WORD = re.compile(rf"([^\s{_QUOTES}]+)")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_PIECE = re.compile(rf"\s+([A-Za-z0-9+/]+={{0,2}}|={{1,2}})(?![^\s{_QUOTES}])")
# Fewer columns are no line width that a blob is wrapped at.
_WRAPPED_AT_LEAST = 40
_BLOB = re.compile(r"AAAA[BCEI][A-Za-z0-9+/]{30}[A-Za-z0-9+/]*")
"""The blob of an SSH key anywhere in a text, whatever precedes it."""
_FIELDS = {
    "ssh-ed25519": 2,
    "ssh-rsa": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
}
"""How many strings a blob has, by type (RFC 8709 section 4, RFC 4253 section 6.6, RFC 5656 section 3.1)."""


@dataclass(frozen=True)
class SshKey:
    """An SSH key in a text: its type and blob, and where the blob ends. `wrapped` if the blob was broken."""

    type: str
    blob: str
    end: int
    wrapped: bool

    @property
    def line(self) -> str:
        """The key without a comment."""
        return f"{self.type} {self.blob}"


def read_key(text: str, start: int = 0) -> SshKey | None:
    """Return the key that begins at `start`; None unless there is a type and one word or more.

    If the blob was broken into several lines, its pieces are joined. They end where the strings inside the
    blob end, so a comment that looks like base64 is not taken for a piece. If they never end there, the blob
    is the first word as it is. A cut blob is not completed with its comment: where a program has turned line
    ends into blanks, there are three pieces or more, and those in the middle are long.
    """
    begun = SSH_START.match(text, start)
    first = _WORD.match(text, begun.end()) if begun else None
    if begun is None or first is None:
        return None
    # Telephones write the first letter of a text in upper case.
    key_type = begun["type"].lower()
    pieces = [first]
    if key_type in _FIELDS and _BASE64.fullmatch(first[0]) and _length(key_type, first[0]) != len(first[0]):
        while piece := _PIECE.match(text, pieces[-1].end()):
            pieces.append(piece)
        joined = "".join(piece[1] for piece in pieces)
        length, wanted = 0, _length(key_type, joined)
        for count, piece in enumerate(pieces, 1):
            length += len(piece[1])
            if length == wanted and _was_wrapped(text, pieces[:count]):
                return SshKey(key_type, joined[:length], piece.end(), wrapped=True)
    return SshKey(key_type, first[0], first.end(), wrapped=False)


def _was_wrapped(text: str, pieces: list[re.Match[str]]) -> bool:
    """Tell whether line ends separate the pieces, or may have done so."""
    if all("\n" in text[before.end() : piece.start(1)] for before, piece in itertools.pairwise(pieces)):
        return True
    middle = pieces[1:-1]
    return bool(middle) and all(len(piece[1]) >= _WRAPPED_AT_LEAST for piece in middle)


def blobs_in(text: str) -> int:
    """Return how many blobs of SSH keys seem to begin in `text`."""
    return len(_BLOB.findall(text))


def _length(key_type: str, encoded: str) -> int | None:
    """Return how many characters the strings of one key take up, or None if `encoded` lacks some of them."""
    digits = encoded.partition("=")[0]
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    blob = base64.b64decode(digits + "=" * (-len(digits) % 4))
    end = 0
    for _ in range(_FIELDS[key_type]):
        end += 4 + int.from_bytes(blob[end : end + 4], "big")
        if end > len(blob):
            return None
    return -(-end // 3) * 4


def fields(encoded: str) -> list[bytes]:
    """Return the strings in a blob (RFC 4251 section 5); raise ValueError.

    Python's decoder accepts variations of padding and unused bits; OpenSSH does not. Nor may bytes follow,
    which pyrage would accept.
    """
    if not _BASE64.fullmatch(encoded):
        raise ValueError("not canonical")
    blob = base64.b64decode(encoded)
    if base64.b64encode(blob).decode() != encoded:
        raise ValueError("not canonical")
    found = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise ValueError("cut")
        found.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return found


def digest(encoded: str) -> bytes:
    """Return the SHA-256 of a blob."""
    return hashlib.sha256(base64.b64decode(encoded)).digest()


def fingerprint(encoded: str) -> str:
    """Return SHA256:… as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(digest(encoded)).rstrip(b"=").decode()
