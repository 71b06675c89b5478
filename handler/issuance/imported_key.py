"""A caller's own public key: RSA, vetted like a recipient. The cloud never sees its private key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretBytes

from handler.audit import Decision
from handler.errors import PublicKeyRefused, RecipientRefused
from handler.issuance.issuer import KeySource, ReleasedKeyPair
from handler.issuance.key_material import CheckedKeyPair
from handler.sealing import age, read_recipient
from handler.sealing.recipient_problems import RecipientProblem
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.cloud.cvm import CreatedKeyPair, Cvm
    from handler.order import KeyPairOrder


@dataclass(frozen=True)
class ImportedKey(KeySource[ReleasedKeyPair]):
    """A public key to import; its owner has the private key already."""

    public_key: str
    """`ssh-rsa BLOB`, without a comment."""
    fingerprint: str

    model = ReleasedKeyPair
    recipients = ""
    intent = "import"
    decision = Decision.IMPORTED

    @classmethod
    def vetted(cls, text: str) -> ImportedKey:
        """Return the key in `text`, RSA of 2048 to 4096 bits; raise PublicKeyRefused."""
        try:
            line = read_recipient(text).text
            fingerprint = age.parse_recipient(line).fingerprint if line.startswith("ssh-rsa ") else None
        except RecipientRefused as refusal:
            if refusal.problem is RecipientProblem.RSA_SIZE:
                # Recipients may be of other sizes and forms.
                raise PublicKeyRefused(RecipientProblem.IMPORT_SIZE) from None
            raise PublicKeyRefused(refusal.problem) from None
        if fingerprint is None:
            raise PublicKeyRefused(RecipientProblem.IMPORT_TYPE)
        return cls(line, fingerprint)

    def make(self, cvm: Cvm, order: KeyPairOrder, tags: Mapping[str, str]) -> CreatedKeyPair:
        """Call ImportKeyPair."""
        return cvm.import_key_pair(order.name, order.project_id, tags, self.public_key)

    def check(self, pair: CreatedKeyPair) -> CheckedKeyPair:
        """Return this key: the cloud's answer contains none."""
        del pair
        return CheckedKeyPair(self.public_key, self.fingerprint, SecretBytes(b""))

    def complete(
        self, order: KeyPairOrder, released: ReleasedKeyPair, private_key: SecretBytes
    ) -> ReleasedKeyPair:
        """Return the key pair as it is."""
        del order, private_key
        return released

    def may_replay(self, released: ReleasedKeyPair) -> bool:
        """Allow it: nothing in it is secret."""
        del released
        return True
