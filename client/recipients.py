"""Public keys that the user names as recipients: read here so that a private one never leaves the machine."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from client.errors import UsageProblem
from client.folders import shown
from client.language import tr

# The last one: a private member of a JWK, however the text around it is damaged. Azure writes null for those
# of a public key.
_PRIVATE = re.compile(
    r"PRIVATE\sKEY|AGE-SECRET-KEY-|PuTTY-User-Key-File-"
    r'|"(?:d|p|q|dp|dq|qi|oth|k)\\?"\s*:(?!\s*null)',
    re.IGNORECASE,
)
_PRIVATE_JWK = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_LINE = re.compile(r"(?:age1|ssh-|ecdsa-|sk-)")
_KEY_TEXT = re.compile(rf"{_LINE.pattern}|-----BEGIN|\{{")
_PUBLISHED = re.compile(r"github:([A-Za-z0-9-]+)")
_FINGERPRINT = re.compile(
    r"(?:SHA256:|MD5:)\S+|(?:[0-9A-Fa-f]{4} *){10}|(?:[0-9A-Fa-f]{2}:){15,31}[0-9A-Fa-f]{2}"
)
_SIZE_LIMIT = 48 * 1024
"""Characters of the longest recipient that the function accepts, a PGP key."""


def read_recipients(sources: tuple[str, ...]) -> tuple[str, ...]:
    """Return the public keys in files, in `-` (standard input), or given as they are. Raises UsageProblem."""
    expected = tr("--recipient takes a file, '-' for standard input, or a public key: age1…, ssh-ed25519 …")
    keys = tuple(key for source in sources for key in _keys(*_text_of(source, expected)))
    return tuple(dict.fromkeys(keys))


def read_public_key(source: str) -> str:
    """Return the one public key in a file or on standard input. Raises UsageProblem."""
    keys = _keys(*_text_of(source, tr("Name a file with an RSA public key, such as ~/.ssh/id_rsa.pub.")))
    if len(keys) != 1:
        raise UsageProblem(
            tr("{place} contains {number} keys.", place=source, number=len(keys)),
            tr("Give a file with one key, such as ~/.ssh/id_rsa.pub."),
        )
    return keys[0]


def _text_of(source: str, expected: str) -> tuple[str, str]:
    """Return where a key is from, for messages, and its text. `expected` is the advice for no such file."""
    if source == "-":
        return tr("standard input"), sys.stdin.read()
    if _KEY_TEXT.match(source):
        return tr("the recipient"), source
    if user := _PUBLISHED.fullmatch(source):
        raise UsageProblem(
            tr("{source} is the name of a user, which chats take.", source=source),
            tr("Here: curl https://github.com/{user}.keys | keypair create NAME --recipient -", user=user[1]),
        )
    path = Path(source).expanduser()
    try:
        raw = path.read_bytes()
    except OSError:
        raise UsageProblem(
            tr("There is no file {file}.", file=source),
            expected,
        ) from None
    try:
        return shown(path), raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageProblem(
            tr("{file} is not text.", file=shown(path)),
            tr("Give a public key as text: for PGP `gpg --armor --export NAME`, for certificates PEM."),
        ) from None


def _keys(place: str, text: str) -> tuple[str, ...]:
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    # SECURITY BOUNDARY: the function refuses private keys as well, but by then they would have travelled.
    if _PRIVATE.search(text) or _is_private_jwk(text):
        raise UsageProblem(
            tr("{place} contains a private key. Nothing was sent.", place=place),
            tr("Give the public half: {how}", how=_public_half(text)),
        )
    if not text:
        raise UsageProblem(tr("{place} is empty.", place=place), tr("Give a public key."))
    lines = [line.strip() for line in text.split("\n")]
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    # A list of keys. The function reads everything else, with what usually stands around it.
    found = keys if all(_LINE.match(key) for key in keys) else (text,)
    for key in found:
        _check(place, key)
    return found


def _public_half(text: str) -> str:
    """Return how the public half of a private key is had."""
    if "AGE-SECRET-KEY-" in text.upper():
        return "age-keygen -y FILE"
    if "PGP PRIVATE KEY" in text:
        return "gpg --armor --export NAME"
    if "PuTTY-User-Key-File" in text:
        return "puttygen FILE -L"
    if text.lstrip().startswith("{"):
        return tr("the JWK without its private members.")
    if "OPENSSH PRIVATE KEY" in text or "RSA PRIVATE KEY" in text:
        return tr("the file that ends in .pub.")
    return "openssl pkey -in FILE -pubout"


def _check(place: str, key: str) -> None:
    if len(key) > _SIZE_LIMIT:
        raise UsageProblem(
            tr("The key in {place} is longer than 48 KiB.", place=place),
            tr("For PGP: gpg --armor --export-options export-minimal,no-export-attributes --export NAME"),
        )
    if key.startswith(("sk-", "ssh-dss")):
        raise UsageProblem(
            tr("Nothing can be sealed to a key of type {type}.", type=key.split(maxsplit=1)[0]),
            tr("Use an ssh-ed25519, ssh-rsa or ecdsa key, or leave --recipient out."),
        )
    if _FINGERPRINT.fullmatch(key):
        raise UsageProblem(
            tr("{place} contains a fingerprint, and no key.", place=place),
            tr("Give the key itself: the file that ends in .pub, or what `gpg --armor --export` prints."),
        )
    if not _KEY_TEXT.search(key):
        raise UsageProblem(
            tr("{place} does not contain a public key.", place=place),
            tr("Public keys begin with age1, ssh-, ecdsa- or -----BEGIN, or are a JWK."),
        )


def _is_private_jwk(text: str) -> bool:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):  # the latter for brackets in brackets without end
        return False
    keys = parsed.get("keys", [parsed]) if isinstance(parsed, dict) else []
    # Azure writes the private members of a public key as null.
    members = [
        {name for name, value in key.items() if value is not None} for key in keys if isinstance(key, dict)
    ]
    return any(_PRIVATE_JWK & names for names in members)
