"""Envelopes in CMS (RFC 5652), for recipients who have nothing but openssl.

OpenSSL 3.0 or later opens them. OpenSSL 1.1.1 and LibreSSL, which macOS ships as openssl, cannot: they do not
support AuthEnvelopedData, and the older EnvelopedData does not detect tampering.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import textwrap
from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ObjectIdentifier

from handler.errors import RecipientRefused
from handler.order import EnvelopeFormat
from handler.sealing import cms_asn1 as syntax
from handler.sealing.public_keys import pem_content, vet_rsa
from handler.sealing.recipient_problems import RecipientProblem
from handler.sealing.sealer import Contents, KeyReference, Sealer, distinct, parse_each
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

# RFC 7468. \s, because line ends sometimes turn into spaces on the way.
_PEM = re.compile(
    r"-----BEGIN (?P<label>CERTIFICATE|(?:RSA )?PUBLIC KEY)-----\s(?P<base64>[A-Za-z0-9+/=\s]+)"
    r"-----END (?P=label)-----"
)

# RFC 5480 section 2.1.1.1
_CURVES = {
    ObjectIdentifier("1.2.840.10045.3.1.7"): ec.SECP256R1(),
    ObjectIdentifier("1.3.132.0.34"): ec.SECP384R1(),
    ObjectIdentifier("1.3.132.0.35"): ec.SECP521R1(),
}

# RFC 5280 section 4.1: v1 is 0
_VERSIONS = range(3)
_V3_ONLY = (2,)
_KEY_USAGE = ObjectIdentifier("2.5.29.15")
# RFC 5280 section 4.2.1.3: bits of the key usage
_KEY_ENCIPHERMENT = 2
_KEY_AGREEMENT = 4
_KEY_CERT_SIGN = 5
_DECIPHER_ONLY = 8
# RFC 5280 section 4.2: a certificate with an unknown critical extension must be refused. Key usage is
# enforced. The others concern names, purposes and chains, which nothing here relies on: alternative names
# (17, 18), basic (19) and name constraints (30), policies (32, 33, 36, 54), extended key usage (37).
_UNDERSTOOD = {ObjectIdentifier(f"2.5.29.{arc}") for arc in (15, 17, 18, 19, 30, 32, 33, 36, 37, 54)}

_UTF8_STRING = b"\x0c"
# PrintableString, TeletexString, IA5String: OpenSSL accepts any bytes in them.
_BYTE_STRINGS = (b"\x13", b"\x14", b"\x16")

_KEY_BITS = 256
_NONCE_LENGTH = 12
_TAG_LENGTH = 16
_SHA256 = syntax.HashAlgorithm(algorithm=syntax.ID_SHA256, parameters=asn1.Null())
_KEY_WRAP = syntax.KeyWrapAlgorithm(algorithm=syntax.ID_AES256_WRAP)


@dataclass(frozen=True)
class Recipient:
    """A vetted public key, and the identifier by which its owner's tools find it.

    `fingerprint`: of a certificate, AA:BB:… as `openssl x509 -noout -fingerprint -sha256` prints it; of a
    bare key, SHA256:… with the digits that `openssl pkey -pubin -in FILE -outform DER | sha256sum` prints.
    """

    fingerprint: str
    identifier: syntax.IssuerAndSerialNumber | bytes = field(repr=False)
    key: PublicKey = field(repr=False)

    @property
    def references(self) -> tuple[KeyReference, ...]:
        """The only key. Anybody can make a certificate with the issuer and serial number of another one."""
        key = self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return (KeyReference(asn1.encode_der(self.identifier).hex(), key.hex()),)


def parse_recipient(text: str, now: float) -> Recipient:
    """Return the recipient in `text`, one PEM block without outer space; raise RecipientRefused.

    The dates of a certificate are checked at `now`, and its key usage. Signature, chain and revocation are
    not: the sender is authenticated, and is responsible for it as for a bare key.
    """
    block = _PEM.fullmatch(text)
    if block is None:
        raise RecipientRefused(RecipientProblem.PEM_MALFORMED)
    der = pem_content("".join(block["base64"].split()))
    if block["label"] == "CERTIFICATE":
        return _certificate(der, now)
    return _bare_key(der) if block["label"] == "PUBLIC KEY" else _pkcs1_key(der)


def _pkcs1_key(der: bytes) -> Recipient:
    """Return an RSA key of RFC 8017 appendix A.1.1, with the identifier that its PUBLIC KEY would have."""
    key = _rsa_key(der, RecipientProblem.PEM_MALFORMED)
    return _bare_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _bare_key(der: bytes) -> Recipient:
    try:
        info = asn1.decode_der(syntax.SubjectPublicKeyInfo, der)
    except ValueError:
        raise RecipientRefused(RecipientProblem.PEM_MALFORMED) from None
    # RFC 5280 section 4.2.1.2, method 1. It only helps to find the key; no security depends on it.
    identifier = hashlib.sha1(info.subject_public_key.as_bytes(), usedforsecurity=False).digest()
    key = _public_key(info, RecipientProblem.PEM_MALFORMED)
    return Recipient(f"SHA256:{hashlib.sha256(der).hexdigest()}", identifier, key)


def _certificate(der: bytes, now: float) -> Recipient:
    try:
        to_be_signed = asn1.decode_der(syntax.Certificate, der).tbs_certificate
        usage = _key_usage(to_be_signed)
        # Before the key and the dates, because those of an authority are not the sender's business.
        if usage is not None and _only_signs_certificates(usage):
            raise RecipientRefused(RecipientProblem.CERTIFICATE_AUTHORITY)
        _require_openable(to_be_signed.issuer)
        not_before = to_be_signed.validity.not_before.as_datetime().timestamp()
        not_after = to_be_signed.validity.not_after.as_datetime().timestamp()
    except ValueError:
        raise RecipientRefused(RecipientProblem.CERTIFICATE_MALFORMED) from None
    key = _public_key(to_be_signed.subject_public_key_info, RecipientProblem.CERTIFICATE_MALFORMED)
    if now < not_before:
        raise RecipientRefused(RecipientProblem.CERTIFICATE_NOT_YET)
    if now > not_after:
        raise RecipientRefused(RecipientProblem.CERTIFICATE_EXPIRED)
    if usage is not None and not _allows_sealing(usage, key):
        raise RecipientRefused(RecipientProblem.CERTIFICATE_USE)
    return Recipient(
        hashlib.sha256(der).digest().hex(":").upper(),
        syntax.IssuerAndSerialNumber(issuer=to_be_signed.issuer, serial_number=to_be_signed.serial_number),
        key,
    )


def _key_usage(to_be_signed: syntax.TbsCertificate) -> asn1.BitString | None:
    """Return the key usage, or None if the certificate does not limit it.

    Raises ValueError for malformed extensions, and RecipientRefused for an unknown critical one.
    """
    extensions = to_be_signed.extensions or []
    values = {extension.extn_id: extension.extn_value for extension in extensions}
    # RFC 5280 sections 4.2 and 4.1.2.1
    if len(values) != len(extensions) or to_be_signed.version not in (_V3_ONLY if extensions else _VERSIONS):
        raise ValueError("extensions or version")
    if any(extension.critical and extension.extn_id not in _UNDERSTOOD for extension in extensions):
        raise RecipientRefused(RecipientProblem.CERTIFICATE_UNSUITABLE)
    return asn1.decode_der(asn1.BitString, values[_KEY_USAGE]) if _KEY_USAGE in values else None


def _require_openable(issuer: syntax.Name) -> None:
    """Raise RecipientRefused for a name that OpenSSL may not parse, ValueError for a malformed one.

    SECURITY BOUNDARY: the envelope contains the name. If OpenSSL cannot parse it, no recipient can open the
    envelope, not even those of escrow.
    """
    for relative_name in issuer:
        for attribute in relative_name.as_list():
            tag = attribute.value.tag_bytes
            if tag == _UTF8_STRING:
                bytes(attribute.value.data).decode("utf-8")
            elif tag not in _BYTE_STRINGS:
                # Not a string, or of a type that RFC 5280 section 4.1.2.4 deprecates.
                raise RecipientRefused(RecipientProblem.CERTIFICATE_UNSUITABLE)


def _public_key(info: syntax.SubjectPublicKeyInfo, malformed: RecipientProblem) -> PublicKey:
    content = info.subject_public_key
    try:
        algorithm = info.algorithm[0].parse(ObjectIdentifier)
        if algorithm == syntax.RSA_ENCRYPTION:
            # RFC 8017 appendix A.1: NULL. Some programs leave it out.
            for parameters in info.algorithm[1:]:
                parameters.parse(asn1.Null)
    except ValueError:
        raise RecipientRefused(malformed) from None
    if content.padding_bits():
        raise RecipientRefused(malformed)
    if algorithm == syntax.RSA_ENCRYPTION:
        return _rsa_key(content.as_bytes(), malformed)
    if algorithm == syntax.ID_EC_PUBLIC_KEY:
        return _ec_key(info.algorithm[1:], content.as_bytes())
    raise RecipientRefused(RecipientProblem.KEY_TYPE)


def _rsa_key(der: bytes, malformed: RecipientProblem) -> rsa.RSAPublicKey:
    try:
        numbers = asn1.decode_der(syntax.RsaPublicKey, der)
    except ValueError:
        raise RecipientRefused(malformed) from None
    if numbers.modulus <= 0:
        raise RecipientRefused(RecipientProblem.RSA_MODULUS)
    vet_rsa(numbers.modulus, numbers.public_exponent)
    return rsa.RSAPublicNumbers(numbers.public_exponent, numbers.modulus).public_key()


def _ec_key(parameters: Sequence[asn1.TLV], point: bytes) -> ec.EllipticCurvePublicKey:
    try:
        # RFC 5480 section 2.1.1: a curve has a name, never explicit parameters (CVE-2020-0601).
        curve = _CURVES[parameters[0].parse(ObjectIdentifier)]
    except (ValueError, LookupError):
        raise RecipientRefused(RecipientProblem.CURVE) from None
    try:
        # Also refuses points off the curve, and infinity.
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError:
        raise RecipientRefused(RecipientProblem.EC_POINT) from None


def _allows_sealing(usage: asn1.BitString, key: PublicKey) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return _has(usage, _KEY_ENCIPHERMENT)
    # RFC 5280 section 4.2.1.3: encipherOnly permits encrypting to the key, decipherOnly does not.
    return _has(usage, _KEY_AGREEMENT) and not _has(usage, _DECIPHER_ONLY)


def _only_signs_certificates(usage: asn1.BitString) -> bool:
    encrypts = _has(usage, _KEY_ENCIPHERMENT) or _has(usage, _KEY_AGREEMENT)
    return _has(usage, _KEY_CERT_SIGN) and not encrypts


def _has(usage: asn1.BitString, bit: int) -> bool:
    octet = usage.as_bytes()[bit // 8 : bit // 8 + 1]
    return octet != b"" and bool(octet[0] & 0x80 >> bit % 8)


@dataclass(frozen=True)
class CmsSealer(Sealer):
    """Writes AuthEnvelopedData in PEM, for any number of recipients. It states nothing about its contents."""

    recipients: tuple[Recipient, ...]

    format = EnvelopeFormat.CMS

    @classmethod
    def to(cls, texts: Sequence[str], now: float) -> CmsSealer:
        """Return a sealer for certificates and public keys in PEM: RSA, P-256, P-384 and P-521."""
        return cls(distinct(parse_each(texts, lambda text: parse_recipient(text, now))))

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """AA:BB:… for certificates, SHA256:… for bare keys, as described in `Recipient`."""
        return tuple(recipient.fingerprint for recipient in self.recipients)

    def _opener(self, key_name: str, opened: str) -> str:
        # OpenSSL 3.0 or later.
        return f"openssl cms -decrypt -inform PEM -in {key_name}.cms -inkey key.pem -out {opened}"

    def _encrypt(self, plaintext: bytes, contents: Contents) -> str | None:
        del contents  # openssl would not show attributes
        content_key = AESGCM.generate_key(_KEY_BITS)
        nonce = os.urandom(_NONCE_LENGTH)
        try:
            recipient_infos = [_recipient_info(recipient, content_key) for recipient in self.recipients]
        except ValueError:
            return None
        sealed = AESGCM(content_key).encrypt(nonce, plaintext, None)
        return _armor(_auth_enveloped(recipient_infos, nonce, sealed))


def _recipient_info(recipient: Recipient, content_key: bytes) -> syntax.RecipientInfo:
    if isinstance(recipient.key, rsa.RSAPublicKey):
        return _key_transport(recipient.identifier, recipient.key, content_key)
    return _key_agreement(recipient.identifier, recipient.key, content_key)


def _key_transport(
    identifier: syntax.RecipientIdentifier, key: rsa.RSAPublicKey, content_key: bytes
) -> syntax.KeyTransRecipientInfo:
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=None)
    return syntax.KeyTransRecipientInfo(
        # RFC 5652 section 6.2.1
        version=2 if isinstance(identifier, bytes) else 0,
        rid=identifier,
        key_encryption_algorithm=syntax.KeyTransportAlgorithm(
            algorithm=syntax.ID_RSAES_OAEP,
            parameters=syntax.RsaesOaepParams(
                hash_func=_SHA256,
                mask_gen_func=syntax.MaskGenAlgorithm(algorithm=syntax.ID_MGF1, parameters=_SHA256),
            ),
        ),
        encrypted_key=key.encrypt(content_key, oaep),
    )


def _key_agreement(
    identifier: syntax.RecipientIdentifier, key: ec.EllipticCurvePublicKey, content_key: bytes
) -> syntax.KeyAgreeRecipientInfo:
    ephemeral = ec.generate_private_key(key.curve)
    public = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared_info = syntax.EccCmsSharedInfo(key_info=_KEY_WRAP, supp_pub_info=_KEY_BITS.to_bytes(4, "big"))
    derivation = X963KDF(hashes.SHA256(), _KEY_BITS // 8, asn1.encode_der(shared_info))
    wrapping_key = derivation.derive(ephemeral.exchange(ec.ECDH(), key))
    return syntax.KeyAgreeRecipientInfo(
        version=3,
        originator=syntax.OriginatorPublicKey(
            algorithm=syntax.EcAlgorithm(algorithm=syntax.ID_EC_PUBLIC_KEY),
            public_key=asn1.BitString(public, 0),
        ),
        key_encryption_algorithm=syntax.KeyAgreementAlgorithm(
            algorithm=syntax.DH_SINGLE_PASS_STD_DH_SHA256_KDF, parameters=_KEY_WRAP
        ),
        recipient_encrypted_keys=[
            syntax.RecipientEncryptedKey(
                rid=syntax.RecipientKeyIdentifier(subject_key_identifier=identifier)
                if isinstance(identifier, bytes)
                else identifier,
                encrypted_key=aes_key_wrap(wrapping_key, content_key),
            )
        ],
    )


def _auth_enveloped(recipient_infos: list[syntax.RecipientInfo], nonce: bytes, sealed: bytes) -> bytes:
    content = syntax.AuthEnvelopedData(
        version=0,
        recipient_infos=asn1.SetOf(recipient_infos),
        auth_encrypted_content_info=syntax.EncryptedContentInfo(
            content_type=syntax.ID_DATA,
            content_encryption_algorithm=syntax.ContentEncryptionAlgorithm(
                algorithm=syntax.ID_AES256_GCM,
                parameters=syntax.GcmParameters(nonce=nonce, icv_len=_TAG_LENGTH),
            ),
            encrypted_content=sealed[:-_TAG_LENGTH],
        ),
        mac=sealed[-_TAG_LENGTH:],
    )
    return asn1.encode_der(syntax.ContentInfo(content_type=syntax.ID_AUTH_ENVELOPED_DATA, content=content))


def _armor(der: bytes) -> str:
    # RFC 7468 section 9
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join(["-----BEGIN CMS-----", *lines, "-----END CMS-----", ""])
