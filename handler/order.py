"""What a caller asks for, whichever door it came through, and the limits of each field."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_TTL = 24 * 3600
"""Seconds for which the answer to an order is kept. Published in the header `Idempotency-Key-TTL`."""
RECIPIENTS_LIMIT = 20
TAGS_LIMIT = 20
"""Of the 50 tags that a key pair may carry, so that the function's own and the policy's always fit."""

TAG_PREFIX = "keypair-function:"
ORDER_TAG = TAG_PREFIX + "order"
"""Marks a key pair as made by this function for one order. Only key pairs that carry it are ever deleted."""
CALLER_TAG = TAG_PREFIX + "caller"
EXPIRES_TAG = TAG_PREFIX + "expires"
"""When the sweeper removes the key pair, RFC 3339 in UTC."""

# `qcs:` and `project:` are reserved by the cloud, the last by this function: a request that could set
# the order tag could make somebody else's key pair look like the function's own.
_RESERVED_TAG_PREFIXES = ("qcs:", "project:", TAG_PREFIX)


class PrivateKeyFormat(str, Enum):
    """How the private key is written before it is sealed."""

    PKCS1 = "pkcs1"
    """`RSA PRIVATE KEY`, byte for byte as the cloud wrote it."""
    PKCS8 = "pkcs8"
    """`PRIVATE KEY`, RFC 5958."""
    OPENSSH = "openssh"
    """`OPENSSH PRIVATE KEY`, PROTOCOL.key of OpenSSH."""


class EnvelopeFormat(str, Enum):
    """What the private key is sealed in."""

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
        """What the name of the file ends in that the command for opening it expects."""
        return "asc" if self is EnvelopeFormat.OPENPGP else self.value


def _whole_number(value: object) -> object:
    """JSON Schema calls 3.0 an integer, and some clients write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _tag_key(key: str) -> str:
    if key.lower().startswith(_RESERVED_TAG_PREFIXES):
        raise ValueError("reserved prefix")
    return key


# CreateKeyPair: https://cloud.tencent.com/document/api/213/15702. pydantic's `$` matches only at the end.
KeyName = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=25, pattern=r"^[A-Za-z0-9_]*$")
]
ProjectId = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1), BeforeValidator(_whole_number)]
Region = Annotated[str, StringConstraints(strict=True, max_length=32, pattern=r"^[a-z]+(-[a-z0-9]+)+$")]

ClientToken = Annotated[str, StringConstraints(strict=True, pattern=r"^[\x21-\x7e]{1,255}$")]
"""The name by which the cloud's own actions know an idempotency key; letter case does not count."""

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
# pydantic describes keys with a pattern, and forgets to say that there are no others.
Tags = Annotated[
    dict[TagKey, TagValue],
    Field(max_length=TAGS_LIMIT, json_schema_extra={"additionalProperties": False}),
]

Recipients = Annotated[
    list[Annotated[str, StringConstraints(strict=True)]], Field(min_length=1, max_length=RECIPIENTS_LIMIT)
]
"""Each text is vetted by `handler.sealing`; here only their number is bounded."""


@dataclass(frozen=True)
class KeyPairOrder:
    """A request for one key pair, read and well-formed but not yet granted.

    `recipients` is empty where the request brought none.
    """

    name: str
    region: str
    project_id: int = 0
    recipients: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    private_key_format: PrivateKeyFormat = PrivateKeyFormat.PKCS1
    envelope_format: EnvelopeFormat | None = None
    """None where the recipients decide it."""
    expires_in: int | None = None
    """Seconds after which the key pair is to be removed."""

    def digest(self) -> str:
        """Return 64 hexadecimal digits that two orders share only if they ask for the same."""
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
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()
