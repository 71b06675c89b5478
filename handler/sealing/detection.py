"""Which format of envelope a recipient's text calls for.

Each kind of text has one format, told by how it begins; what the rest is worth is the format's own matter.
Nothing falls through to another: a text that two parsers could take would mean what its sender did not.
"""

from __future__ import annotations

import base64
import binascii
import re

from handler.errors import RecipientRefused
from handler.order import EnvelopeFormat
from handler.sealing.recipient_problems import RecipientProblem

# RFC 8410 section 4: the SubjectPublicKeyInfo of X25519 up to the key. OpenSSL's CMS cannot use such a key.
_X25519_SPKI = bytes.fromhex("302a300506032b656e032100")

# OpenSSH's names of key types end at a space; also those that are refused are SSH keys.
_SSH = re.compile(r"(?:sk-)?(?:ssh|ecdsa|webauthn-sk-ecdsa)-[a-z0-9@.-]+[ \t]", re.IGNORECASE)
# One `\s` and no `\s+`: two runs of the same characters side by side take time by the square of their length.
_PEM = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]{1,64})-----\s(?P<content>[A-Za-z0-9+/=\s]*)-----END ")
_PEM_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,64})-----")


def detect(text: str) -> EnvelopeFormat:
    """Return the format for the recipient in `text`, which has no outer space; raise RecipientRefused."""
    if text.startswith("{"):
        return EnvelopeFormat.JWE
    labels = _PEM_BEGIN.findall(text)
    line = text.lower().startswith("age1") or _SSH.match(text)
    # Only PEM and JSON have lines.
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
