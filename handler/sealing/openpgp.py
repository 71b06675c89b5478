"""Envelopes in the OpenPGP format (RFC 9580), to PGP certificates."""

from __future__ import annotations

import re
from dataclasses import field
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

from pysequoia import Cert, encrypt
from pysequoia.packet import HashAlgorithm, Packet, PacketPile, PublicKeyAlgorithm, SignatureType, Tag

from handler.errors import RecipientRefused
from handler.order import EnvelopeFormat
from handler.scf.invocation import MAX_INVOCATION_SECONDS
from handler.sealing.public_keys import X25519_LENGTH, vet_rsa, vet_x25519
from handler.sealing.recipient_problems import RecipientProblem
from handler.sealing.sealer import Contents, KeyReference, Sealer, distinct, parse_each
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# RFC 9580 section 6.2, as recipient_text.py writes it: without headers. Section 6.1 forbids refusing a block
# because of its checksum. There is no need to either: every key in it is signed.
_BLOCK = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n[A-Za-z0-9+/=\n]+-----END PGP PUBLIC KEY BLOCK-----"
)

# Versions of packets, RFC 9580 sections 5.1.1, 5.13.1, 5.5.2.2 and 5.5.2.3.
_PKESK_WITH_KEY_ID = 3
_SEIPD_WITHOUT_AEAD = 1
_ECDH, _X25519 = 18, 25
"""RFC 9580 section 9.1."""
_CURVE25519 = bytes.fromhex("0a 2b060104019755010501")
"""RFC 9580 section 9.2: the length of the curve's identifier, then the identifier."""
_WHILE_ISSUING = timedelta(seconds=2 * MAX_INVOCATION_SECONDS)
_KEY_OF_RFC_4880 = 4
_KEY_OF_RFC_9580 = 6

_RSA = (PublicKeyAlgorithm.RSAEncryptSign, PublicKeyAlgorithm.RSAEncrypt, PublicKeyAlgorithm.RSASign)
_BROKEN = (HashAlgorithm.SHA1, HashAlgorithm.RipeMD)
_KNOWN_TO_GPG = (PublicKeyAlgorithm.RSAEncryptSign, PublicKeyAlgorithm.RSAEncrypt, PublicKeyAlgorithm.ECDH)


@dataclass(frozen=True)
class Recipient:
    """A vetted certificate.

    `fingerprint` is for comparison by its owner: upper-case hexadecimal digits, as gpg prints it. `for_gpg`
    states whether gpg can open a message to this recipient alone; gpg supports nothing new in RFC 9580.
    `references` are its encryption keys: a message names them by key id, the last 8 bytes of a fingerprint
    (RFC 9580 section 5.1), or by fingerprint.
    """

    fingerprint: str
    for_gpg: bool
    certificate: Cert = field(repr=False)
    references: tuple[KeyReference, ...] = ()


def parse_recipient(text: str, moment: datetime) -> Recipient:
    """Return the recipient in `text`, valid at `moment`; raise RecipientRefused."""
    certificate, packets = _certificate(text)
    if certificate.is_revoked:
        raise RecipientRefused(RecipientProblem.PGP_REVOKED)
    # The library decides which keys are for encryption, bound, not revoked and strong. Only an encrypted
    # message shows its choice.
    trial = _attempt(_encrypt_trial, certificate)
    if trial is None:
        for packet in packets:
            _vet_rsa(packet)  # a short key is one possible reason
        raise RecipientRefused(_why_unusable(certificate, packets, moment))
    if certificate.expiration and certificate.expiration <= moment + _WHILE_ISSUING:
        raise RecipientRefused(RecipientProblem.PGP_EXPIRED)
    named = [packet.body for packet in trial if packet.tag == Tag.PKESK]
    for_gpg = trial[-1].body[0] == _SEIPD_WITHOUT_AEAD
    # SECURITY BOUNDARY: anybody can bind the subkey of another owner to a certificate of their own. It would
    # stand for that owner's, with features that the owner's tools lack, until it ends its binding.
    references = [KeyReference(None, certificate.fingerprint)]
    for position, packet in enumerate(packets):
        if any(_is_named(packet, body) for body in named):
            _vet_expiry(packet, packets[position + 1 :], moment)
            _vet_rsa(packet)
            _vet_point(packet)
            for_gpg &= packet.body[0] == _KEY_OF_RFC_4880 and packet.key_algorithm in _KNOWN_TO_GPG
            references.append(KeyReference(packet.key_id, str(packet.fingerprint)))
    _vet_signatures(packets, moment)
    return Recipient(certificate.fingerprint.upper(), for_gpg, certificate, tuple(references))


def _certificate(text: str) -> tuple[Cert, list[Packet]]:
    found = _attempt(_parse, text.encode()) if _BLOCK.fullmatch(text) else None
    if found is None:
        raise RecipientRefused(RecipientProblem.PGP_MALFORMED)
    certificates, packets, tags = found
    # SECURITY BOUNDARY: refuse private keys, whatever the label of the block.
    if Tag.SecretKey in tags or Tag.SecretSubkey in tags:
        raise RecipientRefused(RecipientProblem.PRIVATE)
    if len(certificates) > 1:
        raise RecipientRefused(RecipientProblem.SEVERAL)
    if not certificates:
        raise RecipientRefused(RecipientProblem.PGP_MALFORMED)
    return certificates[0], packets


def _parse(block: bytes) -> tuple[list[Cert], list[Packet], list[Tag]]:
    # SECURITY BOUNDARY: this comes first because it refuses compressed packets after unpacking 50 MB at most.
    # PacketPile would unpack all layers, up to gigabytes.
    certificates = Cert.split_bytes(block)
    packets = list(PacketPile.from_bytes(block))
    return certificates, packets, [packet.tag for packet in packets]


def _why_unusable(certificate: Cert, packets: Sequence[Packet], moment: datetime) -> RecipientProblem:
    """Return why the library finds nothing in this certificate to encrypt to."""
    # The library raises an error instead of a date, or of None for never, if it rejects the primary key.
    accepted = _attempt(lambda found: [found.expiration], certificate)
    if accepted and accepted[0] and accepted[0] <= moment:
        return RecipientProblem.PGP_EXPIRED
    if _only_sha1(packets):
        return RecipientProblem.PGP_SHA1
    for position in _positions(packets, Tag.PublicSubkey):
        _vet_expiry(packets[position], packets[position + 1 :], moment)
    # gpg leaves subkeys that have expired out of a minimal export.
    return RecipientProblem.PGP_NO_SUBKEY if accepted else RecipientProblem.PGP_USE


def _only_sha1(packets: Sequence[Packet]) -> bool:
    """Return whether a certificate is unusable because its owner signed parts of it with broken hashes.

    gpg still accepts such signatures. Its owner can renew them, except those of a DSA key.
    """
    if _attempt(lambda primary: primary.key_algorithm, packets[0]) == PublicKeyAlgorithm.DSA:
        return False
    names = [_has_only_sha1(packets, position) for position in _positions(packets, Tag.UserID)]
    subkeys = [_has_only_sha1(packets, position) for position in _positions(packets, Tag.PublicSubkey)]
    return (names != [] and all(names)) or any(subkeys)


def _positions(packets: Sequence[Packet], tag: Tag) -> list[int]:
    return [position for position, packet in enumerate(packets) if packet.tag == tag]


def _has_only_sha1(packets: Sequence[Packet], position: int) -> bool:
    """Return whether the owner binds the part at `position` by signatures with broken hashes only."""
    signatures = takewhile(lambda packet: packet.tag == Tag.Signature, packets[position + 1 :])
    own = [one for one in signatures if _issuer(one) == packets[0].key_id]
    hashes = [_attempt(lambda signature: signature.hash_algorithm, one) for one in own]
    return hashes != [] and all(found in _BROKEN for found in hashes)


def _encrypt_trial(certificate: Cert) -> list[Packet]:
    return list(PacketPile.from_bytes(encrypt(b"trial", [certificate])))


def _is_named(packet: Packet, pkesk: bytes) -> bool:
    """Return whether the encrypted session key `pkesk` is for this key."""
    # RFC 9580 section 5.1: a key ID, or a length, a version and a fingerprint
    if pkesk[0] == _PKESK_WITH_KEY_ID:
        return packet.key_id == pkesk[1:9].hex()
    return packet.fingerprint == pkesk[3 : 2 + pkesk[1]].hex()


def _vet_expiry(subkey: Packet, following: Sequence[Packet], moment: datetime) -> None:
    """Refuse a subkey that has expired according to its newest binding. A primary key has none."""
    # The library uses an expired subkey if there is no other, and it uses the machine's clock. It does not
    # reveal which binding it uses. A newer, forged binding could only extend the life of an old key.
    signatures = takewhile(lambda packet: packet.tag == Tag.Signature, following)
    bindings = filter(None, (_attempt(_binding, packet) for packet in signatures))
    _, period = max(bindings, key=itemgetter(0), default=(None, None))
    if period and subkey.key_created and subkey.key_created + period <= moment + _WHILE_ISSUING:
        raise RecipientRefused(RecipientProblem.PGP_EXPIRED)


def _vet_signatures(packets: Sequence[Packet], moment: datetime) -> None:
    """Refuse a certificate whose validity may change while a key pair is created for it.

    The library evaluates the certificate at every use, by the machine's clock. A signature of its owner that
    takes effect or expires in between would make the real sealing fail after the trial succeeded. The
    signatures of others do not count.
    """
    for packet in packets:
        if packet.tag == Tag.Signature and _issuer(packet) in (None, packets[0].key_id):
            created = _attempt(lambda signature: signature.signature_created, packet)
            if created and created > moment:
                raise RecipientRefused(RecipientProblem.PGP_USE)
            ends = _attempt(lambda signature: signature.signature_expiration_time, packet)
            if ends and ends <= moment + _WHILE_ISSUING:
                raise RecipientRefused(RecipientProblem.PGP_EXPIRED)


def _issuer(signature: Packet) -> str | None:
    """Return the id of the key that made a signature, if it is stated."""
    return _attempt(lambda packet: packet.issuer_key_id, signature)


def _vet_point(packet: Packet) -> None:
    """Refuse points of low order, which the library accepts: anybody could open the message."""
    # RFC 9580 section 5.5.2, as in _vet_rsa.
    material = packet.body[10 if packet.body[0] == _KEY_OF_RFC_9580 else 6 :]
    algorithm = packet.body[5]
    if algorithm == _ECDH and material.startswith(_CURVE25519):
        # RFC 9580 sections 5.5.5.6 and 11.2: the curve, then a number of 263 bits: 0x40 and the point.
        vet_x25519(material[len(_CURVE25519) + 3 :][:X25519_LENGTH])
    elif algorithm == _X25519:
        vet_x25519(material[:X25519_LENGTH])


def _binding(signature: Packet) -> tuple[datetime, timedelta | None] | None:
    """Return when a subkey was bound, and for how long it is valid from its creation."""
    if signature.signature_type != SignatureType.SubkeyBinding or signature.signature_created is None:
        return None
    return signature.signature_created, signature.key_validity_period


def _vet_rsa(packet: Packet) -> None:
    # The library raises an error for an algorithm that it does not know.
    if _attempt(lambda key: key.key_algorithm, packet) not in _RSA:
        return
    # RFC 9580 section 5.5.2: version, creation time, algorithm, and in version 6 the length of the rest.
    modulus, rest = _number(packet.body[10 if packet.body[0] == _KEY_OF_RFC_9580 else 6 :])
    exponent, _ = _number(rest)
    vet_rsa(modulus, exponent)


def _number(mpis: bytes) -> tuple[int, bytes]:
    """Split off the first number (RFC 9580 section 3.2), which follows its length in bits."""
    end = 2 + (int.from_bytes(mpis[:2], "big") + 7) // 8
    return int.from_bytes(mpis[2:end], "big"), mpis[end:]


@dataclass(frozen=True)
class OpenPgpSealer(Sealer):
    """Writes an armored message, encrypted and not signed. It states nothing about its contents.

    SEIPD version 1, which gpg supports, or version 2 if all recipients support it, protects its integrity.
    """

    recipients: tuple[Recipient, ...]

    format = EnvelopeFormat.OPENPGP

    @classmethod
    def to(cls, texts: Sequence[str], now: float) -> OpenPgpSealer:
        """Return a sealer for PGP certificates that are valid at `now`."""
        moment = datetime.fromtimestamp(now, timezone.utc)
        return cls(distinct(parse_each(texts, partial(parse_recipient, moment=moment))))

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """As gpg prints them: 40 upper-case hexadecimal digits, or 64 for a version 6 key."""
        return tuple(recipient.fingerprint for recipient in self.recipients)

    def _opener(self, key_name: str, opened: str) -> str:
        # gpg supports neither version 6 keys nor SEIPD version 2.
        if not self.recipients[0].for_gpg:
            return f"sq decrypt --output {opened} {key_name}.asc"
        # For some tampered messages, gpg writes an empty file and exits with 0.
        return f"gpg --output {opened} --decrypt {key_name}.asc && [ -s {opened} ]"

    def _encrypt(self, plaintext: bytes, contents: Contents) -> str | None:
        del contents  # the library has no fields for them
        certificates = [recipient.certificate for recipient in self.recipients]
        message = _attempt(partial(encrypt, plaintext), certificates)
        return None if message is None else message.decode()


_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


def _attempt(call: Callable[[_Argument], _Result], argument: _Argument) -> _Result | None:
    """Return the result of `call`, or None if the library refuses. Its errors reveal too much to pass on."""
    try:
        return call(argument)
    except BaseException as refusal:
        # A panic inside the library raises a BaseException, not an Exception, of a class that cannot be
        # imported. It must not end the process after the key pair was created and before it is sealed.
        if not isinstance(refusal, RuntimeError) and type(refusal).__name__ != "PanicException":
            raise
    return None
