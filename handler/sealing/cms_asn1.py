"""The ASN.1 definitions that sealing needs: CMS envelopes, certificates and public keys.

Names follow the RFCs. Decoding is strict DER without trailing bytes. These definitions are the only parser of
a recipient, so no second parser can find a different key, name or date in the same bytes.
"""

from __future__ import annotations

from typing import Annotated

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

ID_DATA = ObjectIdentifier("1.2.840.113549.1.7.1")
ID_AUTH_ENVELOPED_DATA = ObjectIdentifier("1.2.840.113549.1.9.16.1.23")
RSA_ENCRYPTION = ObjectIdentifier("1.2.840.113549.1.1.1")
ID_RSAES_OAEP = ObjectIdentifier("1.2.840.113549.1.1.7")
ID_MGF1 = ObjectIdentifier("1.2.840.113549.1.1.8")
ID_SHA256 = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
ID_EC_PUBLIC_KEY = ObjectIdentifier("1.2.840.10045.2.1")
DH_SINGLE_PASS_STD_DH_SHA256_KDF = ObjectIdentifier("1.3.132.1.11.1")
ID_AES256_WRAP = ObjectIdentifier("2.16.840.1.101.3.4.1.45")
ID_AES256_GCM = ObjectIdentifier("2.16.840.1.101.3.4.1.46")


# ---------------------------------------------------------------- public keys


@asn1.sequence
class SubjectPublicKeyInfo:
    """RFC 5280 section 4.1.2.7. `algorithm` is the identifier and optional parameters."""

    algorithm: Annotated[list[asn1.TLV], asn1.Size(min=1, max=2)]
    subject_public_key: asn1.BitString


@asn1.sequence
class RsaPublicKey:
    """RFC 8017 appendix A.1.1."""

    modulus: int
    public_exponent: int


# ---------------------------------------------------------------- certificates, RFC 5280 section 4.1


@asn1.sequence
class AttributeTypeAndValue:
    """One part of a name."""

    type: ObjectIdentifier
    value: asn1.TLV


Name = list[Annotated[asn1.SetOf[AttributeTypeAndValue], asn1.Size(min=1, max=None)]]
Time = asn1.UTCTime | asn1.GeneralizedTime


@asn1.sequence
class Validity:
    """The period of validity, both ends included."""

    not_before: Time
    not_after: Time


@asn1.sequence
class Extension:
    """An extension, with its value still encoded."""

    extn_id: ObjectIdentifier
    critical: Annotated[bool, asn1.Default(value=False)]
    extn_value: bytes


@asn1.sequence
class TbsCertificate:
    """The signed part of a certificate."""

    version: Annotated[int, asn1.Explicit(0), asn1.Default(0)]
    serial_number: int
    signature: asn1.TLV
    issuer: Name
    validity: Validity
    subject: asn1.TLV
    subject_public_key_info: SubjectPublicKeyInfo
    issuer_unique_id: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_unique_id: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[Extension] | None, asn1.Explicit(3)]


@asn1.sequence
class Certificate:
    """An X.509 certificate."""

    tbs_certificate: TbsCertificate
    signature_algorithm: asn1.TLV
    signature: asn1.BitString


# ---------------------------------------------------------------- the key for an RSA recipient


@asn1.sequence
class IssuerAndSerialNumber:
    """RFC 5652 section 10.2.4: identifies a certificate."""

    issuer: Name
    serial_number: int


RecipientIdentifier = IssuerAndSerialNumber | Annotated[bytes, asn1.Implicit(0)]
"""RFC 5652 section 6.2.1; the second is a SubjectKeyIdentifier."""


@asn1.sequence
class HashAlgorithm:
    """RFC 4055 section 2.1, which requires the parameters NULL."""

    algorithm: ObjectIdentifier
    parameters: asn1.Null


@asn1.sequence
class MaskGenAlgorithm:
    """RFC 4055 section 2.2."""

    algorithm: ObjectIdentifier
    parameters: HashAlgorithm


@asn1.sequence
class RsaesOaepParams:
    """RFC 4055 section 4.1; no label."""

    hash_func: Annotated[HashAlgorithm, asn1.Explicit(0)]
    mask_gen_func: Annotated[MaskGenAlgorithm, asn1.Explicit(1)]


@asn1.sequence
class KeyTransportAlgorithm:
    """RFC 4055 section 4.1."""

    algorithm: ObjectIdentifier
    parameters: RsaesOaepParams


@asn1.sequence
class KeyTransRecipientInfo:
    """RFC 5652 section 6.2.1."""

    version: int
    rid: RecipientIdentifier
    key_encryption_algorithm: KeyTransportAlgorithm
    encrypted_key: bytes


# ---------------------------------------------------------------- the key for an EC recipient


@asn1.sequence
class EcAlgorithm:
    """RFC 5753 section 3.1.1, without parameters: the curve is the recipient's."""

    algorithm: ObjectIdentifier


@asn1.sequence
class OriginatorPublicKey:
    """RFC 5652 section 6.2.2: an ephemeral key."""

    algorithm: EcAlgorithm
    public_key: asn1.BitString


OriginatorIdentifierOrKey = (
    IssuerAndSerialNumber
    | Annotated[bytes, asn1.Implicit(0)]
    | Annotated[OriginatorPublicKey, asn1.Implicit(1)]
)


@asn1.sequence
class KeyWrapAlgorithm:
    """RFC 3565 section 2.3.2, which forbids parameters."""

    algorithm: ObjectIdentifier


@asn1.sequence
class KeyAgreementAlgorithm:
    """RFC 5753 section 7.1.4."""

    algorithm: ObjectIdentifier
    parameters: KeyWrapAlgorithm


@asn1.sequence
class RecipientKeyIdentifier:
    """RFC 5652 section 6.2.2."""

    subject_key_identifier: bytes


@asn1.sequence
class RecipientEncryptedKey:
    """RFC 5652 section 6.2.2."""

    rid: IssuerAndSerialNumber | Annotated[RecipientKeyIdentifier, asn1.Implicit(0)]
    encrypted_key: bytes


@asn1.sequence
class KeyAgreeRecipientInfo:
    """RFC 5652 section 6.2.2."""

    version: int
    originator: Annotated[OriginatorIdentifierOrKey, asn1.Explicit(0)]
    key_encryption_algorithm: KeyAgreementAlgorithm
    recipient_encrypted_keys: list[RecipientEncryptedKey]


@asn1.sequence
class EccCmsSharedInfo:
    """RFC 5753 section 7.2."""

    key_info: KeyWrapAlgorithm
    supp_pub_info: Annotated[bytes, asn1.Explicit(2)]


# ---------------------------------------------------------------- the envelope


@asn1.sequence
class GcmParameters:
    """RFC 5084 section 3.2."""

    nonce: bytes
    icv_len: Annotated[int, asn1.Default(12)]


@asn1.sequence
class ContentEncryptionAlgorithm:
    """RFC 5084 section 3.2."""

    algorithm: ObjectIdentifier
    parameters: GcmParameters


@asn1.sequence
class EncryptedContentInfo:
    """RFC 5652 section 6.1."""

    content_type: ObjectIdentifier
    content_encryption_algorithm: ContentEncryptionAlgorithm
    encrypted_content: Annotated[bytes, asn1.Implicit(0)]


RecipientInfo = KeyTransRecipientInfo | Annotated[KeyAgreeRecipientInfo, asn1.Implicit(1)]


@asn1.sequence
class AuthEnvelopedData:
    """RFC 5083 section 2.1; no attributes."""

    version: int
    recipient_infos: asn1.SetOf[RecipientInfo]
    auth_encrypted_content_info: EncryptedContentInfo
    mac: bytes


@asn1.sequence
class ContentInfo:
    """RFC 5652 section 3."""

    content_type: ObjectIdentifier
    content: Annotated[AuthEnvelopedData, asn1.Explicit(0)]
