"""The order: what a caller asks for at any endpoint, and the limits of each field."""

from __future__ import annotations

import hashlib
import json
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"
"""How times are written, by this function and by the cloud: UTC, in whole seconds."""
ANSWER_TTL = 24 * 3600
"""Seconds for which an answer is kept. Published in the header `Idempotency-Key-TTL`."""
RECIPIENTS_LIMIT = 20
TAGS_LIMIT = 20
"""Tags of an order, and of a grant."""
TAGS_TOGETHER = 30
"""Tags of an order and its grant together. A key pair has room for 50, and this function uses 20 of them."""

KEY_ID = r"skey-[0-9a-z]{1,32}"
"""The pattern of the cloud's ids of key pairs."""
TAG_PREFIX = "keypair-function:"
CALLER_TAG = TAG_PREFIX + "caller"
"""Who asked for the key pair. Every key pair of this function has this tag."""

# The cloud reserves `qcs:` and `project:`. This function reserves the last one: a request that could set its
# tags could make somebody else's key pair look like the function's own.
_RESERVED_TAG_PREFIXES = ("qcs:", "project:", TAG_PREFIX)


class Action(str, Enum):
    """What a caller may do with key pairs. The policy grants each action by itself."""

    CREATE = "create"
    LIST = "list"
    DELETE = "delete"
    IMPORT = "import"


class PrivateKeyFormat(str, Enum):
    """The encoding of the private key inside the envelope."""

    PKCS1 = "pkcs1"
    """`RSA PRIVATE KEY`, byte for byte as the cloud returned it."""
    PKCS8 = "pkcs8"
    """`PRIVATE KEY`, RFC 5958."""
    OPENSSH = "openssh"
    """`OPENSSH PRIVATE KEY`, PROTOCOL.key of OpenSSH."""
    PPK = "ppk"
    """`PuTTY-User-Key-File-3`, unencrypted; for PuTTY, WinSCP and Xshell."""

    @property
    def suffix(self) -> str:
        """The file extension of the private key."""
        return "ppk" if self is PrivateKeyFormat.PPK else "pem"


class EnvelopeFormat(str, Enum):
    """The envelope in which the private key is sealed."""

    AGE = "age"
    """https://age-encryption.org/v1, armored; for age and SSH keys."""
    JWE = "jwe"
    """RFC 7516: compact for one recipient, JSON for several; for JWK, and X25519 in PEM."""
    CMS = "cms"
    """RFC 5083 in PEM; for certificates and public keys in PEM."""
    OPENPGP = "openpgp"
    """RFC 9580, armored; for PGP certificates."""

    @property
    def suffix(self) -> str:
        """The file extension that the command for opening the envelope expects."""
        return "asc" if self is EnvelopeFormat.OPENPGP else self.value


def _whole_number(value: object) -> object:
    """Accept 3.0 as 3: JSON Schema calls it an integer, and some clients send it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _tag_key(key: str) -> str:
    if key.lower().startswith(_RESERVED_TAG_PREFIXES):
        raise ValueError("reserved prefix")
    return key


# CreateKeyPair: https://cloud.tencent.com/document/api/213/15702. In pydantic `$` matches only at the end.
KeyName = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=25, pattern=r"^[A-Za-z0-9_]*$")
]
ProjectId = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1), BeforeValidator(_whole_number)]
Region = Annotated[str, StringConstraints(strict=True, max_length=32, pattern=r"^[a-z]+(-[a-z0-9]+)+$")]

ClientToken = Annotated[str, StringConstraints(strict=True, pattern=r"^[\x21-\x7e]{1,255}$")]
"""What the cloud calls an idempotency key. The name of the field is not case-sensitive."""

_SECONDS = {"m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    """Return the seconds in a duration such as `30d`."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


Duration = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=6, pattern=r"^[1-9][0-9]*[mhd]$")
]
"""Minutes, hours or days: `90m`, `12h`, `30d`."""

_TAG_TEXT = r"^[\p{L}\p{N}+\-=._:/@()]([\p{L}\p{N}+\-=._:/@() ]*[\p{L}\p{N}+\-=._:/@()])?$"
TagKey = Annotated[
    str, StringConstraints(strict=True, max_length=127, pattern=_TAG_TEXT), AfterValidator(_tag_key)
]
TagValue = Annotated[str, StringConstraints(strict=True, max_length=255, pattern=_TAG_TEXT)]
# pydantic's JSON Schema lists the pattern of the keys but not that other keys are refused.
Tags = Annotated[
    dict[TagKey, TagValue],
    Field(max_length=TAGS_LIMIT, json_schema_extra={"additionalProperties": False}),
]


def _json_text(value: object) -> object:
    """Accept a JWK as it is, a JSON object, in place of its text."""
    return json.dumps(value) if isinstance(value, dict) else value


RecipientText = Annotated[
    str,
    StringConstraints(strict=True),
    BeforeValidator(_json_text),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]
Recipients = Annotated[list[RecipientText], Field(min_length=1, max_length=RECIPIENTS_LIMIT)]
"""Only their number is limited here. `handler.sealing` vets each of them."""


@dataclass(frozen=True)
class KeyPairOrder:
    """An order for one key pair: well-formed, but not yet granted.

    `recipients` is empty if the request named none.
    """

    name: str
    region: str
    project_id: int = 0
    recipients: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    private_key_format: PrivateKeyFormat = PrivateKeyFormat.PKCS1
    envelope_format: EnvelopeFormat | None = None
    """None if the recipients decide it."""
    expires_in: int | None = None
    """Seconds after which the key pair is removed."""
    public_key: str | None = None
    """The public key to import. None if the cloud is to make the key pair."""

    @property
    def action(self) -> Action:
        """The action that this order needs a grant for."""
        return Action.CREATE if self.public_key is None else Action.IMPORT

    def digest(self) -> str:
        """Return 64 hexadecimal digits that are equal only for equal orders."""
        fields = [
            self.name,
            self.region,
            self.project_id,
            list(self.recipients),
            sorted(self.tags.items()),
            self.private_key_format.value,
            None if self.envelope_format is None else self.envelope_format.value,
            self.expires_in,
        ]
        if self.public_key is not None:
            fields.append(self.public_key)
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()
