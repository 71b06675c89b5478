"""The function's settings on their way to SCF: where they come from, and how each one travels."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from handler.auth.nonces import Nonces
from handler.chat.http_client import HttpClient
from handler.chat.platforms.registry import PLATFORMS, PlatformContext, prefix_of
from handler.errors import SettingsInvalid
from handler.scf.invocation import Clock
from handler.settings import ENCODED, PREFIX, Settings
from handler.store.memory import MemoryStore
from handler.store.sharing import Host
from scripts.deployment.errors import SettingsMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from handler.policy.model import Policy

HOSTS = PREFIX + "HOSTS"
MASTER_SECRET = PREFIX + "MASTER_SECRET"
PREVIOUS_MASTER_SECRET = PREFIX + "PREVIOUS_MASTER_SECRET"
RETIRED_MASTER_SECRETS = PREFIX + "RETIRED_MASTER_SECRETS"
REGION = PREFIX + "REGION"
STORE = PREFIX + "STORE"
REQUIRED = (REGION, MASTER_SECRET, STORE)

# Whatever is not listed here counts as a secret.
_PUBLIC = {
    PREFIX + name
    for name in (
        "FEISHU_APP_ID",
        "FEISHU_ORIGIN",
        "HOSTS",
        "KEYS_FROM_CLOUD_NETWORKS",
        "PUBLIC_URL",
        "REGION",
        "STORE_WITHOUT_TLS",
        "WECOMAPP_AGENT_ID",
        "WECOMAPP_CORP_ID",
    )
}
_ALLOWED = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,63}")
"""What both pages on variables say of a value: 583/14570, and 583/32748 of the international site."""
_PIECE = 64 - len(ENCODED)
_TOTAL_LIMIT = 4096
"""Bytes that all variables may take together, 583/11637."""
_PLACEHOLDER_HOST = "host-of-the-function-url.invalid"


def environment_of(folder: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment, and below it what the file `.env` in `folder` sets."""
    written: dict[str, str] = {}
    file = folder / ".env"
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            name, separator, value = line.strip().removeprefix("export ").partition("=")
            if separator and not name.startswith("#"):
                written[name.strip()] = value.strip().strip("\"'")
    return {**written, **environment}


def is_secret(variable: str) -> bool:
    """Tell whether an environment variable holds a secret, or a piece of one."""
    return re.sub(r"_[0-9]+$", "", variable) not in _PUBLIC


def new_master_secret() -> str:
    """Return 32 random bytes as `KEYPAIR_MASTER_SECRET` takes them."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


@dataclass(frozen=True)
class FunctionSettings:
    """All settings of one deployment but for the Function URL's host, which is known only later."""

    values: Mapping[str, str]

    @classmethod
    def checked(cls, variables: Mapping[str, str]) -> FunctionSettings:
        """Return the settings; raise SettingsMissing, which lists all problems at once."""
        values = {name: value for name, value in variables.items() if value}
        problems = [
            f"{name} is not set, neither in the environment nor in .env"
            for name in REQUIRED
            if name not in values
        ]
        # One of a kind that is certainly well-formed stands in for what is reported as missing above.
        stand_ins = {REGION: "ap-guangzhou", MASTER_SECRET: "A" * 43, STORE: "memory:"}
        found = cls(values)
        complete = {**stand_ins, **values, HOSTS: found.hosts(_PLACEHOLDER_HOST)}
        delegated = [prefix_of(platform) for platform in PLATFORMS]
        checks: list[Callable[[], object]] = [partial(Settings.from_environ, complete, delegated)]
        context = PlatformContext(HttpClient(), Nonces(MemoryStore(Clock())), Clock())
        checks += [partial(make, values, context) for make in PLATFORMS.values()]
        chat = ["chat"] if found.has_chat else []
        checks.append(partial(Host.SCF.require_shared, complete[STORE], chat))
        for check in checks:
            try:
                check()
            except SettingsInvalid as error:
                problems += re.split(r"; (?=KEYPAIR_)", str(error))
        if problems:
            raise SettingsMissing("\n".join(problems))
        return found

    @property
    def region(self) -> str:
        """The region of the function."""
        return self.values[REGION]

    @property
    def has_chat(self) -> bool:
        """Whether a chat platform is set up; the function then needs the right to invoke itself."""
        return any(name.startswith(tuple(map(prefix_of, PLATFORMS))) for name in self.values)

    def check_store_for(self, policy: Policy) -> None:
        """Raise SettingsMissing if the policy needs a store that all instances share, and this is not one."""
        try:
            Host.SCF.require_shared(self.values.get(STORE, "memory:"), policy.used_once)
        except SettingsInvalid as error:
            raise SettingsMissing(str(error)) from None

    def hosts(self, url_host: str) -> str:
        """Return `KEYPAIR_HOSTS`: the Function URL's host first, then those that the settings name."""
        named = [host for host in self.values.get(HOSTS, "").split(",") if host]
        return ",".join(dict.fromkeys([url_host, *named]))

    def packed(self) -> bytes:
        """Return the file in the package: settings that are neither secret nor fit for a variable."""
        packed = {name: value for name, value in self.values.items() if self._is_packed(name)}
        return json.dumps(packed, sort_keys=True, indent=1).encode()

    def variables(self, url_host: str | None) -> dict[str, str]:
        """Return the environment variables; without a host there is no KEYPAIR_HOSTS among them.

        Raises SettingsMissing if they take more room than SCF has.
        """
        values = {
            name: value for name, value in self.values.items() if name != HOSTS and not self._is_packed(name)
        }
        if url_host is not None:
            values[HOSTS] = self.hosts(url_host)
        written = environment_variables(values)
        size = sum(len(name) + len(value) for name, value in written.items())
        if size > _TOTAL_LIMIT:
            raise SettingsMissing(f"The settings take {size} bytes as environment variables; SCF has 4096")
        return written

    def _is_packed(self, name: str) -> bool:
        value = self.values[name]
        # The address of a store is public only without a password in it.
        public = "@" not in value if name == STORE else not is_secret(name)
        return public and name != HOSTS and not _ALLOWED.fullmatch(value)


def environment_variables(values: Mapping[str, str]) -> dict[str, str]:
    """Return `values` in the form that SCF's pattern for values allows.

    What it forbids is written in base32, in pieces of 64 characters: NAME, NAME_2, NAME_3 and so on.
    """
    written: dict[str, str] = {}
    for name, value in values.items():
        if _ALLOWED.fullmatch(value):
            written[name] = value
            continue
        text = base64.b32encode(value.encode()).decode().rstrip("=")
        pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        for number, piece in enumerate(pieces, start=1):
            written[name if number == 1 else f"{name}_{number}"] = ENCODED + piece
    return written
