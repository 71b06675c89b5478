"""Detects the envelope format for a recipient.

The beginning of the normalised text determines the format, and only that format's parser reads the rest. If
it fails, no other parser is tried: otherwise a text could be accepted with a meaning that its sender did not
intend.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from handler.errors import RecipientRefused
from handler.order import EnvelopeFormat
from handler.sealing.recipient_problems import RecipientProblem
from handler.sealing.recipient_text import PGP_LABEL

if TYPE_CHECKING:
    from handler.sealing.recipient_text import NormalisedText

# RFC 8410 section 4: an X25519 SubjectPublicKeyInfo up to the key. OpenSSL's CMS does not support X25519.
_X25519_SPKI = bytes.fromhex("302a300506032b656e032100")
_PEM = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]{1,64})-----\n(?P<content>.*)-----END ", re.DOTALL)


def detect(recipient: NormalisedText) -> EnvelopeFormat:
    """Return the format for a recipient; raise RecipientRefused."""
    text = recipient.text
    if text.startswith("{"):
        return EnvelopeFormat.JWE
    block = _PEM.match(text)
    if block is None:
        return _line_format(text.partition(" ")[0].lower())
    if block["label"] == PGP_LABEL:
        return EnvelopeFormat.OPENPGP
    if block["label"] == "PUBLIC KEY" and _is_x25519(block["content"]):
        return EnvelopeFormat.JWE
    if block["label"] in ("PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"):
        return EnvelopeFormat.CMS
    raise RecipientRefused(RecipientProblem.PEM_TYPE)


def _line_format(word: str) -> EnvelopeFormat:
    if word.startswith("age1") or word in ("ssh-ed25519", "ssh-rsa"):
        return EnvelopeFormat.AGE
    # age has no recipients of this type, but the keys can be used for ECDH.
    if word in ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"):
        return EnvelopeFormat.JWE
    sign_only = word.startswith(("sk-", "webauthn-sk-"))
    raise RecipientRefused(RecipientProblem.SSH_SECURITY_KEY if sign_only else RecipientProblem.SSH_TYPE)


def _is_x25519(content: str) -> bool:
    try:
        return base64.b64decode(content).startswith(_X25519_SPKI)
    except binascii.Error:
        return False
