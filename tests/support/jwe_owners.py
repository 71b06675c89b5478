"""Owners of JWKs, and what opens the envelopes to them: npm jose, and jwcrypto."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwcrypto import jwe, jwk
from jwcrypto.common import JWException
from pydantic import SecretBytes

from handler.sealing import Contents, prepare_sealer
from tests.support.jwk_attacks import CURVES

if TYPE_CHECKING:
    from tests.support.node_opener import NodeOpener

PEM = rsa.generate_private_key(65537, 2048).private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
)
CONTENTS = Contents("skey-1a2b3c4d", "deploy", "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU")
SAID = {
    "enc": "A256GCM",
    "cty": "x-pem-file",
    "keyId": CONTENTS.key_id,
    "keyName": CONTENTS.key_name,
    "fingerprint": CONTENTS.fingerprint,
}
KINDS = ("RSA", "P-256", "P-384", "P-521", "X25519", "X25519 PEM")


@dataclass(frozen=True)
class Owner:
    """Somebody with a key that jwcrypto made."""

    public: str
    key: jwk.JWK
    pem: bytes | None = None

    def with_jose(self, node: NodeOpener, envelope: str) -> bytes | None:
        if self.pem is not None:
            return node.open("jwe", pem=self.pem.decode(), envelope=envelope)
        return node.open("jwe", jwk=self.key.export_private(as_dict=True), envelope=envelope)

    def with_jwcrypto(self, envelope: str) -> bytes | None:
        message = jwe.JWE()
        try:
            message.deserialize(envelope, self.key)
        except (JWException, ValueError, TypeError, KeyError):
            return None
        payload: bytes = message.payload
        return payload


def make_owner(kind: str, *, rsa_key: rsa.RSAPrivateKey | None = None, **members: object) -> Owner:
    """Make an owner with a fresh key, or with this one."""
    if rsa_key is not None:
        key = jwk.JWK.from_pyca(rsa_key)
    elif kind.startswith("RSA"):
        key = jwk.JWK.generate(kty="RSA", size=int(kind[4:] or 2048), **members)
    elif kind in CURVES:
        key = jwk.JWK.generate(kty="EC", crv=kind, **members)
    else:
        key = jwk.JWK.generate(kty="OKP", crv="X25519", **members)
    if kind == "X25519 PEM":
        return Owner(key.export_to_pem().decode(), key, key.export_to_pem(private_key=True, password=None))
    return Owner(key.export_public(), key)


def sealed_to(*texts: str, plaintext: bytes = PEM) -> str:
    return prepare_sealer(texts, now=0.0).seal(SecretBytes(plaintext), CONTENTS)


def protected(envelope: str) -> dict[str, Any]:
    part = json.loads(envelope)["protected"] if envelope.startswith("{") else envelope.partition(".")[0]
    header: dict[str, Any] = json.loads(decode(part))
    return header


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")
