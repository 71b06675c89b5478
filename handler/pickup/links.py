"""Pick-up links: for an envelope that is too long for a chat, `POST /pickup/ID`, good for one reading.

What lies there is ciphertext. That it can be read once only tells its owner whether somebody else was there.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from handler.auth.master_secret import MasterSecrets, Purpose
from handler.errors import NotFound, PickedUp, StoreUnavailable
from handler.http.messages import Response
from handler.order import EnvelopeFormat

if TYPE_CHECKING:
    from handler.issuance.issuer import IssuedKeyPair
    from handler.scf.invocation import Clock
    from handler.store.base import Store

LINK_TTL_SECONDS = 3600
"""Seconds for which a link is good."""

PREFIX = "/pickup/"
PATH = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
_TAKEN = "taken"


class StoredEnvelope(BaseModel):
    """What lies behind a link, for its audit line and its reader."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    caller: str
    key_name: str
    key_id: str
    fingerprint: str
    region: str
    project_id: int
    recipients: tuple[str, ...]
    file_name: str
    ciphertext: str
    ends_at: float
    """Seconds since 1970."""

    def facts(self) -> dict[str, str | int | tuple[str, ...]]:
        """Return what the audit line says of it."""
        return self.model_dump(exclude={"file_name", "ciphertext", "ends_at"})

    def response(self) -> Response:
        """Return the envelope as a file."""
        disposition = f'attachment; filename="{self.file_name}"'
        return Response(
            200, self.ciphertext, "text/plain; charset=utf-8", {"Content-Disposition": disposition}
        )


@dataclass(frozen=True)
class PickupLinks:
    """Parcels in the store, under the digests of their ids: who reads the store cannot pick up."""

    store: Store
    clock: Clock
    base: str
    """Of links, without a slash at the end."""
    master_secrets: MasterSecrets

    def create(self, caller_id: str, issued: IssuedKeyPair, occasion: str) -> str:
        """Put down the envelope of `issued`; return its link, the same one for the same `occasion`.

        Raises StoreUnavailable.
        """
        sealed = issued.sealed_private_key
        envelope = StoredEnvelope(
            caller=caller_id,
            key_name=issued.key_name,
            key_id=issued.key_id,
            fingerprint=issued.fingerprint,
            region=issued.region,
            project_id=issued.project_id,
            recipients=sealed.recipients,
            file_name=file_name_of(issued),
            ciphertext=sealed.ciphertext,
            ends_at=self.clock.now() + LINK_TTL_SECONDS,
        )
        pickup_id = self.master_secrets.derive(Purpose.PICKUP_LINK, occasion)[0]
        # Where it lies there already, or was taken from there, the link has been told before.
        self.store.add(_key(pickup_id), envelope.model_dump_json(), LINK_TTL_SECONDS)
        return f"{self.base}{PREFIX}{pickup_id}"

    def take(self, pickup_id: str) -> StoredEnvelope:
        """Return what lies there, to the first who asks; raise NotFound, PickedUp or StoreUnavailable."""
        text = self.store.get(_key(pickup_id))
        if text is None:
            raise NotFound("pickup-unknown")
        if text == _TAKEN:
            raise PickedUp
        try:
            envelope = StoredEnvelope.model_validate_json(text)
        except ValidationError:
            raise StoreUnavailable("pickup-unreadable") from None
        try:
            taken = self.store.replace(_key(pickup_id), text, _TAKEN, LINK_TTL_SECONDS)
        except StoreUnavailable:
            # It may have been done, and only the answer been lost.
            with suppress(StoreUnavailable):
                self.put_back(pickup_id, envelope)
            raise
        if not taken:
            raise PickedUp
        return envelope

    def put_back(self, pickup_id: str, envelope: StoredEnvelope) -> None:
        """Undo `take`, where the envelope did not go out."""
        left = envelope.ends_at - self.clock.now()
        if left > 0:
            self.store.replace(_key(pickup_id), _TAKEN, envelope.model_dump_json(), left)


def file_name_of(issued: IssuedKeyPair) -> str:
    """Return the name of a file for the envelope, as the command that opens it expects it."""
    return f"{issued.key_name}.{EnvelopeFormat(issued.sealed_private_key.format).suffix}"


def _key(pickup_id: str) -> str:
    return "pickup:" + hashlib.sha256(pickup_id.encode()).hexdigest()
