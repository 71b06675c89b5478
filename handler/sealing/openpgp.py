"""Envelopes in the OpenPGP format (RFC 9580), to PGP certificates."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

from pysequoia import Cert, encrypt
from pysequoia.packet import Packet, PacketPile, PublicKeyAlgorithm, SignatureType, Tag

from handler.errors import RecipientRefused
from handler.order import EnvelopeFormat
from handler.scf.invocation import MAX_INVOCATION_SECONDS
from handler.sealing.public_keys import X25519_LENGTH, require_full_order, vet_rsa
from handler.sealing.recipient_problems import RecipientProblem
from handler.sealing.sealer import Contents, Sealer, parse_each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# RFC 9580 section 6.2, with nothing before or after it: the library would pass over that. Section 6.1 forbids
# to refuse a block for its checksum; there is no need to either, each key in it is signed.
_BLOCK = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n"
    r"(?:[A-Za-z]+: [^\r\n]*\r?\n)*"
    r"[ \t]*\r?\n"
    r"[A-Za-z0-9+/=\s]+"
    r"-----END PGP PUBLIC KEY BLOCK-----"
)

# Versions of packets, RFC 9580 sections 5.1.1, 5.13.1, 5.5.2.2 and 5.5.2.3.
_PKESK_WITH_KEY_ID = 3
_SEIPD_WITHOUT_AEAD = 1
_ECDH, _X25519 = 18, 25
"""RFC 9580 section 9.1."""
_CURVE25519 = bytes.fromhex("0a 2b060104019755010501")
"""RFC 9580 section 9.2: the identifier of the curve, after its length."""
_WHILE_ISSUING = timedelta(seconds=2 * MAX_INVOCATION_SECONDS)
_KEY_OF_RFC_4880 = 4
_KEY_OF_RFC_9580 = 6

_RSA = (PublicKeyAlgorithm.RSAEncryptSign, PublicKeyAlgorithm.RSAEncrypt, PublicKeyAlgorithm.RSASign)
_KNOWN_TO_GPG = (PublicKeyAlgorithm.RSAEncryptSign, PublicKeyAlgorithm.RSAEncrypt, PublicKeyAlgorithm.ECDH)


@dataclass(frozen=True)
class Recipient:
    """A vetted certificate.

    `fingerprint` is what its owner can compare: upper-case hexadecimal digits, as gpg prints it.
    `for_gpg` tells whether gpg opens what is sealed to it alone; gpg has nothing that RFC 9580 brought.
    """

    fingerprint: str
    for_gpg: bool
    certificate: Cert = field(repr=False)


def parse_recipient(text: str, moment: datetime) -> Recipient:
    """Return the recipient in `text`, valid at `moment`; raise RecipientRefused."""
    certificate, packets = _certificate(text)
    if certificate.is_revoked:
        raise RecipientRefused(RecipientProblem.PGP_REVOKED)
    # Which of its keys are for encryption, bound, not revoked and strong is the library's judgement; only a
    # message shows it.
    trial = _attempt(_encrypt_trial, certificate)
    if trial is None:
        for packet in packets:
            _vet_rsa(packet)  # a key that is too short is one reason for that
        raise RecipientRefused(RecipientProblem.PGP_USE)
    if certificate.expiration and certificate.expiration <= moment:
        raise RecipientRefused(RecipientProblem.PGP_EXPIRED)
    named = [packet.body for packet in trial if packet.tag == Tag.PKESK]
    for_gpg = trial[-1].body[0] == _SEIPD_WITHOUT_AEAD
    for position, packet in enumerate(packets):
        if any(_is_named(packet, body) for body in named):
            _vet_expiry(packet, packets[position + 1 :], moment)
            _vet_rsa(packet)
            _vet_point(packet)
            for_gpg &= packet.body[0] == _KEY_OF_RFC_4880 and packet.key_algorithm in _KNOWN_TO_GPG
    _vet_signatures(packets, moment)
    return Recipient(certificate.fingerprint.upper(), for_gpg, certificate)


def _certificate(text: str) -> tuple[Cert, list[Packet]]:
    found = _attempt(_parse, text.encode()) if _BLOCK.fullmatch(text) else None
    if found is None:
        raise RecipientRefused(RecipientProblem.PGP_MALFORMED)
    certificates, packets, tags = found
    # SECURITY BOUNDARY: no private key, whatever the block is labelled.
    if Tag.SecretKey in tags or Tag.SecretSubkey in tags:
        raise RecipientRefused(RecipientProblem.PRIVATE)
    if len(certificates) > 1:
        raise RecipientRefused(RecipientProblem.SEVERAL)
    if not certificates:
        raise RecipientRefused(RecipientProblem.PGP_MALFORMED)
    return certificates[0], packets


def _parse(block: bytes) -> tuple[list[Cert], list[Packet], list[Tag]]:
    # SECURITY BOUNDARY: this comes first because it refuses compressed packets, with 50 MB unpacked at most.
    # PacketPile would unpack them all, layer by layer, to gigabytes.
    certificates = Cert.split_bytes(block)
    packets = list(PacketPile.from_bytes(block))
    return certificates, packets, [packet.tag for packet in packets]


def _encrypt_trial(certificate: Cert) -> list[Packet]:
    return list(PacketPile.from_bytes(encrypt(b"trial", [certificate])))


def _is_named(packet: Packet, pkesk: bytes) -> bool:
    """Tell whether a message's encrypted session key is for this key."""
    # RFC 9580 section 5.1: a key ID, or a length, a version and a fingerprint
    if pkesk[0] == _PKESK_WITH_KEY_ID:
        return packet.key_id == pkesk[1:9].hex()
    return packet.fingerprint == pkesk[3 : 2 + pkesk[1]].hex()


def _vet_expiry(subkey: Packet, following: Sequence[Packet], moment: datetime) -> None:
    """Refuse a subkey that has expired by its newest binding; a primary key has none."""
    # The library makes do with an expired subkey where no other is left, and it goes by its own clock. Which
    # binding counts it does not say; one that is newer and forged could only let an old key last for longer.
    signatures = takewhile(lambda packet: packet.tag == Tag.Signature, following)
    bindings = filter(None, (_attempt(_binding, packet) for packet in signatures))
    _, period = max(bindings, key=itemgetter(0), default=(None, None))
    if period and subkey.key_created and subkey.key_created + period <= moment:
        raise RecipientRefused(RecipientProblem.PGP_EXPIRED)


def _vet_signatures(packets: Sequence[Packet], moment: datetime) -> None:
    """Refuse a certificate that the library may judge otherwise while a key pair is being made for it.

    It looks at the certificate anew each time, by its own clock: what a signature grants or takes away from
    some second on would show when it is too late.
    """
    for packet in packets:
        if packet.tag == Tag.Signature:
            created = _attempt(lambda signature: signature.signature_created, packet)
            if created and created > moment:
                raise RecipientRefused(RecipientProblem.PGP_USE)
            ends = _attempt(lambda signature: signature.signature_expiration_time, packet)
            if ends and ends <= moment + _WHILE_ISSUING:
                raise RecipientRefused(RecipientProblem.PGP_EXPIRED)


def _vet_point(packet: Packet) -> None:
    """Refuse points of Curve25519 that the library takes, and with which anybody opens the message."""
    # RFC 9580 section 5.5.2: as for RSA.
    material = packet.body[10 if packet.body[0] == _KEY_OF_RFC_9580 else 6 :]
    algorithm = packet.body[5]
    if algorithm == _ECDH and material.startswith(_CURVE25519):
        # RFC 9580 sections 5.5.5.6 and 11.2: the curve, then a number of 263 bits: 0x40 and the point.
        require_full_order(material[len(_CURVE25519) + 3 :][:X25519_LENGTH])
    elif algorithm == _X25519:
        require_full_order(material[:X25519_LENGTH])


def _binding(signature: Packet) -> tuple[datetime, timedelta | None] | None:
    """Return when a subkey was bound, and for how long since it was made."""
    if signature.signature_type != SignatureType.SubkeyBinding or signature.signature_created is None:
        return None
    return signature.signature_created, signature.key_validity_period


def _vet_rsa(packet: Packet) -> None:
    # The library refuses to name an algorithm that it does not know.
    if _attempt(lambda key: key.key_algorithm, packet) not in _RSA:
        return
    # RFC 9580 section 5.5.2: a version, a time, an algorithm; with version 6 the length of what follows.
    modulus, rest = _number(packet.body[10 if packet.body[0] == _KEY_OF_RFC_9580 else 6 :])
    exponent, _ = _number(rest)
    vet_rsa(modulus, exponent)


def _number(mpis: bytes) -> tuple[int, bytes]:
    """Split the first number off (RFC 9580 section 3.2): its length in bits, then itself."""
    end = 2 + (int.from_bytes(mpis[:2], "big") + 7) // 8
    return int.from_bytes(mpis[2:end], "big"), mpis[end:]


@dataclass(frozen=True)
class OpenPgpSealer(Sealer):
    """An armored message, encrypted and not signed; it says nothing of what is in it.

    Its integrity is protected as all of its recipients can read it: by SEIPD version 1, as gpg does, or 2.
    """

    recipients: tuple[Recipient, ...]

    format = EnvelopeFormat.OPENPGP

    @classmethod
    def to(cls, texts: Sequence[str], now: float) -> OpenPgpSealer:
        """Return an envelope for PGP certificates that are valid at `now`."""
        moment = datetime.fromtimestamp(now, timezone.utc)
        return cls(parse_each(texts, partial(parse_recipient, moment=moment)))

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints as gpg prints them: 40 upper-case hexadecimal digits, 64 of a version 6 key."""
        return tuple(recipient.fingerprint for recipient in self.recipients)

    def _opener(self, key_name: str) -> str:
        # gpg knows neither version 6 keys nor SEIPD version 2.
        if not self.recipients[0].for_gpg:
            return f"sq decrypt --output {key_name}.pem {key_name}.asc"
        # Of some changed messages gpg writes nothing, and says that all is well.
        return f"gpg --output {key_name}.pem --decrypt {key_name}.asc && [ -s {key_name}.pem ]"

    def _encrypt(self, plaintext: bytes, contents: Contents) -> str | None:
        del contents  # the library writes none of it
        certificates = [recipient.certificate for recipient in self.recipients]
        message = _attempt(partial(encrypt, plaintext), certificates)
        return None if message is None else message.decode()


_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


def _attempt(call: Callable[[_Argument], _Result], argument: _Argument) -> _Result | None:
    """Return what `call` does, or None where the library refuses: its errors tell too much to be let out."""
    try:
        return call(argument)
    except BaseException as refusal:
        # A panic inside the library is a BaseException that is no Exception, of a class that cannot be
        # imported; it must not end the process with a key pair made and not sealed.
        if not isinstance(refusal, RuntimeError) and type(refusal).__name__ != "PanicException":
            raise
    return None
