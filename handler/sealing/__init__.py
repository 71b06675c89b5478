"""Sealing a private key to the public keys of those who may read it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from handler.errors import RecipientRefused
from handler.order import EnvelopeFormat
from handler.sealing.detection import detect
from handler.sealing.recipient_problems import RECIPIENT_LIMIT, RecipientProblem
from handler.sealing.sealer import Contents, Sealer, parse_each

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Contents", "Sealer", "address"]

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


def refuse_private_recipient(text: str) -> None:
    """Raise RecipientRefused if private key material of any kind stands in `text`, a JWK's members too."""
    if _PRIVATE.search(text):
        raise RecipientRefused(RecipientProblem.PRIVATE)


def address(
    recipients: Sequence[str],
    *,
    now: float,
    stated: EnvelopeFormat | None = None,
    escrow: Sequence[str] = (),
) -> Sealer:
    """Return an envelope for these recipients and escrow, proven by sealing a trial text to them.

    One envelope has one format: that of the recipients, which has to be the `stated` one if there is one.
    Escrow recipients of other formats are left out, but not all of them. `now` is in seconds since 1970.

    Raises RecipientRefused with the position of the first recipient that is at fault; those of escrow are
    counted on from the last recipient.
    """
    if not recipients:
        raise RecipientRefused(RecipientProblem.MISSING)
    texts = parse_each([*recipients, *escrow], _plain)
    formats = parse_each(texts, detect)
    chosen, count = formats[0], len(recipients)
    if stated not in (None, chosen):
        # Without a position: it is the request that is at fault, even if the recipients are registered ones.
        raise RecipientRefused(RecipientProblem.OTHER_FORMAT)
    for position, found in enumerate(formats[:count]):
        if found is not chosen:
            raise RecipientRefused(RecipientProblem.MIXED_FORMATS, position)
    extra = [
        text
        for text, found in zip(texts[count:], formats[count:], strict=True)
        if found is chosen and text not in texts[:count]
    ]
    envelope = _kind(chosen).to([*texts[:count], *extra], now)
    if escrow and chosen not in formats[count:]:
        raise RecipientRefused(RecipientProblem.WITHOUT_ESCROW, 0)
    envelope.try_seal()
    return envelope


def _kind(chosen: EnvelopeFormat) -> type[Sealer]:
    # Imported here: some of them take longer than all the rest of a cold start.
    if chosen is EnvelopeFormat.AGE:
        from handler.sealing.age import AgeSealer

        return AgeSealer
    if chosen is EnvelopeFormat.JWE:
        from handler.sealing.jwe import JweSealer

        return JweSealer
    if chosen is EnvelopeFormat.CMS:
        from handler.sealing.cms import CmsSealer

        return CmsSealer
    try:
        from handler.sealing.openpgp import OpenPgpSealer
    except ModuleNotFoundError:
        raise RecipientRefused(RecipientProblem.OPENPGP_NOT_INSTALLED, 0) from None
    return OpenPgpSealer


def _plain(recipient: str) -> str:
    refuse_private_recipient(recipient)
    if len(recipient) > RECIPIENT_LIMIT:
        raise RecipientRefused(RecipientProblem.TOO_LONG)
    if _CONTROL.search(recipient):
        raise RecipientRefused(RecipientProblem.CONTROL_CHARACTERS)
    return recipient.strip()
