"""The environment as frozen settings, read once per container."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from handler.errors import SettingsInvalid
from handler.order import Region

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "KEYPAIR_"
PACKED_POLICY = Path(__file__).with_name("policy.json")
"""Where `scripts/build` puts the policy."""

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
# What a chat platform gives out as a secret; ';' and '=' would not survive SCF's bootstrap.
_PlatformSecret = Annotated[str, StringConstraints(pattern=r"^[\x21-\x3a\x3c\x3e-\x7e]{1,256}$")]
_EncodingAesKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}$")]


def decode_secret(value: object) -> bytes:
    """Return the bytes of a master secret; raise ValueError if it is none."""
    # Unpadded base64url: SCF's own bootstrap splits values at ';' and fails on '='.
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]{43,}", value):
        raise ValueError("not unpadded base64url of 32 bytes or more")
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def _hosts(value: object) -> object:
    hosts = tuple(str(value).lower().split(","))
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError("not a list of host names")
    return hosts


def _store(value: object) -> object:
    matched = _STORE.fullmatch(str(value))
    if not matched or int(matched["port"] or 0) > _HIGHEST_PORT:
        raise ValueError("not the address of a store")
    return value


class Settings(BaseModel):
    """One field a variable: `KEYPAIR_` and the field's name in capitals.

    A description says what to write; it is what an operator reads after a mistake.
    """

    # An error text must never repeat a value: one of them is the master secret.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        alias_generator=lambda field: PREFIX + field.upper(),
    )

    region: Region = Field(description="a region, for example ap-guangzhou")
    hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts)] = Field(
        description="the host names that callers use, separated by commas, with :PORT unless it is 443"
    )
    master_secret: Annotated[bytes, BeforeValidator(decode_secret)] = Field(
        repr=False, description="32 random bytes in unpadded base64url (43 characters)"
    )
    previous_master_secret: Annotated[bytes, BeforeValidator(decode_secret)] | None = Field(
        default=None, repr=False, description="the master secret before the last rotation, or nothing"
    )
    policy: Path = Field(default=PACKED_POLICY, description="the path of a policy compiled to JSON")
    store: Annotated[str, BeforeValidator(_store)] = Field(
        default="memory:",
        repr=False,  # it may hold a password
        description="memory: or sqlite:/ABSOLUTE/PATH or redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], "
        "rediss:// for TLS; percent-encode what is not a letter or digit in USER and PASSWORD",
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
    slack_signing_secret: _PlatformSecret | None = Field(
        default=None, repr=False, description="the Signing Secret of the Slack app, or nothing"
    )
    feishu_encrypt_key: _PlatformSecret | None = Field(
        default=None, repr=False, description="the Encrypt Key of the Feishu app, or nothing"
    )
    feishu_verification_token: _PlatformSecret | None = Field(
        default=None, repr=False, description="the Verification Token of the Feishu app, or nothing"
    )
    feishu_app_id: Annotated[str, StringConstraints(pattern=r"^cli_[a-z0-9]{1,64}$")] | None = Field(
        default=None, description="the App ID of the Feishu app (cli_…), or nothing"
    )
    feishu_app_secret: _PlatformSecret | None = Field(
        default=None, repr=False, description="the App Secret of the Feishu app, or nothing"
    )
    feishu_origin: Literal["https://open.feishu.cn", "https://open.larksuite.com"] = Field(
        default="https://open.feishu.cn",
        description="https://open.feishu.cn, or https://open.larksuite.com for Lark",
    )
    dingtalk_app_secret: _PlatformSecret | None = Field(
        default=None, repr=False, description="the Client Secret (AppSecret) of the DingTalk app, or nothing"
    )
    wecom_token: _PlatformSecret | None = Field(
        default=None, repr=False, description="the Token of the WeCom AI bot, or nothing"
    )
    wecom_aes_key: _EncodingAesKey | None = Field(
        default=None,
        repr=False,
        description="the EncodingAESKey of the WeCom AI bot (43 characters), or nothing",
    )
    wecomapp_token: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,32}$")] | None = Field(
        default=None, repr=False, description="the Token of the WeCom app (letters and digits), or nothing"
    )
    wecomapp_aes_key: _EncodingAesKey | None = Field(
        default=None,
        repr=False,
        description="the EncodingAESKey of the WeCom app (43 characters), or nothing",
    )
    wecomapp_corp_id: Annotated[str, StringConstraints(pattern=r"^w[wx][0-9a-z]{1,62}$")] | None = Field(
        default=None, description="the CorpID of the company of the WeCom app (ww…), or nothing"
    )
    wecomapp_agent_id: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,9}$")] | None = Field(
        default=None, description="the AgentId of the WeCom app (digits), or nothing"
    )
    wecomapp_secret: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,128}$")] | None = Field(
        default=None, repr=False, description="the Secret of the WeCom app, or nothing"
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
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the `KEYPAIR_` variables; raise SettingsInvalid for a missing, unknown or malformed one."""
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            advice = [_advice(str(problem["loc"][0]), problem["type"]) for problem in error.errors()]
            raise SettingsInvalid("; ".join(advice)) from None


def _advice(variable: str, kind: str) -> str:
    if kind == "extra_forbidden":
        return f"{variable} is not a setting; remove it or correct its name"
    problem = "is missing" if kind == "missing" else "is malformed"
    field = Settings.model_fields[variable.removeprefix(PREFIX).lower()]
    return f"{variable} {problem}; it takes {field.description}"
