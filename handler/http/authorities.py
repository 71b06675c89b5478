"""The certificate authorities that the function trusts: those of certifi."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


def authorities() -> Path:
    """Return the file that has them all or, in the package, the folder that has a file for each.

    OpenSSL reads the file whole for each connection, which takes longer than the TLS handshake. In the
    folder, which `scripts/build` makes, it finds the one that it needs by its name.
    """
    import certifi

    file = Path(certifi.where())
    folder = file.with_suffix("")
    return folder if folder.is_dir() else file


def trust_authorities(context: ssl.SSLContext) -> None:
    """Let `context` trust them as well as those that it trusts already."""
    found = authorities()
    file, folder = (None, found) if found.is_dir() else (found, None)
    context.load_verify_locations(file, folder)
