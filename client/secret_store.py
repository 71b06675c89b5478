"""Where secrets and tokens stay: the system's keyring where there is one, else a file of mode 0600."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Protocol

from client.errors import LocalFailure
from client.files import changing, replace_private
from client.folders import private_folder, shown, state_folder
from client.language import tr

if TYPE_CHECKING:
    from pathlib import Path

_SERVICE = "keypair"


class SecretStore(Protocol):
    """Keeps secrets by name."""

    description: str

    def get(self, name: str) -> str | None:
        """Return a secret, or None."""
        ...

    def set(self, name: str, secret: str) -> None:
        """Keep a secret."""
        ...

    def delete(self, name: str) -> bool:
        """Forget a secret; tell whether there was one. Raises LocalFailure."""
        ...


def all_stores() -> list[SecretStore]:
    """Return every place where a secret may be: it stays where it was when KP_KEYRING changes."""
    keyring = _usable_keyring()
    file = FileStore(state_folder() / "secrets.json")
    return [file] if keyring is None else [keyring, file]


def open_store() -> SecretStore:
    """Return the keyring if this system has a usable one and KP_KEYRING is not `off`, else the file."""
    if os.environ.get("KP_KEYRING") != "off" and (keyring := _usable_keyring()):
        return keyring
    return FileStore(state_folder() / "secrets.json")


class FileStore:
    """A JSON file of mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.description = shown(path)

    def get(self, name: str) -> str | None:
        """Return a secret, or None."""
        return self._read().get(name)

    def set(self, name: str, secret: str) -> None:
        """Keep a secret."""
        private_folder(self._path.parent)
        with changing(self._path):
            self._write({**self._read(), name: secret})

    def delete(self, name: str) -> bool:
        """Forget a secret; tell whether there was one."""
        if self.get(name) is None:
            return False
        with changing(self._path):
            kept = self._read()
            kept.pop(name, None)
            self._write(kept)
        return True

    def _read(self) -> dict[str, str]:
        try:
            content: dict[str, str] = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise LocalFailure(
                tr("{file} cannot be read: {error}", file=shown(self._path), error=error),
                tr("Delete it and sign in again: keypair login"),
            ) from None
        return content

    def _write(self, content: dict[str, str]) -> None:
        replace_private(self._path, json.dumps(content).encode())


class KeyringStore:
    """The system's keyring, through the library `keyring`."""

    def __init__(self, backend: _Backend, failures: tuple[type[Exception], ...]) -> None:
        self._backend = backend
        self._failures = failures
        self.description = tr("the system's keyring")

    def get(self, name: str) -> str | None:
        """Return a secret, or None; also None where the keyring is locked or broken."""
        try:
            return self._backend.get_password(_SERVICE, name)
        except self._failures:
            return None

    def set(self, name: str, secret: str) -> None:
        """Keep a secret. Raises LocalFailure."""
        try:
            self._backend.set_password(_SERVICE, name, secret)
        except self._failures as error:
            raise LocalFailure(
                tr("The system's keyring refuses: {error}", error=error),
                tr("Unlock it, or set KP_KEYRING=off to use a file instead."),
            ) from None

    def delete(self, name: str) -> bool:
        """Forget a secret; tell whether there was one. Raises LocalFailure where that cannot be known."""
        try:
            if self._backend.get_password(_SERVICE, name) is None:
                return False
            self._backend.delete_password(_SERVICE, name)
        except self._failures as error:
            raise LocalFailure(
                tr("The system's keyring refuses: {error}", error=error),
                tr("Unlock it, and log out again: what it keeps is still there."),
            ) from None
        return True


class _Backend(Protocol):
    def get_password(self, service: str, username: str) -> str | None: ...

    def set_password(self, service: str, username: str, password: str) -> None: ...

    def delete_password(self, service: str, username: str) -> None: ...


def _usable_keyring() -> KeyringStore | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    backend = keyring.get_keyring()
    # `fail` has priority 0, `null` -1: neither keeps anything.
    return KeyringStore(backend, (KeyringError,)) if backend.priority > 0 else None
