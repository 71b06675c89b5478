"""Pick-up links: `POST /pickup/ID` downloads an envelope that is too long for a chat message, once.

A link leads only to ciphertext. The limit of one download shows the owner whether somebody else was faster.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from handler.auth.master_secret import MasterSecrets, Purpose
from handler.errors import NotFound, PickedUp, StoreUnavailable
from handler.http.messages import Response
from handler.pickup import PREFIX
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from handler.audit import Facts
    from handler.issuance.issuer import IssuedKeyPair
    from handler.scf.invocation import Clock
    from handler.store.base import Store

LINK_TTL_SECONDS = 3600
"""How long a link works."""

_TAKEN = "taken"


class StoredEnvelope(BaseModel):
    """The envelope behind a link, with the facts for its audit line."""

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

    def facts(self) -> Facts:
        """Return the facts for the audit line."""
        facts = self.model_dump(exclude={"file_name", "ciphertext", "ends_at"})
        return cast("Facts", facts)  # the names of the fields

    def response(self) -> Response:
        """Return the envelope as a file."""
        disposition = f'attachment; filename="{self.file_name}"'
        return Response(
            200, self.ciphertext, "text/plain; charset=utf-8", {"Content-Disposition": disposition}
        )


@dataclass(frozen=True)
class PickupLinks:
    """Envelopes in the store, under the digests of their ids. The store does not reveal the links."""

    store: Store
    clock: Clock
    base: str
    """Start of every link, without a slash at the end."""
    master_secrets: MasterSecrets

    def create(self, caller_id: str, issued: IssuedKeyPair, occasion: str) -> str:
        """Store the envelope of `issued` and return its link, which is always the same for `occasion`.

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
        # If the id exists, an earlier reply already contained the link.
        self.store.add(_key(pickup_id), envelope.model_dump_json(), LINK_TTL_SECONDS)
        return f"{self.base}{PREFIX}{pickup_id}"

    def take(self, pickup_id: str) -> StoredEnvelope:
        """Return the envelope, to the first request only; raise NotFound, PickedUp or StoreUnavailable."""
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
            # The store may have replaced the value and lost only the response.
            with suppress(StoreUnavailable):
                self.put_back(pickup_id, envelope)
            raise
        if not taken:
            raise PickedUp
        return envelope

    def put_back(self, pickup_id: str, envelope: StoredEnvelope) -> None:
        """Undo `take` if the envelope was not sent."""
        left = envelope.ends_at - self.clock.now()
        if left > 0:
            self.store.replace(_key(pickup_id), _TAKEN, envelope.model_dump_json(), left)


def file_name_of(issued: IssuedKeyPair) -> str:
    """Return the file name that the opening command expects."""
    return f"{issued.key_name}.{issued.sealed_private_key.format.suffix}"


def _key(pickup_id: str) -> str:
    return "pickup:" + hashlib.sha256(pickup_id.encode()).hexdigest()
