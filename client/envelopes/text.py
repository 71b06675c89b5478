"""Finds the envelope in what people paste: JSON answers, code fences, quotes, mail, Windows line ends."""

from __future__ import annotations

import json
import re
from typing import Any

from client.errors import NotOpened
from client.language import tr

# What is pasted may come from anybody: everything here reads a text a fixed number of times, whatever it has.
_BEGIN = re.compile(r"-----BEGIN (AGE ENCRYPTED FILE|CMS|PKCS7|PGP MESSAGE)-----")
_FORMATS = {"AGE ENCRYPTED FILE": "age", "CMS": "cms", "PKCS7": "cms", "PGP MESSAGE": "openpgp"}
_COMPACT_JWE_LETTERS = re.compile(r"[\w.-]+", re.ASCII)
_ARMOR_HEADER = re.compile(r"[A-Za-z-]+: ")


class Found:
    """An envelope, its format, and the answer of the function that it was in, if it was."""

    def __init__(self, envelope_format: str, text: str, answer: dict[str, Any] | None = None) -> None:
        self.format = envelope_format
        self.text = text
        self.answer = answer or {}


def find_envelope(text: str) -> Found:
    """Return the one envelope in a text. Raises NotOpened."""
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if (parsed := _json(text)) is not None:
        return _in_json(parsed)
    if "\\n" in text:
        # A JSON string that lost its quotes: no envelope has a backslash of its own.
        text = text.replace("\\r", "").replace("\\n", "\n").replace("\\/", "/")
    found = _in_text(text)
    if found is None and "PRIVATE KEY-----" in text:
        raise NotOpened(
            tr("This is a private key already; there is nothing to open."),
            tr("Log in with it: ssh -i FILE USER@HOST"),
        )
    if found is None:
        cut = "-----BEGIN" in text
        raise NotOpened(
            tr("The envelope is cut off: it has no END line.")
            if cut
            else tr("There is no envelope in this."),
            tr("Give the whole text from BEGIN to END, or the function's JSON answer."),
        )
    return found


def _json(text: str) -> Any:  # noqa: ANN401  # decoded JSON
    for candidate in (text, _in_fence(text)):
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):  # the latter for brackets in brackets without end
            continue
    return None


def _in_fence(text: str) -> str:
    found = re.search(r"```\w*\n(.*?)```", text, re.DOTALL)
    return found[1] if found else ""


def _in_json(parsed: Any) -> Found:  # noqa: ANN401  # decoded JSON
    if isinstance(parsed, str):
        return find_envelope(parsed)
    if isinstance(parsed, dict):
        if "ciphertext" in parsed and ("protected" in parsed or {"recipients", "iv"} <= parsed.keys()):
            return Found("jwe", json.dumps(parsed))
        response = parsed.get("Response")
        parsed = response if isinstance(response, dict) else parsed
        sealed = parsed.get("sealedPrivateKey") or parsed.get("KeyPair") or parsed.get("data") or parsed
        if isinstance(sealed, dict):
            for member in ("ciphertext", "PrivateKey", "secretkey"):
                if isinstance(sealed.get(member), str):
                    found = find_envelope(sealed[member])
                    return Found(found.format, found.text, parsed)
    raise NotOpened(
        tr("There is no envelope in this JSON."),
        tr("Give the whole text from BEGIN to END, or the function's JSON answer."),
    )


def _in_text(text: str) -> Found | None:
    if block := _block(text):
        label, content = block
        lines = [_bare(line) for line in content.split("\n")]
        # Of PGP's armor headers (RFC 9580 section 6.2.2) nothing is needed; the blank line is.
        body = [line for line in lines if line and not _ARMOR_HEADER.match(line)]
        blank = [""] if label == "PGP MESSAGE" else []
        return Found(
            _FORMATS[label],
            "\n".join([f"-----BEGIN {label}-----", *blank, *body, f"-----END {label}-----", ""]),
        )
    if compact := _compact_jwe(re.sub(r"\s+", "", text)):
        return Found("jwe", compact)
    return None


def _block(text: str) -> tuple[str, str] | None:
    """Return the label of the first block that has an end, and what stands between."""
    ends = {label: text.rfind(f"-----END {label}-----") for label in _FORMATS}
    for begin in _BEGIN.finditer(text):
        if ends[begin[1]] >= begin.end():
            return begin[1], text[begin.end() : text.find(f"-----END {begin[1]}-----", begin.end())]
    return None


def _compact_jwe(text: str) -> str:
    """Return the first compact JWE (RFC 7516 section 7.1): five parts; the second may be empty."""
    for run in _COMPACT_JWE_LETTERS.findall(text):
        parts = run.split(".")
        for place in range(len(parts) - 4):
            _, found, header = parts[place].partition("eyJ")
            if found and header and all(parts[place + 2 : place + 5]):
                return ".".join((found + header, *parts[place + 1 : place + 5]))
    return ""


def _bare(line: str) -> str:
    """Take away what surrounds a line of base64: indentation, quote marks of mail and of strings, commas."""
    return line.strip(" \t>|\"',`\\") if not _ARMOR_HEADER.match(line) else line.strip()
