"""Private keys in files, with or without a passphrase."""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.errors import NotOpened, UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


def load_private_key(file: Path, content: bytes, ask: Callable[[str], str]) -> PrivateKeyTypes:
    """Return the key in a PEM or OpenSSH file; `ask` is asked for its passphrase where it has one.

    Raises NotOpened for a wrong passphrase, UsageProblem if the text is not a private key.
    """
    key = _load(content, None)
    if isinstance(key, _Encrypted):
        key = _load(content, ask(tr("Passphrase of {file}", file=file)).encode())
        if key is None or isinstance(key, _Encrypted):
            raise NotOpened(tr("The passphrase of {file} is wrong.", file=file), tr("Try again."))
    if key is None:
        raise UsageProblem(
            tr("{file} is not a private key that can be read.", file=file),
            tr("Name the file with your private key."),
        )
    return key


class _Encrypted:
    """A key that has a passphrase."""


def _load(content: bytes, passphrase: bytes | None) -> PrivateKeyTypes | _Encrypted | None:
    from cryptography.hazmat.primitives import serialization

    try:
        if b"OPENSSH PRIVATE KEY" in content[:64]:
            return serialization.load_ssh_private_key(content, password=passphrase)
        return serialization.load_pem_private_key(content, password=passphrase)
    except TypeError:
        # So the library says that a passphrase is missing.
        return _Encrypted()
    except Exception:  # noqa: BLE001  # a parser's: it may quote the key
        return None
