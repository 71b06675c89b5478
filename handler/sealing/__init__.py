"""Sealing a private key to the public keys of those who may read it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from handler.errors import RecipientProblem, RecipientRefused
from handler.sealing.age import AgeEnvelope, parse_recipient

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AgeEnvelope", "address"]

RECIPIENT_LIMIT = 16 * 1024
"""Characters of one recipient."""

# Looked for before anything else, so that no parser, error or log ever handles a private key.
_PRIVATE = re.compile(
    r"PRIVATE KEY|AGE-SECRET-KEY-|PuTTY-User-Key-File-|\"(?:d|p|q|dp|dq|qi|k|oth)\"\s*:", re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[^\x00-\x7f]")


# In a request body; a JWK is told by its members only where a recipient is expected.
_PRIVATE_IN_BODY = re.compile(r"PRIVATE KEY|AGE-SECRET-KEY-", re.IGNORECASE)


def refuse_private_keys(body: str) -> None:
    """Raise RecipientRefused if a private key stands anywhere in a request.

    A tag's value, say, would end up in the cloud.
    """
    if _PRIVATE_IN_BODY.search(body):
        raise RecipientRefused(RecipientProblem.PRIVATE)


def address(recipients: Sequence[str]) -> AgeEnvelope:
    """Return an envelope for exactly these recipients, proven by sealing a trial text to them.

    Raises RecipientRefused with the position of the first recipient that is at fault.
    """
    parsed = []
    for position, recipient in enumerate(recipients):
        try:
            parsed.append(parse_recipient(_plain(recipient)))
        except RecipientRefused as refusal:
            raise RecipientRefused(refusal.problem, position) from None
    envelope = AgeEnvelope(tuple(parsed))
    envelope.try_seal()
    return envelope


def _plain(recipient: str) -> str:
    if _PRIVATE.search(recipient):
        raise RecipientRefused(RecipientProblem.PRIVATE)
    if len(recipient) > RECIPIENT_LIMIT:
        raise RecipientRefused(RecipientProblem.TOO_LONG)
    if _CONTROL.search(recipient):
        raise RecipientRefused(RecipientProblem.CONTROL_CHARACTERS)
    text = recipient.strip()
    if "\n" in text or "\r" in text:
        raise RecipientRefused(RecipientProblem.SEVERAL)
    return text
