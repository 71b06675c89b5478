"""A key pair to be picked up."""

from __future__ import annotations

from handler.issuance.issuer import IssuedKeyPair, SealedPrivateKey
from handler.order import EnvelopeFormat

ISSUED = IssuedKeyPair(
    key_id="skey-1a2b3c4d",
    key_name="web_1",
    project_id=7,
    region="ap-guangzhou",
    public_key="ssh-rsa AAAA",
    fingerprint="SHA256:abc",
    created_at="2026-11-24T12:00:00Z",
    expires_at=None,
    sealed_private_key=SealedPrivateKey(
        format=EnvelopeFormat.AGE, recipients=("age1x",), ciphertext="-----BEGIN…\n", open_with="age -d"
    ),
    request_id="r-1",
)
