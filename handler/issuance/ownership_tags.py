"""Ownership tags: which key pairs this function made, for which caller, and until when.

SECURITY BOUNDARY: key pairs are deleted, listed and shown to their caller by what these tags say. A code that
only this function can compute covers them and the key pair's name. Without it, anybody who may set tags in
the account could make the function delete somebody else's key pair.

A tag's value is an object of its own in Tencent Cloud. It outlives the key pair, and an account may have only
so many (651/13354). So no value here is unique: the holder and the code are spread over several tags with 32
values each, and the expiry over four. Whatever the function issues, the number of values stays below a
thousand, apart from one for each caller and twelve for each year.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from handler.auth.master_secret import Purpose
from handler.order import CALLER_TAG, RFC_3339, TAG_PREFIX
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.auth.master_secret import MasterSecrets

ALPHABET = "23456789abcdefghijkmnpqrstuvwxyz"
"""The digits of holders and codes: 5 bits each, without those that look alike."""
HOLDER_DIGITS = 7
_CODE_DIGITS = 8
"""40 bits. Guessing means setting tags in the account and waiting for a sweep to look at them."""

_DIGIT_KEYS = [f"{TAG_PREFIX}mark-{position:02}" for position in range(1, HOLDER_DIGITS + _CODE_DIGITS + 1)]
_EXPIRY_KEYS = [f"{TAG_PREFIX}expires-{part}" for part in ("month", "day", "hour", "minute")]
_EXPIRY_FORMATS = ["%Y-%m", "%d", "%H", "%M"]

_NOTICE = re.compile(
    rf"orphan, keypair-function removes it on (?P<day>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}) "
    rf"(?P<code>[{ALPHABET}]{{{_CODE_DIGITS}}})"
)

# Up to version 0.1: one value with everything in it, and one with the expiry.
_FORMER_KEY = TAG_PREFIX + "order"
_FORMER_EXPIRY_KEY = TAG_PREFIX + "expires"
_FORMER_FORM = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{32})\.([0-9a-f]{32})")
_FORMER_CODE_DIGITS = 32


@dataclass(frozen=True)
class OwnershipTag:
    """What the tags of a key pair say, once their code has been checked."""

    caller_id: str
    holder: str
    """The invocation that made the key pair, as its idempotency record names it."""
    expires_at: datetime | None = None
    record_id: str | None = None
    """The idempotency record. Only former tags name it; otherwise the ledger finds it by the holder."""


@dataclass(frozen=True)
class TagSigner:
    """Writes ownership tags and reads its own."""

    master_secrets: MasterSecrets

    def write(self, tag: OwnershipTag, name: str) -> dict[str, str]:
        """Return the tags of the key pair `name`; an expiry has whole minutes."""
        code = self.master_secrets.code(Purpose.OWNERSHIP, _signed_text(tag, name), ALPHABET, _CODE_DIGITS)
        tags = {CALLER_TAG: tag.caller_id, **dict(zip(_DIGIT_KEYS, tag.holder + code, strict=True))}
        if tag.expires_at is not None:
            parts = [tag.expires_at.strftime(form) for form in _EXPIRY_FORMATS]
            tags.update(zip(_EXPIRY_KEYS, parts, strict=True))
        return tags

    def read(self, tags: Mapping[str, str], name: str) -> OwnershipTag | None:
        """Return what `tags` say about the key pair `name`; None if this function did not write them."""
        if _FORMER_KEY in tags:
            return self._read_former(tags, name)
        digits = "".join(tags.get(key, "") for key in _DIGIT_KEYS)
        if len(digits) != len(_DIGIT_KEYS):
            return None
        try:
            expires_at = _expiry(tags)
        except ValueError:
            return None
        tag = OwnershipTag(tags.get(CALLER_TAG, ""), digits[:HOLDER_DIGITS], expires_at)
        code = digits[HOLDER_DIGITS:]
        own = self.master_secrets.has_code(Purpose.OWNERSHIP, _signed_text(tag, name), ALPHABET, code)
        return tag if own else None

    def orphan_notice(self, key_id: str, day: date) -> str:
        """Return the description of an orphan that is to be removed on `day`; at most 60 characters."""
        code = self.master_secrets.code(Purpose.ORPHAN_NOTICE, f"{key_id}\n{day}", ALPHABET, _CODE_DIGITS)
        return f"orphan, keypair-function removes it on {day} {code}"

    def removal_day(self, key_id: str, description: str) -> date | None:
        """Return the day in an orphan notice; None if `description` is not one for this key pair."""
        matched = _NOTICE.fullmatch(description)
        if matched is None:
            return None
        text = f"{key_id}\n{matched['day']}"
        if not self.master_secrets.has_code(Purpose.ORPHAN_NOTICE, text, ALPHABET, matched["code"]):
            return None
        return date.fromisoformat(matched["day"])

    def _read_former(self, tags: Mapping[str, str], name: str) -> OwnershipTag | None:
        matched = _FORMER_FORM.fullmatch(tags[_FORMER_KEY])
        if matched is None:
            return None
        record_id, order, holder, code = matched.groups()
        expires = tags.get(_FORMER_EXPIRY_KEY, "")
        text = f"{record_id}\n{order}\n{holder}\n{name}\n{expires}"
        if not self.master_secrets.matches(Purpose.FORMER_OWNERSHIP_TAG, text, code, _FORMER_CODE_DIGITS):
            return None
        expires_at = _rfc3339(expires) if expires else None
        # The code of former tags does not cover the caller.
        return OwnershipTag(tags.get(CALLER_TAG, ""), holder, expires_at, record_id)


def whole_minutes(seconds: float) -> datetime:
    """Return the first whole minute, in UTC, that is not before `seconds` since 1970."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    rounded = moment.replace(second=0, microsecond=0)
    return rounded if rounded == moment else rounded + timedelta(minutes=1)


def _signed_text(tag: OwnershipTag, name: str) -> str:
    expires = "" if tag.expires_at is None else tag.expires_at.strftime("%Y-%m-%dT%H:%MZ")
    return f"{tag.caller_id}\n{tag.holder}\n{name}\n{expires}"


def _expiry(tags: Mapping[str, str]) -> datetime | None:
    """Return the expiry in `tags`, None if there is none; raise ValueError if it is incomplete."""
    parts = [tags.get(key) for key in _EXPIRY_KEYS]
    if parts == [None] * len(parts):
        return None
    text = " ".join(part or "" for part in parts)
    return datetime.strptime(text, " ".join(_EXPIRY_FORMATS)).replace(tzinfo=timezone.utc)


def _rfc3339(text: str) -> datetime:
    return datetime.strptime(text, RFC_3339).replace(tzinfo=timezone.utc)
