"""Profiles: which function is called, and how to sign in. Weakest first: file, environment, flags."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from client.errors import UsageProblem
from client.folders import config_file, local_profile, shown
from client.language import tr
from client.order import check_region

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tomlkit import TOMLDocument

# Not KEYPAIR_: those are the function's settings, and it refuses the ones that it does not know.
ENVIRONMENT_PREFIX = "KP_"
SIGN_IN_METHODS = ("secret", "ci", "token-command", "device", "browser")

_PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Profile:
    """One function, and how to sign in to it. Empty text means: not set."""

    name: str = "default"
    url: str = ""
    sign_in: str = ""
    region: str = ""
    secret_id: str = ""
    audience: str = ""
    issuer: str = ""
    client_id: str = ""
    scope: str = ""
    token_command: str = ""
    secret_key: str = field(default="", repr=False)
    """Only from the environment or from the local function's profile; never in the profile file."""
    token: str = field(default="", repr=False)
    """Only from the environment."""

    @property
    def method(self) -> str:
        """Return how to sign in: as stated, else by what the profile has."""
        if self.token:
            return "token"
        if self.sign_in:
            return self.sign_in
        if self.secret_id:
            return "secret"
        if self.token_command:
            return "token-command"
        return "device" if self.issuer else "ci"

    @property
    def wanted_audience(self) -> str:
        """Return the audience that a token has to have."""
        return self.audience or self.client_id or "keypair-function"


SETTINGS = tuple(
    part.name.replace("_", "-")
    for part in fields(Profile)
    if part.name not in {"name", "secret_key", "token"}
)
"""What a profile in the file may set."""


def load_profile(name: str | None, url: str | None) -> Profile:
    """Return the profile to use, checked; `url` replaces its address. Raises UsageProblem."""
    environment = os.environ
    stored = ProfileFile.read()
    chosen = name or environment.get(ENVIRONMENT_PREFIX + "PROFILE") or stored.default
    if name and name not in stored.names() and not url:
        raise UsageProblem(
            tr("There is no profile {name!r} in {file}.", name=name, file=shown(stored.path)),
            tr("`keypair config` lists them; `keypair --profile NAME config set url URL` makes one."),
        )
    profile = replace(Profile(name=chosen), **stored.settings(chosen))
    from_environment = {
        part.name: environment[ENVIRONMENT_PREFIX + part.name.upper()]
        for part in fields(Profile)
        if part.name != "name" and environment.get(ENVIRONMENT_PREFIX + part.name.upper())
    }
    profile = replace(profile, **from_environment)
    return _checked(replace(profile, url=url or profile.url))


def load_local_profile() -> Profile:
    """Return the profile of the function that runs on this machine. Raises UsageProblem."""
    path = local_profile()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return _checked(
            Profile(
                name="local",
                url=found["url"],
                sign_in="secret",
                secret_id=found["secretId"],
                secret_key=found["secretKey"],
            )
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageProblem(
            tr("No local function is running."),
            tr("Start one in another terminal: scripts/serve --emulator"),
        ) from None


def _checked(profile: Profile) -> Profile:
    if not profile.url:
        raise UsageProblem(
            tr("No function address is set."),
            tr("Set one: keypair config set url https://…, or {name}.", name=ENVIRONMENT_PREFIX + "URL"),
        )
    if profile.sign_in and profile.sign_in not in SIGN_IN_METHODS:
        raise UsageProblem(
            tr("Unknown sign-in method {method!r}.", method=profile.sign_in),
            tr("Choose one of: {methods}", methods=", ".join(SIGN_IN_METHODS)),
        )
    return replace(profile, url=checked_url(profile.url))


def checked_url(text: str) -> str:
    """Return the address of a function as scheme and host. Raises UsageProblem."""
    if text != text.strip() or any(character.isspace() for character in text):
        raise UsageProblem(tr("The address {url!r} has blanks in it.", url=text), tr("Remove them."))
    if "://" not in text:
        raise UsageProblem(
            tr("The address {url!r} has no scheme.", url=text),
            tr("Write https://{url}", url=text.lstrip("/")),
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise UsageProblem(
            tr("{url!r} is not an address.", url=text), tr("Write it like https://keys.example.com")
        ) from None
    host = (parts.hostname or "").lower()
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc:
        raise UsageProblem(
            tr("{url!r} is not an address.", url=text), tr("Write it like https://keys.example.com")
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        # The function is served at the root: signatures cover the host alone.
        raise UsageProblem(
            tr("The address {url!r} has a path.", url=text),
            tr("Give only scheme and host: {url}", url=f"{parts.scheme}://{parts.netloc}"),
        )
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise UsageProblem(
            tr("{url} is not encrypted.", url=text),
            tr("Use https://{host}; plain http is for functions on this machine.", host=parts.netloc),
        )
    literal = f"[{host}]" if ":" in host else host
    standard = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{literal}" + ("" if port in {None, standard} else f":{port}")


class ProfileFile:
    """The TOML file with the profiles; comments in it survive a change."""

    def __init__(self, path: Path, document: TOMLDocument) -> None:
        self.path = path
        self._document = document

    @classmethod
    def read(cls, path: Path | None = None) -> ProfileFile:
        """Read the file; one that is not there is empty. Raises UsageProblem."""
        path = path or config_file()
        read = cls(path, _document_in(path))
        read.check()
        return read

    def check(self) -> None:
        """Raise UsageProblem for a setting that does not exist; a misspelt one would be ignored silently."""
        for name in self.names():
            for key, value in self._table(name).items():
                if key in {"secret-key", "token"}:
                    raise UsageProblem(
                        tr("{file} contains a secret: {key}.", file=shown(self.path), key=key),
                        tr("Remove it there, and run `keypair login`, which stores it safely."),
                    )
                if key not in SETTINGS or not isinstance(value, str):
                    raise UsageProblem(
                        tr(
                            "Profile {name!r} in {file}: unknown setting {key!r}.",
                            name=name,
                            file=shown(self.path),
                            key=key,
                        ),
                        tr("Settings are: {settings}", settings=", ".join(SETTINGS)),
                    )

    @property
    def default(self) -> str:
        """Return the name of the profile that is used when none is named."""
        return str(self._document.get("default", "default"))

    def names(self) -> list[str]:
        """Return the names of all profiles."""
        return list(self._document.get("profiles", {}))

    def settings(self, name: str) -> dict[str, Any]:
        """Return the settings of one profile, by the names of `Profile`'s fields."""
        return {key.replace("-", "_"): str(value) for key, value in self._table(name).items()}

    def set(self, name: str, key: str, value: str) -> None:
        """Change one setting; empty text removes it. Raises UsageProblem."""
        import tomlkit

        if not _PROFILE_NAME.fullmatch(name):
            raise UsageProblem(
                tr("{name!r} cannot be the name of a profile.", name=name),
                tr("Use letters, digits, '.', '_' and '-'."),
            )
        if key in {"secret-key", "token"}:
            raise UsageProblem(
                tr("A secret does not belong in the file or on a command line."),
                tr("Run `keypair login`, which asks for it and stores it safely."),
            )
        if key not in SETTINGS:
            raise UsageProblem(
                tr("Unknown setting {key!r}.", key=key),
                tr("Settings are: {settings}", settings=", ".join(SETTINGS)),
            )
        value = checked_url(value) if key == "url" and value else value
        value = check_region(value) if key == "region" and value else value
        if key == "secret-id" and value:
            from client.sign_in.secret import check_secret_id

            check_secret_id(value)
        if key == "sign-in" and value and value not in SIGN_IN_METHODS:
            raise UsageProblem(
                tr("Unknown sign-in method {method!r}.", method=value),
                tr("Choose one of: {methods}", methods=", ".join(SIGN_IN_METHODS)),
            )
        with self._changing():
            profiles = self._document.setdefault("profiles", tomlkit.table(is_super_table=True))
            table = profiles.setdefault(name, tomlkit.table())
            if value:
                table[key] = value
            else:
                table.pop(key, None)

    def use(self, name: str) -> None:
        """Make a profile the default one. Raises UsageProblem."""
        if name not in self.names():
            raise UsageProblem(
                tr("There is no profile {name!r} in {file}.", name=name, file=shown(self.path)),
                tr("`keypair config` lists them; `keypair --profile NAME config set url URL` makes one."),
            )
        with self._changing():
            if "default" in self._document:
                self._document["default"] = name
            else:
                import tomlkit

                # A key of the top level has to stand before the first table.
                text = f'default = "{name}"\n\n' + self._document.as_string()
                self._document = tomlkit.parse(text)

    def _table(self, name: str) -> Mapping[str, Any]:
        profiles = self._document.get("profiles", {})
        table = profiles.get(name, {}) if isinstance(profiles, dict) else {}
        return table if isinstance(table, dict) else {"": table}

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Read the file again for the block, as another command may have changed it, and write it after."""
        from client.files import changing, replace_private
        from client.folders import private_folder

        private_folder(self.path.parent)
        with changing(self.path):
            self._document = _document_in(self.path)
            self.check()
            yield
            replace_private(self.path, self._document.as_string().encode())


def _document_in(path: Path) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return tomlkit.document()
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise UsageProblem(
            tr("{file} cannot be read: {error}", file=shown(path), error=error),
            tr("Correct it in an editor, or move it away and start again."),
        ) from None
