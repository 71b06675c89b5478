"""The environment as frozen settings, read once per container."""

# Without `from __future__ import annotations`: pydantic would evaluate the text of each field's annotation at
# each start (docs/performance.md).

import base64
import binascii
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from handler.errors import SettingsInvalid
from handler.order import Region

PREFIX = "KEYPAIR_"
PACKED_POLICY = Path(__file__).with_name("policy.json")
"""Where `scripts/build` puts the policy."""
PACKED_SETTINGS = Path(__file__).with_name("settings.json")
"""Where `scripts/deploy` puts settings that are not secret and that SCF's pattern for variables forbids."""
ENCODED = "b32_"
"""Begins a value that `scripts/deploy` has written in base32, because SCF's pattern forbids it as it is."""

# With `http://`: tccli and the Python SDK, told to use plain HTTP, sign the scheme as a part of the host.
_HOST = re.compile(r"(http://)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?")
# No `?`: redis-py takes options from there, those that switch the check of certificates off among them.
_STORE = re.compile(
    r"memory:|sqlite:/.+|rediss?://([^\s/?#@]*@)?([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]+\])"
    r"(:(?P<port>[0-9]{1,5}))?(/[0-9]{1,4})?"
)
# Plain HTTP on this machine only: the answers hold private keys, and links lead to ciphertext.
_ENDPOINT = r"^(https://[a-z0-9.-]+|http://(127\.0\.0\.1|localhost))(:[0-9]{1,5})?$"
_HIGHEST_PORT = 65535


def decode_secret(value: object) -> bytes:
    """Return the bytes of a master secret; raise ValueError if it is none."""
    # Unpadded base64url: SCF's own bootstrap splits values at ';' and fails on '='.
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]{43,}", value):
        raise ValueError("not unpadded base64url of 32 bytes or more")
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def effective_environ(environ: Mapping[str, str], packed: Path = PACKED_SETTINGS) -> dict[str, str]:
    """Return the environment with each setting under its own name, as a person wrote it.

    Settings missing from the environment are read from `packed`, which `scripts/deploy` puts beside the code.
    """
    try:
        defaults: dict[str, str] = json.loads(packed.read_text(encoding="utf-8"))
    except FileNotFoundError:
        defaults = {}
    # A variable that is set to nothing does not hide what is packed.
    return {**defaults, **{n: value for n, value in decoded(environ).items() if value or n not in defaults}}


def decoded(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with every value in base32 decoded.

    SCF documents 2 to 64 letters, digits and underscores for a value (583/14570). Other values arrive in
    base32 after a prefix, long ones in pieces: NAME, NAME_2, NAME_3.
    """
    values = dict(environ)
    encoded = {
        name for name, value in environ.items() if name.startswith(PREFIX) and value.startswith(ENCODED)
    }
    # Sorted, so that NAME comes before NAME_2, which is then gone.
    for name in sorted(encoded):
        if name not in values:
            continue
        pieces = [name]
        while (following := f"{name}_{len(pieces) + 1}") in encoded:
            pieces.append(following)
        text = "".join(environ[piece].removeprefix(ENCODED) for piece in pieces)
        try:
            value = base64.b32decode(text + "=" * (-len(text) % 8)).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue  # not base32: the value is what it is
        for piece in pieces:
            del values[piece]
        values[name] = value
    return values


def _secrets(value: object) -> object:
    return tuple(decode_secret(part) for part in str(value).split(","))


def _hosts(value: object) -> object:
    hosts = tuple(str(value).lower().split(","))
    # Nearly all clients sign the name alone. With `http://` alone, every one of their signatures is wrong.
    if not all(_HOST.fullmatch(host) and host.removeprefix("http://") in hosts for host in hosts):
        raise ValueError("not a list of host names")
    return hosts


def _store(value: object) -> object:
    matched = _STORE.fullmatch(str(value))
    if not matched or int(matched["port"] or 0) > _HIGHEST_PORT:
        raise ValueError("not the address of a store")
    return value


def _crosses_the_network_in_clear(store: str) -> bool:
    parts = urlsplit(store)
    if parts.scheme != "redis" or parts.hostname == "localhost":
        return False
    try:
        return not ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True


def _variable(prefix: str, field: str) -> str:
    return prefix + field.upper()


def environment_config(prefix: str) -> ConfigDict:
    """Return the configuration of a model whose fields are variables: `prefix` plus the name in capitals."""
    return ConfigDict(
        frozen=True,
        extra="forbid",
        # Error texts must never repeat a value: some are secrets.
        hide_input_in_errors=True,
        alias_generator=partial(_variable, prefix),
    )


class Settings(BaseModel):
    """The settings of the function. Those of a chat platform are in the platform's own module.

    Each field is the variable `KEYPAIR_` plus the field's name in capitals. An operator reads the description
    after a mistake, so it says what to write.
    """

    model_config = environment_config(PREFIX)

    region: Region = Field(description="a region, for example ap-guangzhou")
    hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts)] = Field(
        description="the host names that callers use, separated by commas, with :PORT unless it is 443; "
        "http://HOST, if at all, only beside HOST"
    )
    master_secret: Annotated[bytes, BeforeValidator(decode_secret)] = Field(
        repr=False, description="32 random bytes in unpadded base64url (43 characters)"
    )
    previous_master_secret: Annotated[bytes, BeforeValidator(decode_secret)] | None = Field(
        default=None, repr=False, description="the master secret before the last rotation, or nothing"
    )
    retired_master_secrets: Annotated[tuple[bytes, ...], BeforeValidator(_secrets)] = Field(
        default=(),
        repr=False,
        description="former master secrets, separated by commas, or nothing: key pairs made under them are "
        "still recognised, and nobody can sign with them",
    )
    policy: Path = Field(default=PACKED_POLICY, description="the path of a policy compiled to JSON")
    store: Annotated[str, BeforeValidator(_store)] = Field(
        default="memory:",
        repr=False,  # it may hold a password
        description="memory: or sqlite:/ABSOLUTE/PATH or redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], "
        "rediss:// for TLS; percent-encode what is not a letter or digit in USER and PASSWORD",
    )
    store_without_tls: Literal["yes"] | None = Field(
        default=None, description="yes if records may cross the network to redis:// in clear text, or nothing"
    )
    keys_from_cloud_networks: Literal["yes"] | None = Field(
        default=None,
        description="yes if the keys of users (keys_from in the policy) may be fetched from 100.64.0.0/10, "
        "9.0.0.0/8, 11.0.0.0/8 and 30.0.0.0/8, which Tencent Cloud uses inside, or nothing",
    )
    cvm_endpoint: Annotated[str, StringConstraints(pattern=_ENDPOINT)] | None = Field(
        default=None, description="https://HOST of the CVM API, or http://127.0.0.1:PORT of the emulator"
    )

    scf_endpoint: Annotated[str, StringConstraints(pattern=_ENDPOINT)] | None = Field(
        default=None, description="https://HOST of the SCF API, or http://127.0.0.1:PORT of scripts/serve"
    )
    public_url: Annotated[str, StringConstraints(pattern=_ENDPOINT)] | None = Field(
        default=None, description="https://HOST of this function in links; else the first of KEYPAIR_HOSTS"
    )

    @property
    def link_base(self) -> str:
        """Where links to this function begin, without a slash at the end."""
        return self.public_url or "https://" + self.hosts[0].removeprefix("http://")

    @property
    def master_secrets(self) -> tuple[bytes, ...]:
        """The secrets that callers' own are derived from, the current one first."""
        previous = self.previous_master_secret
        return (self.master_secret,) if previous is None else (self.master_secret, previous)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], delegated: Iterable[str] = ()) -> "Settings":
        """Read the `KEYPAIR_` variables, except those that begin with a `delegated` prefix.

        Raises SettingsInvalid for a missing, unknown or malformed one.
        """
        others = tuple(delegated)
        given = {
            name: value
            for name, value in environ.items()
            if name.startswith(PREFIX) and not name.startswith(others)
        }
        # A compose file and `export NAME=` set variables to nothing. For those that may be left out, that is
        # as if they were not set. A store or a policy that is set to nothing is a mistake.
        for field in cls.model_fields.values():
            if not field.is_required() and not field.default and given.get(str(field.alias)) == "":
                del given[str(field.alias)]
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            raise SettingsInvalid("; ".join(faults(cls, error.errors()))) from None
        if settings.store_without_tls is None and _crosses_the_network_in_clear(settings.store):
            # The records tell who ordered what, and the password is in the first packet.
            raise SettingsInvalid(
                "KEYPAIR_STORE is redis://, without TLS, to another machine; write rediss://, or set "
                "KEYPAIR_STORE_WITHOUT_TLS=yes"
            )
        return settings


def faults(model: type[BaseModel], problems: Sequence[ErrorDetails]) -> list[str]:
    """Return what an operator has to correct, one text for each problem. No text contains a value."""
    fields = {field.alias: field for field in model.model_fields.values()}
    texts = []
    for problem in problems:
        variable = str(problem["loc"][0])
        if problem["type"] == "extra_forbidden":
            texts.append(f"{variable} is not a setting; remove it or correct its name")
        else:
            kind = "is missing" if problem["type"] == "missing" else "is malformed"
            texts.append(f"{variable} {kind}; it takes {fields[variable].description}")
    return texts
