"""Envelopes in the age format (https://age-encryption.org/v1), to age and SSH keys."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import pyrage

from handler.errors import RecipientProblem, RecipientRefused, SealingFailed
from handler.sealing import bech32

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretBytes

PyrageRecipient: TypeAlias = "pyrage.x25519.Recipient | pyrage.ssh.Recipient"

_X25519_LENGTH = 32
_RSA_BITS = range(2048, 8192 + 1)
_RSA_EXPONENT_MINIMUM = 65537

# sshd(8), AUTHORIZED_KEYS FILE FORMAT, without the options: one type, one blob, one comment.
_SSH_LINE = re.compile(
    r"(?P<type>ssh-ed25519|ssh-rsa)[ \t]+(?P<blob>[A-Za-z0-9+/]+={0,2})(?:[ \t]+[\x20-\x7e\t]*)?"
)
_OTHER_SSH_TYPE = re.compile(
    r"(?:sk-)?(?:ssh|ecdsa|webauthn-sk-ecdsa)-[a-z0-9@.-]+[ \t]|(?:sk-)?ecdsa-sha2-", re.IGNORECASE
)


@dataclass(frozen=True)
class Recipient:
    """A vetted public key.

    `fingerprint` is what its owner can compare: an age recipient itself, or SHA256:… as `ssh-keygen -l`
    prints it. `identity` is where its private half usually lies.
    """

    fingerprint: str
    identity: str
    key: PyrageRecipient = field(repr=False)


def parse_recipient(text: str) -> Recipient:
    """Return the recipient in `text`, one line without outer space; raise RecipientRefused."""
    if text.lower().startswith("age1"):
        return _x25519(text)
    if line := _SSH_LINE.fullmatch(text):
        return _ssh(line["type"], line["blob"])
    if text.startswith(("ssh-rsa ", "ssh-ed25519 ")):
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED)
    if _OTHER_SSH_TYPE.match(text):
        raise RecipientRefused(RecipientProblem.SSH_TYPE)
    raise RecipientRefused(RecipientProblem.UNKNOWN)


def _x25519(text: str) -> Recipient:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    try:
        # The checksum first: only then is the human-readable part known to be what was meant.
        human, point = bech32.decode(text)
    except ValueError:
        raise RecipientRefused(RecipientProblem.BECH32) from None
    # `age1NAME1…` names a plugin. A plugin recipient built from a caller's text would let the caller
    # choose a program for age to run (CVE-2024-56327).
    if human != "age" or len(point) != _X25519_LENGTH:
        raise RecipientRefused(RecipientProblem.PLUGIN)
    _require_full_order(X25519PublicKey.from_public_bytes(point).public_bytes_raw())
    return Recipient(text, "key.txt", _accepted(pyrage.x25519.Recipient.from_str, text))


def _ssh(key_type: str, encoded: str) -> Recipient:
    try:
        blob = base64.b64decode(encoded, validate=True)
        fields = _ssh_strings(blob)
    except ValueError:
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED) from None
    if not fields or fields[0] != key_type.encode():
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED)
    if key_type == "ssh-ed25519":
        _vet_ed25519(fields[1:])
    else:
        _vet_rsa(fields[1:])
    digest = base64.b64encode(hashlib.sha256(blob).digest()).rstrip(b"=").decode()
    identity = "~/.ssh/id_ed25519" if key_type == "ssh-ed25519" else "~/.ssh/id_rsa"
    # Without the comment: it is the caller's text, and nothing needs it.
    return Recipient(
        f"SHA256:{digest}", identity, _accepted(pyrage.ssh.Recipient.from_str, f"{key_type} {encoded}")
    )


def _ssh_strings(blob: bytes) -> list[bytes]:
    """Split a blob into its strings (RFC 4251 section 5), to the last byte: pyrage ignores what trails."""
    fields = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise ValueError("cut")
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


def _vet_ed25519(fields: list[bytes]) -> None:
    if len(fields) != 1 or len(fields[0]) != _X25519_LENGTH:
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED)
    # RFC 8032 section 5.1.3. Neither cryptography nor pyrage checks that the point is on the curve.
    p = 2**255 - 19
    y = int.from_bytes(fields[0], "little") & (2**255 - 1)
    d = -121665 * pow(121666, -1, p) % p
    x_squared = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
    if y >= p or pow(x_squared, (p - 1) // 2, p) == p - 1:
        raise RecipientRefused(RecipientProblem.ED25519_POINT)
    # What age does with it (RFC 7748 section 4.1); pyrage accepts points of low order, and such an
    # envelope opens with no private key at all. y = 1 has no counterpart: 0 stands for it.
    u = (1 + y) * pow(1 - y, -1, p) % p if y != 1 else 0
    _require_full_order(u.to_bytes(_X25519_LENGTH, "little"))


def _require_full_order(u: bytes) -> None:
    """Refuse X25519 points whose shared secret is zero with every key (RFC 7748 section 6.1)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(u))
    except ValueError:
        raise RecipientRefused(RecipientProblem.LOW_ORDER) from None


def _vet_rsa(fields: list[bytes]) -> None:
    if len(fields) != 2:  # noqa: PLR2004  # RFC 4253 section 6.6: e, n
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED)
    for number in fields:
        # RFC 4251 section 5: mpint, positive and without a needless leading byte
        if not number or number[0] & 0x80 or (number[0] == 0 and not number[1:2] > b"\x7f"):
            raise RecipientRefused(RecipientProblem.SSH_MALFORMED)
    exponent, modulus = (int.from_bytes(number, "big") for number in fields)
    if modulus.bit_length() not in _RSA_BITS:
        raise RecipientRefused(RecipientProblem.RSA_SIZE)
    if exponent < _RSA_EXPONENT_MINIMUM or exponent % 2 == 0 or exponent.bit_length() > 32:  # noqa: PLR2004
        raise RecipientRefused(RecipientProblem.RSA_EXPONENT)
    if modulus % 2 == 0:
        raise RecipientRefused(RecipientProblem.RSA_MODULUS)


def _accepted(parse: Callable[[str], PyrageRecipient], text: str) -> PyrageRecipient:
    try:
        return parse(text)
    except pyrage.RecipientError:
        raise RecipientRefused(RecipientProblem.UNUSABLE) from None


@dataclass(frozen=True)
class AgeEnvelope:
    """Seals to all of its recipients; each of them opens it alone."""

    recipients: tuple[Recipient, ...]

    format = "age"

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The recipients' fingerprints, in their order."""
        return tuple(recipient.fingerprint for recipient in self.recipients)

    def open_with(self, key_name: str) -> str:
        """Return the command by which the first recipient opens the envelope, saved as `KEYNAME.age`."""
        # A redirect under umask 077: ssh refuses a private key that others can read.
        identity = self.recipients[0].identity
        return f"(umask 077 && age -d -i {identity} {key_name}.age > {key_name}.pem)"

    def seal(self, private_key: SecretBytes) -> str:
        """Return the armored envelope; raise SealingFailed."""
        return _encrypt(private_key.get_secret_value(), self.recipients)

    def try_seal(self) -> None:
        """Seal a harmless text, so that a key which cannot be used is found before a key pair exists.

        Raises RecipientRefused.
        """
        try:
            _encrypt(b"trial", self.recipients)
        except SealingFailed:
            raise RecipientRefused(RecipientProblem.UNUSABLE) from None


def _encrypt(plaintext: bytes, recipients: tuple[Recipient, ...]) -> str:
    try:
        return pyrage.encrypt(plaintext, [recipient.key for recipient in recipients], armored=True).decode()
    except pyrage.EncryptError:
        pass
    except BaseException as panic:
        # A panic inside pyrage is a BaseException that is no Exception; it must not end the process with
        # a key pair made and not sealed.
        if type(panic).__name__ != "PanicException":
            raise
    # Raised out here: an exception that holds the frame with the plain text as its context must not exist.
    raise SealingFailed
