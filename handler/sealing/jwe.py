"""Envelopes in JWE (RFC 7516), to a JWK (RFC 7517), an X25519 key in PEM, or an ecdsa-sha2-… key of SSH.

Key management is RSA-OAEP-256, ECDH-ES or ECDH-ES+A256KW; content encryption is A256GCM. Whatever a JWK
refers to or embeds (jku, x5u, x5c) is ignored.
"""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from joserfc import jwe
from joserfc.jwk import ECKey, OKPKey, RSAKey

from handler.errors import MalformedRequest, RecipientRefused
from handler.http.strict_json import parse_json_object
from handler.order import EnvelopeFormat
from handler.sealing import ssh_keys
from handler.sealing.public_keys import X25519_LENGTH, pem_content, vet_rsa, vet_x25519
from handler.sealing.recipient_problems import RecipientProblem
from handler.sealing.sealer import Contents, KeyReference, Sealer, distinct, parse_each
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_Key: TypeAlias = RSAKey | ECKey | OKPKey
_Members: TypeAlias = dict[str, object]

_CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}

# RFC 7517 section 4.3, for public keys. WebCrypto writes an empty list for key agreement keys.
_SEALING_OPERATIONS = frozenset({"encrypt", "wrapKey", "deriveKey", "deriveBits"})
# Without `"` and `\\`, whose escapes may make a header too long for other implementations.
_KID = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{0,256}")

# The letters of a member's name may be escaped (RFC 8259 section 7).
_ESCAPED_LETTER = re.compile(r"\\u00(6[0-9a-f]|7[0-9a])", re.IGNORECASE)
_PRIVATE = re.compile(r"\"(?:d|p|q|dp|dq|qi|k|oth)\"\s*:(?!\s*null\b)", re.IGNORECASE)

# RFC 8410 section 4: 44 bytes of DER. detection.py has checked that they are an X25519 key.
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/]{59}=)\n-----END PUBLIC KEY-----")

# RFC 5656 section 3.1 names the curves of ecdsa-sha2-*.
_SSH_CURVES = {f"ecdsa-sha2-nistp{curve.key_size}": curve for curve in _CURVES.values()}
# The types of Azure's Key Vault for keys in a hardware security module.
_HSM_TYPES = ("RSA-HSM", "EC-HSM", "OKP-HSM")

# Not strict, because three of the header parameters below are the envelope's own.
_REGISTRY = jwe.JWERegistry(
    algorithms=("RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW", "A256GCM"), strict_check_header=False
)


class KeySource(Enum):
    """How the owner has the key."""

    JWK = "jwk"
    PEM = "pem"
    SSH = "ssh"


# How jwcrypto loads a private key. It depends on cryptography, which reads SSH keys; those with a passphrase
# need it instead of None.
_LOAD = {
    KeySource.JWK: 'from_json(P("key.jwk").read_text())',
    KeySource.PEM: 'from_pem(P("key.pem").read_bytes())',
    KeySource.SSH: 'from_pyca(load((P.home() / ".ssh/id_ecdsa").read_bytes(), None))',
}
_LOAD_SSH = "from cryptography.hazmat.primitives.serialization import load_ssh_private_key as load; "


@dataclass(frozen=True)
class Recipient:
    """A vetted public key, and the algorithm (`alg`, RFC 7518 section 4.1) to use it with.

    `fingerprint` is for comparison by its owner: a thumbprint (RFC 7638, SHA-256), or SHA256:… of an SSH key
    as `ssh-keygen -l` prints it. `kid` is the owner's name for the key.
    """

    fingerprint: str
    algorithm: str
    kid: str | None
    source: KeySource
    key: _Key = field(repr=False)

    @property
    def references(self) -> tuple[KeyReference, ...]:
        """The only key. With two ids it counts as two, because its owner's tools may look for either."""
        return (KeyReference(self.kid, self.key.thumbprint()),)

    def header(self) -> dict[str, str]:
        """Return the header parameters that tell the owner which key to use, and how."""
        return {"alg": self.algorithm} if self.kid is None else {"alg": self.algorithm, "kid": self.kid}


def parse_recipient(text: str, *, alone: bool) -> Recipient:
    """Return the recipient in `text`: a JWK, a JWK set, a PEM block, or an SSH key without its comment.

    `alone` states that the envelope has no other recipient. Raises RecipientRefused.
    """
    if text.startswith("ecdsa-"):
        return _ssh_recipient(text, alone=alone)
    if not text.startswith("{"):
        key = _x25519(_pem_point(text))
        return Recipient(key.thumbprint(), _algorithms("OKP", alone=alone)[0], None, KeySource.PEM, key)
    # Before parsing: a private key, wherever it is and however it is escaped, gets no further.
    if _PRIVATE.search(_ESCAPED_LETTER.sub(lambda escape: chr(int(escape[1], 16)), text)):
        raise RecipientRefused(RecipientProblem.PRIVATE)
    members = _object(text)
    if "keys" not in members:
        return _recipient(members, alone=alone)
    if "kty" in members:
        raise RecipientRefused(RecipientProblem.JWK_MALFORMED)
    return _recipient(_only_usable(members["keys"], alone=alone), alone=alone)


def _ssh_recipient(text: str, *, alone: bool) -> Recipient:
    key_type, _, blob = text.partition(" ")
    curve = _SSH_CURVES[key_type]
    try:
        name, curve_name, point = ssh_keys.fields(blob)
    except ValueError:
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED) from None
    # OpenSSH reads no compressed points.
    begins = (name, curve_name, point[:1]) == (key_type.encode(), f"nistp{curve.key_size}".encode(), b"\x04")
    if not begins:
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED)
    try:
        # Also refuses points off the curve, and infinity.
        public = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError:
        raise RecipientRefused(RecipientProblem.EC_POINT) from None
    # The owner has no JWK, so the name of the key is the one that ssh-keygen prints.
    fingerprint = ssh_keys.fingerprint(blob)
    algorithm = _algorithms("EC", alone=alone)[0]
    return Recipient(fingerprint, algorithm, fingerprint, KeySource.SSH, ECKey.import_key(public))


def _pem_point(text: str) -> bytes:
    block = _PEM.fullmatch(text)
    if block is None:
        raise RecipientRefused(RecipientProblem.PEM_MALFORMED)
    return pem_content(block[1])[-X25519_LENGTH:]


def _object(text: str) -> _Members:
    with suppress(MalformedRequest):
        return _without_nulls(parse_json_object(text))
    # Raised outside the handler, so that the parser's error, which holds the whole text, is not its context.
    raise RecipientRefused(RecipientProblem.JWK_MALFORMED)


def _without_nulls(members: Mapping[str, object]) -> _Members:
    # Programs in some languages write all members, those without a value as null.
    return {name: value for name, value in members.items() if value is not None}


def _only_usable(keys: object, *, alone: bool) -> _Members:
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise RecipientRefused(RecipientProblem.JWK_MALFORMED)
    # RFC 7517 section 5: a set may contain keys for other purposes, and of future types.
    usable = [key for key in map(_without_nulls, keys) if _is_usable(key, alone=alone)]
    if not usable:
        raise RecipientRefused(RecipientProblem.JWK_USE)
    # The same key twice is one key.
    if any(key != usable[0] for key in usable):
        raise RecipientRefused(RecipientProblem.JWK_SET_SEVERAL)
    return usable[0]


def _algorithms(key_type: str, *, alone: bool) -> tuple[str, ...]:
    """Return the algorithms for keys of a type, the default first; none for unusable types.

    An algorithm named in a JWK is binding: npm jose and latchset's jose refuse to use the key with another.
    """
    if key_type == "RSA":
        return ("RSA-OAEP-256",)
    if key_type not in ("EC", "OKP"):
        return ()
    # RFC 7516 section 5.1: ECDH-ES yields the content key itself, so it cannot serve two recipients.
    return ("ECDH-ES", "ECDH-ES+A256KW") if alone else ("ECDH-ES+A256KW",)


def _unfit(jwk: _Members, *, alone: bool) -> RecipientProblem | None:
    """Return why a JWK's members forbid sealing to it, or None."""
    key_type = _string(jwk, "kty")
    if key_type in _HSM_TYPES:
        return RecipientProblem.JWK_HSM
    algorithms = _algorithms(key_type, alone=alone)
    if not algorithms:
        return RecipientProblem.JWK_TYPE
    curves = {"EC": _CURVES.keys(), "OKP": {"X25519"}}.get(key_type)
    if curves is not None and _string(jwk, "crv") not in curves:
        return RecipientProblem.CURVE
    if "use" in jwk and _string(jwk, "use") != "enc":
        return RecipientProblem.JWK_USE
    if "alg" in jwk and _string(jwk, "alg") not in algorithms:
        return RecipientProblem.JWK_USE
    operations = _operations(jwk)
    if operations and not operations & _SEALING_OPERATIONS:
        return RecipientProblem.JWK_USE
    return None


def _is_usable(jwk: _Members, *, alone: bool) -> bool:
    try:
        return _unfit(jwk, alone=alone) is None
    except RecipientRefused:
        return False


def _operations(jwk: _Members) -> set[str]:
    operations = jwk.get("key_ops", [])
    if not isinstance(operations, list) or not all(isinstance(name, str) for name in operations):
        raise RecipientRefused(RecipientProblem.JWK_MALFORMED)
    if len(set(operations)) != len(operations):
        raise RecipientRefused(RecipientProblem.JWK_MALFORMED)
    return set(operations)


def _recipient(jwk: _Members, *, alone: bool) -> Recipient:
    problem = _unfit(jwk, alone=alone)
    if problem is not None:
        raise RecipientRefused(problem)
    kid = _string(jwk, "kid") if "kid" in jwk else None
    if kid is not None and not _KID.fullmatch(kid):
        raise RecipientRefused(RecipientProblem.JWK_MALFORMED)
    key_type = _string(jwk, "kty")
    algorithm = _string(jwk, "alg") if "alg" in jwk else _algorithms(key_type, alone=alone)[0]
    key = _key(jwk, key_type)
    return Recipient(key.thumbprint(), algorithm, kid, KeySource.JWK, key)


def _key(jwk: _Members, key_type: str) -> _Key:
    # Built from the numbers alone, because joserfc would act on other members of a JWK.
    if key_type == "RSA":
        modulus, exponent = _number(jwk, "n"), _number(jwk, "e")
        vet_rsa(modulus, exponent)
        rsa_key: RSAKey = RSAKey.import_key(RSAPublicNumbers(exponent, modulus).public_key())
        return rsa_key
    if key_type == "OKP":
        return _x25519(_octets(jwk, "x", X25519_LENGTH))
    curve = _CURVES[_string(jwk, "crv")]
    length = (curve.key_size + 7) // 8
    x, y = (int.from_bytes(_octets(jwk, name, length), "big") for name in ("x", "y"))
    numbers = ec.EllipticCurvePublicNumbers(x, y, curve)
    try:
        public = numbers.public_key()
    except ValueError:
        raise RecipientRefused(RecipientProblem.EC_POINT) from None
    # OpenSSL accepts coordinates of p or more and reduces them: other encodings of the same point.
    if public.public_numbers() != numbers:
        raise RecipientRefused(RecipientProblem.EC_POINT)
    ec_key: ECKey = ECKey.import_key(public)
    return ec_key


def _x25519(point: bytes) -> OKPKey:
    vet_x25519(point)
    key: OKPKey = OKPKey.import_key(X25519PublicKey.from_public_bytes(point))
    return key


def _number(jwk: _Members, name: str) -> int:
    octets = _octets(jwk, name)
    # RFC 7518 section 2, Base64urlUInt: the minimum number of octets.
    if octets[:1] in (b"", b"\x00"):
        raise RecipientRefused(RecipientProblem.JWK_MALFORMED)
    return int.from_bytes(octets, "big")


def _octets(jwk: _Members, name: str, length: int | None = None) -> bytes:
    text = _string(jwk, name)
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise RecipientRefused(RecipientProblem.JWK_MALFORMED) from None
    # Python's decoder is lenient; RFC 7515 section 2 allows one encoding only, without padding.
    canonical = base64.urlsafe_b64encode(octets).decode().rstrip("=")
    if canonical != text or length not in (None, len(octets)):
        raise RecipientRefused(RecipientProblem.JWK_MALFORMED)
    return octets


def _string(jwk: _Members, name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise RecipientRefused(RecipientProblem.JWK_MALFORMED)
    return value


@dataclass(frozen=True)
class JweSealer(Sealer):
    """Writes the compact serialization for one recipient, the general JSON serialization for several.

    The protected header describes the contents in the private parameters `keyId`, `keyName` and `fingerprint`
    (RFC 7516 section 4.3).
    """

    recipients: tuple[Recipient, ...]

    format = EnvelopeFormat.JWE

    @classmethod
    def to(cls, texts: Sequence[str], now: float) -> JweSealer:
        """Return a sealer for JWKs, JWK sets, X25519 keys in PEM and ecdsa-sha2-… keys of SSH."""
        del now  # these keys do not expire
        alone = len(texts) == 1
        return cls(distinct(parse_each(texts, lambda text: parse_recipient(text, alone=alone))))

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The SHA-256 thumbprints of RFC 7638, in base64url; SSH keys as SHA256:…."""
        return tuple(recipient.fingerprint for recipient in self.recipients)

    def _opener(self, key_name: str, opened: str) -> str:
        first = self.recipients[0]
        if first.source is KeySource.JWK and isinstance(first.key, ECKey):
            # `$(cat …)` strips a final newline, which latchset's jose would take as part of the envelope.
            return f'jose jwe dec -i "$(cat {key_name}.jwe)" -k key.jwk -O {opened}'
        # jose supports neither X25519 nor, when built with OpenSSL 3, RSA-OAEP-256.
        load = _LOAD[first.source]
        return (
            f"python3 -c '{_LOAD_SSH if first.source is KeySource.SSH else ''}"
            "from pathlib import Path as P; from jwcrypto import jwe, jwk; "
            f'e = jwe.JWE(); e.deserialize(P("{key_name}.jwe").read_text().strip(), jwk.JWK.{load}); '
            f'P("{opened}").write_bytes(e.payload)\''
        )

    def _encrypt(self, plaintext: bytes, contents: Contents) -> str | None:
        protected = {
            "enc": "A256GCM",
            "cty": "x-pem-file",
            "keyId": contents.key_id,
            "keyName": contents.key_name,
            "fingerprint": contents.fingerprint,
        }
        # joserfc modifies the headers that it is given, and documents no common error class.
        with suppress(Exception):
            if len(self.recipients) == 1:
                (only,) = self.recipients
                return jwe.encrypt_compact(only.header() | protected, plaintext, only.key, registry=_REGISTRY)
            message = jwe.GeneralJSONEncryption(protected, plaintext)
            for recipient in self.recipients:
                message.add_recipient(recipient.header(), recipient.key)
            return json.dumps(jwe.encrypt_json(message, None, registry=_REGISTRY), separators=(",", ":"))
        return None
