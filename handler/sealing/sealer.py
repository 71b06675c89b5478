"""The base class of the sealers of all formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from handler.errors import RecipientRefused, SealingFailed
from handler.sealing.recipient_problems import RecipientProblem
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import SecretBytes

    from handler.order import EnvelopeFormat


@dataclass(frozen=True)
class Contents:
    """What an envelope states about its private key, if its format has fields for it.

    `fingerprint` is the key pair's, SHA256:… as `ssh-keygen -l` prints it.
    """

    key_id: str
    key_name: str
    fingerprint: str


_Text = TypeVar("_Text")
_Recipient = TypeVar("_Recipient")


def parse_each(texts: Sequence[_Text], parse: Callable[[_Text], _Recipient]) -> tuple[_Recipient, ...]:
    """Return the recipients in `texts`; raise RecipientRefused with the position of the first bad one."""
    parsed = []
    for position, text in enumerate(texts):
        try:
            parsed.append(parse(text))
        except RecipientRefused as refusal:
            raise RecipientRefused(refusal.problem, position) from None
    return tuple(parsed)


@dataclass(frozen=True)
class KeyReference:
    """A public key in an envelope, and the id by which its owner's tools find the part for it.

    `key` is the same for the same key only. `lookup` is None if tools try the part with every key they have.
    """

    lookup: str | None
    key: str


class HasReferences(Protocol):
    """A vetted recipient of any format."""

    @property
    def references(self) -> tuple[KeyReference, ...]:
        """The public keys that an envelope is sealed to on behalf of this recipient."""


_HasReferences = TypeVar("_HasReferences", bound=HasReferences)


def distinct(recipients: Sequence[_HasReferences]) -> tuple[_HasReferences, ...]:
    """Return the recipients, each key once.

    SECURITY BOUNDARY: a tool that finds a part under the id of its own key may give up if that part does not
    open. So a caller who can add a recipient with the id of another one could lock that one out of the
    envelope. Raises RecipientRefused with the position of the first of two different keys with one id: escrow
    comes last, and is not at fault.
    """
    owners: dict[str, tuple[str, int]] = {}
    included = set[KeyReference]()
    kept = []
    for position, recipient in enumerate(recipients):
        for reference in recipient.references:
            if reference.lookup is not None:
                key, first = owners.setdefault(reference.lookup, (reference.key, position))
                if key != reference.key:
                    raise RecipientRefused(RecipientProblem.AMBIGUOUS, first)
        if not included.issuperset(recipient.references):
            kept.append(recipient)
        included.update(recipient.references)
    return tuple(kept)


_TRIAL = Contents("skey-trial000", "trial", "SHA256:trial")


class Sealer(ABC):
    """Seals to all recipients at once. Each of them can open the envelope alone.

    No two different keys in an envelope share the id by which tools find their part.
    """

    format: ClassVar[EnvelopeFormat]

    @classmethod
    @abstractmethod
    def to(cls, texts: Sequence[str], now: float) -> Sealer:
        """Return a sealer for the recipients in `texts`, judged at the time `now`.

        Raises RecipientRefused with the position of the first bad one.
        """

    @property
    @abstractmethod
    def fingerprints(self) -> tuple[str, ...]:
        """The fingerprints of the recipients, in their order, for comparison by their owners."""

    @abstractmethod
    def _opener(self, key_name: str, opened: str) -> str:
        """Return a command that opens the envelope for the first recipient and writes the file `opened`."""

    def open_with(self, key_name: str, suffix: str = "pem") -> str:
        """Return the command with which the first recipient opens the envelope, saved under the key name.

        It writes the private key, in a file with this `suffix`, readable by its owner only, and leaves no
        file if it fails. It never overwrites a file: others may be able to read an existing one, and it may
        even be the identity itself if the key pair has the same name.
        """
        opened = f"{key_name}.{suffix}"
        # umask 077: ssh refuses a private key that others can read. rm: most of these programs write their
        # output before they have verified the integrity of the input.
        return (
            f"(umask 077; [ ! -e {opened} ] || {{ echo {opened} exists >&2; exit 1; }}; "
            f"{self._opener(key_name, opened)} || {{ rm -f {opened}; exit 1; }})"
        )

    @abstractmethod
    def _encrypt(self, plaintext: bytes, contents: Contents) -> str | None:
        """Return the envelope as text, or None if the library refuses."""

    def seal(self, private_key: SecretBytes, contents: Contents) -> str:
        """Return the envelope as text; raise SealingFailed."""
        envelope = self._encrypt(private_key.get_secret_value(), contents)
        # Raised here and not in _encrypt, so that no traceback holds a frame with the plaintext.
        if envelope is None:
            raise SealingFailed
        return envelope

    def try_seal(self) -> None:
        """Seal a harmless text, to detect an unusable recipient before a key pair exists.

        Raises RecipientRefused.
        """
        if self._encrypt(b"trial", _TRIAL) is None:
            raise RecipientRefused(RecipientProblem.UNUSABLE)
