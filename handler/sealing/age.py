"""Envelopes in the age format (https://age-encryption.org/v1), to age and SSH keys."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

import pyrage

from handler.errors import RecipientRefused
from handler.order import EnvelopeFormat
from handler.sealing import bech32, ssh_keys
from handler.sealing.public_keys import X25519_LENGTH, P, require_full_order, vet_rsa, vet_x25519
from handler.sealing.recipient_problems import RecipientProblem
from handler.sealing.sealer import Contents, KeyReference, Sealer, distinct, parse_each
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PyrageRecipient: TypeAlias = "pyrage.x25519.Recipient | pyrage.ssh.Recipient"

# The longest modulus that pyrage accepts.
_RSA_BITS = range(2048, 4096 + 1)

_SSH_TAG_LENGTH = 4


@dataclass(frozen=True)
class Recipient:
    """A vetted public key.

    `fingerprint` is for comparison by its owner: an age recipient itself, or SHA256:… as `ssh-keygen -l`
    prints it. `identity` is the usual path of its private key. `tag` is the id of an SSH key in an envelope.
    """

    fingerprint: str
    identity: str
    key: PyrageRecipient = field(repr=False)
    tag: str | None = None

    @property
    def references(self) -> tuple[KeyReference, ...]:
        """The only key."""
        return (KeyReference(self.tag, self.fingerprint),)


def parse_recipient(text: str) -> Recipient:
    """Return the recipient in `text`, an age recipient or the type and the blob of an SSH key.

    Raises RecipientRefused.
    """
    key_type, _, blob = text.partition(" ")
    return _ssh(key_type, blob) if blob else _x25519(text)


def _x25519(text: str) -> Recipient:
    try:
        # The checksum first: without it, the human-readable part may be mistyped.
        human, point = bech32.decode(text)
    except ValueError:
        raise RecipientRefused(RecipientProblem.BECH32) from None
    # `age1NAME1…` names a plugin. A plugin recipient built from a caller's text would let the caller
    # choose a program for age to run (CVE-2024-56327).
    if human != "age" or len(point) != X25519_LENGTH:
        raise RecipientRefused(RecipientProblem.PLUGIN)
    vet_x25519(point)
    return Recipient(text, "key.txt", _accepted(pyrage.x25519.Recipient.from_str, text))


def _ssh(key_type: str, encoded: str) -> Recipient:
    try:
        fields = ssh_keys.fields(encoded)
    except ValueError:
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED) from None
    if not fields or fields[0] != key_type.encode():
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED)
    if key_type == "ssh-ed25519":
        _vet_ed25519(fields[1:])
    else:
        _vet_rsa(fields[1:])
    identity = "~/.ssh/id_ed25519" if key_type == "ssh-ed25519" else "~/.ssh/id_rsa"
    key = _accepted(pyrage.ssh.Recipient.from_str, f"{key_type} {encoded}")
    # https://github.com/FiloSottile/age/blob/main/agessh/agessh.go: a stanza begins with the key's type and
    # the first bytes of this digest, so few that collisions can be searched for.
    tag = ssh_keys.digest(encoded)[:_SSH_TAG_LENGTH].hex()
    return Recipient(ssh_keys.fingerprint(encoded), identity, key, f"{key_type} {tag}")


def _vet_ed25519(fields: list[bytes]) -> None:
    if len(fields) != 1 or len(fields[0]) != X25519_LENGTH:
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED)
    # RFC 8032 section 5.1.3. Neither cryptography nor pyrage checks that the point is on the curve.
    y = int.from_bytes(fields[0], "little") & (2**255 - 1)
    d = -121665 * pow(121666, -1, P) % P
    x_squared = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
    if y >= P or pow(x_squared, (P - 1) // 2, P) == P - 1:
        raise RecipientRefused(RecipientProblem.ED25519_POINT)
    # age converts the point to X25519 (RFC 7748 section 4.1). pyrage accepts points of low order, and such an
    # envelope opens without any private key. y = 1 has no counterpart; 0 represents it. A point of mixed
    # order is harmless: X25519 scalars are multiples of 8, which cancels its small component.
    u = (1 + y) * pow(1 - y, -1, P) % P if y != 1 else 0
    require_full_order(u.to_bytes(X25519_LENGTH, "little"))


def _vet_rsa(fields: list[bytes]) -> None:
    if len(fields) != 2:  # noqa: PLR2004  # RFC 4253 section 6.6: e, n
        raise RecipientRefused(RecipientProblem.SSH_MALFORMED)
    for number in fields:
        # RFC 4251 section 5: an mpint, positive, without unnecessary leading bytes
        if not number or number[0] & 0x80 or (number[0] == 0 and not number[1:2] > b"\x7f"):
            raise RecipientRefused(RecipientProblem.SSH_MALFORMED)
    exponent, modulus = (int.from_bytes(number, "big") for number in fields)
    vet_rsa(modulus, exponent, _RSA_BITS)


def _accepted(parse: Callable[[str], PyrageRecipient], text: str) -> PyrageRecipient:
    try:
        return parse(text)
    except BaseException as refusal:
        if not _is_of_pyrage(refusal):
            raise
    # Raised outside the handler, so that pyrage's error, which may quote the text, is not its context.
    raise RecipientRefused(RecipientProblem.UNUSABLE)


@dataclass(frozen=True)
class AgeSealer(Sealer):
    """Writes the armored form, for any number of recipients. It states nothing about its contents."""

    recipients: tuple[Recipient, ...]

    format = EnvelopeFormat.AGE

    @classmethod
    def to(cls, texts: Sequence[str], now: float) -> AgeSealer:
        """Return a sealer for age and SSH recipients."""
        del now  # these keys do not expire
        return cls(distinct(parse_each(texts, parse_recipient)))

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The age recipients themselves; SSH keys as SHA256:…, as `ssh-keygen -l` prints it."""
        return tuple(recipient.fingerprint for recipient in self.recipients)

    def _opener(self, key_name: str, opened: str) -> str:
        return f"age -d -i {self.recipients[0].identity} -o {opened} {key_name}.age"

    def _encrypt(self, plaintext: bytes, contents: Contents) -> str | None:
        del contents  # age has no fields for them
        keys = [recipient.key for recipient in self.recipients]
        try:
            return pyrage.encrypt(plaintext, keys, armored=True).decode()
        except BaseException as refusal:
            if not _is_of_pyrage(refusal):
                raise
        return None


def _is_of_pyrage(error: BaseException) -> bool:
    # A panic inside pyrage raises a BaseException, not an Exception, of a class that cannot be imported. It
    # must not end the process after the key pair was created and before it is sealed.
    return isinstance(error, (pyrage.RecipientError, pyrage.EncryptError)) or (
        type(error).__name__ == "PanicException"
    )
