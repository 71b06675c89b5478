"""Seals (encrypts) a private key to the public keys of its recipients."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from handler.errors import RecipientRefused
from handler.order import EnvelopeFormat
from handler.sealing.detection import detect
from handler.sealing.recipient_problems import RecipientProblem
from handler.sealing.recipient_text import NormalisedText, normalise
from handler.sealing.sealer import Contents, Sealer, parse_each

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Contents", "NormalisedText", "Sealer", "prepare_sealer", "read_recipient"]

# Checked before anything else, so that no parser, error or log ever sees a private key.
_PRIVATE = re.compile(
    # A member of a JWK that is null is absent: some programs write all members.
    r"PRIVATE\sKEY|AGE-SECRET-KEY-|PuTTY-User-Key-File-"
    # Quotes as chat clients and Python print them count as well.
    r"|[\"'\u201c-\u201e\uff02](?:d|p|q|dp|dq|qi|k|oth)[\"'\u201c-\u201e\uff02]\s*:(?!\s*null\b)",
    re.IGNORECASE,
)


# In a request body. Members of a private JWK are searched for only in recipients.
_PRIVATE_IN_BODY = re.compile(r"PRIVATE\sKEY|AGE-SECRET-KEY-", re.IGNORECASE)


def refuse_private_keys(body: str) -> None:
    """Raise RecipientRefused if a request contains a private key anywhere.

    In the value of a tag, for example, it would be sent to the cloud.
    """
    if _PRIVATE_IN_BODY.search(body):
        raise RecipientRefused(RecipientProblem.PRIVATE)


def refuse_private_recipient(text: str) -> None:
    """Raise RecipientRefused if `text` contains private key material, private members of a JWK included."""
    if _PRIVATE.search(text):
        raise RecipientRefused(RecipientProblem.PRIVATE)


def prepare_sealer(
    recipients: Sequence[str],
    *,
    now: float,
    stated: EnvelopeFormat | None = None,
    escrow: Sequence[str] = (),
) -> Sealer:
    """Return a sealer for these recipients and escrow recipients, tested by sealing a trial text.

    An envelope has one format, which the recipients determine. If `stated` is given, it must be the same.
    Escrow recipients of other formats are left out, but at least one must remain. `now` is in seconds since
    1970.

    Raises RecipientRefused with the position of the first recipient at fault. Escrow recipients are numbered
    after the others.
    """
    if not recipients:
        raise RecipientRefused(RecipientProblem.MISSING)
    normalised = parse_each([*recipients, *escrow], read_recipient)
    formats = parse_each(normalised, detect)
    texts = [recipient.text for recipient in normalised]
    chosen, count = formats[0], len(recipients)
    if stated not in (None, chosen):
        # Without a position: the request is at fault, not a recipient, which may be a registered one.
        raise RecipientRefused(RecipientProblem.OTHER_FORMAT)
    for position, found in enumerate(formats[:count]):
        if found is not chosen:
            raise RecipientRefused(RecipientProblem.MIXED_FORMATS, position)
    extra = [
        text
        for text, found in zip(texts[count:], formats[count:], strict=True)
        if found is chosen and text not in texts[:count]
    ]
    sealer = _sealer_class(chosen).to([*texts[:count], *extra], now)
    if escrow and chosen not in formats[count:]:
        raise RecipientRefused(RecipientProblem.WITHOUT_ESCROW, 0)
    sealer.try_seal()
    return sealer


def _sealer_class(chosen: EnvelopeFormat) -> type[Sealer]:
    # Imported here because some of them take longer than the rest of a cold start.
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


def read_recipient(text: str) -> NormalisedText:
    """Return the key material in `text`, and what was removed; raise RecipientRefused."""
    refuse_private_recipient(text)
    return normalise(text)
