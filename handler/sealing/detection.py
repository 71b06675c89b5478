"""Detects the envelope format for a recipient.

The beginning of the text determines the format, and only that format's parser reads the rest. If it fails,
no other parser is tried: otherwise a text could be accepted with a meaning that its sender did not intend.
"""

from __future__ import annotations

import base64
import binascii
import re

from handler.errors import RecipientRefused
from handler.order import EnvelopeFormat
from handler.sealing.recipient_problems import RecipientProblem

# RFC 8410 section 4: an X25519 SubjectPublicKeyInfo up to the key. OpenSSL's CMS does not support X25519.
_X25519_SPKI = bytes.fromhex("302a300506032b656e032100")

# The key types of OpenSSH, followed by a space. Types that are refused later count as SSH keys as well.
_SSH = re.compile(r"(?:sk-)?(?:ssh|ecdsa|webauthn-sk-ecdsa)-[a-z0-9@.-]+[ \t]", re.IGNORECASE)
# `\s` and not `\s+`: two adjacent runs of the same characters would take quadratic time.
_PEM = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]{1,64})-----\s(?P<content>[A-Za-z0-9+/=\s]*)-----END ")
_PEM_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,64})-----")


def detect(text: str) -> EnvelopeFormat:
    """Return the format for the recipient in `text`, stripped of outer space; raise RecipientRefused."""
    if text.startswith("{"):
        return EnvelopeFormat.JWE
    labels = _PEM_BEGIN.findall(text)
    line = text.lower().startswith("age1") or _SSH.match(text)
    # Only PEM and JSON may span lines.
    if len(labels) > 1 or ((line or not labels) and ("\n" in text or "\r" in text)):
        raise RecipientRefused(RecipientProblem.SEVERAL)
    if line:
        return EnvelopeFormat.AGE
    if not labels:
        raise RecipientRefused(RecipientProblem.UNKNOWN)
    if not text.startswith("-----BEGIN "):
        raise RecipientRefused(RecipientProblem.PEM_MALFORMED)
    if labels[0] == "PGP PUBLIC KEY BLOCK":
        return EnvelopeFormat.OPENPGP
    if labels[0] == "PUBLIC KEY" and _is_x25519(text):
        return EnvelopeFormat.JWE
    if labels[0] in ("PUBLIC KEY", "CERTIFICATE"):
        return EnvelopeFormat.CMS
    raise RecipientRefused(RecipientProblem.PEM_TYPE)


def _is_x25519(text: str) -> bool:
    block = _PEM.match(text)
    try:
        return block is not None and base64.b64decode(block["content"]).startswith(_X25519_SPKI)
    except binascii.Error:
        return False
