"""What the envelopes of all formats have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from handler.errors import RecipientRefused, SealingFailed
from handler.sealing.recipient_problems import RecipientProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import SecretBytes

    from handler.order import EnvelopeFormat


@dataclass(frozen=True)
class Contents:
    """What an envelope says of the private key in it, where its format has room for that.

    `fingerprint` is that of the key pair, SHA256:… as `ssh-keygen -l` prints it.
    """

    key_id: str
    key_name: str
    fingerprint: str


_Recipient = TypeVar("_Recipient")


def parse_each(texts: Sequence[str], parse: Callable[[str], _Recipient]) -> tuple[_Recipient, ...]:
    """Return the recipients in `texts`; raise RecipientRefused with the position of the first bad one."""
    parsed = []
    for position, text in enumerate(texts):
        try:
            parsed.append(parse(text))
        except RecipientRefused as refusal:
            raise RecipientRefused(refusal.problem, position) from None
    return tuple(parsed)


_TRIAL = Contents("skey-trial000", "trial", "SHA256:trial")


class Sealer(ABC):
    """Seals to all of its recipients; each of them opens it alone."""

    format: ClassVar[EnvelopeFormat]

    @classmethod
    @abstractmethod
    def to(cls, texts: Sequence[str], now: float) -> Sealer:
        """Return an envelope for the recipients in `texts`, as they stand at `now`.

        Raises RecipientRefused with the position of the first bad one.
        """

    @property
    @abstractmethod
    def fingerprints(self) -> tuple[str, ...]:
        """What the owner of each recipient can compare, in their order."""

    @abstractmethod
    def _opener(self, key_name: str) -> str:
        """Return a command that opens `KEYNAME.SUFFIX` for the first recipient and writes `KEYNAME.pem`."""

    def open_with(self, key_name: str) -> str:
        """Return the command by which the first recipient opens the envelope, saved as `KEYNAME.SUFFIX`.

        It writes `KEYNAME.pem`, which only its owner can read, and leaves nothing there if it fails. A file
        that is there already stays as it is: others may be able to read it, and a key pair may have the
        name of the identity.
        """
        opened = f"{key_name}.pem"
        # umask 077: ssh refuses a private key that others can read. rm: most of these programs write what
        # they decrypt before they know whether somebody has changed it.
        return (
            f"(umask 077; [ ! -e {opened} ] || {{ echo {opened} exists >&2; exit 1; }}; "
            f"{self._opener(key_name)} || {{ rm -f {opened}; exit 1; }})"
        )

    @abstractmethod
    def _encrypt(self, plaintext: bytes, contents: Contents) -> str | None:
        """Return the envelope as text, or None where the library refuses."""

    def seal(self, private_key: SecretBytes, contents: Contents) -> str:
        """Return the envelope as text; raise SealingFailed."""
        envelope = self._encrypt(private_key.get_secret_value(), contents)
        # Raised here, not there: no error may hold the frame with the plain text, or a library's error.
        if envelope is None:
            raise SealingFailed
        return envelope

    def try_seal(self) -> None:
        """Seal a harmless text, so that a key which cannot be used is found before a key pair exists.

        Raises RecipientRefused.
        """
        if self._encrypt(b"trial", _TRIAL) is None:
            raise RecipientRefused(RecipientProblem.UNUSABLE)
