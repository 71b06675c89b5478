"""Envelopes: what the private key comes sealed in, and how each is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.errors import UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from client.envelopes.text import Found

SUFFIXES = {"age": "age", "jwe": "jwe", "cms": "cms", "openpgp": "asc"}


def open_envelope(found: Found, files: list[Path], ask: Callable[[str], str], ssh_folder: Path) -> bytes:
    """Open an envelope with the keys in `files`, for age with the usual SSH keys where none is named.

    Raises NotOpened, UsageProblem or LocalFailure.
    """
    if found.format == "jwe":
        from client.envelopes.jwe import open_jwe

        return open_jwe(found.text, files, ask)
    if found.format == "cms":
        from client.envelopes.external import open_cms

        return open_cms(found.text, files)
    if found.format == "openpgp":
        from client.envelopes.external import open_openpgp

        return open_openpgp(found.text)
    from client.envelopes import age

    usual = [path for name in ("id_ed25519", "id_rsa") if (path := ssh_folder / name).exists()]
    if not files and not usual:
        raise UsageProblem(
            tr("There is no key to open the envelope with."),
            tr("Name the key that it was sealed to: keypair open FILE --identity KEY"),
        )
    return age.open_with_files(found.text, files or usual, ask)
