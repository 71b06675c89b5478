"""Lays certificate authorities out so that OpenSSL reads only the one that it needs: a file for each.

https://docs.openssl.org/3.0/man3/X509_LOOKUP_hash_dir/
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

from OpenSSL.crypto import FILETYPE_PEM, load_certificate

from scripts.packaging.errors import PackagingError

if TYPE_CHECKING:
    from pathlib import Path

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n[^-]+\n-----END CERTIFICATE-----")


def spread(bundle: Path, folder: Path) -> None:
    """Fill a new folder with the certificates in `bundle`; raise PackagingError if one is malformed."""
    text = bundle.read_text("ascii")
    found = _CERTIFICATE.findall(text)
    # What is left out here, the function would not trust.
    lines = text.count("CERTIFICATE-----")
    if lines != 2 * len(found) or not found:
        raise PackagingError(
            f"{bundle.name}: of {lines} lines around certificates {2 * len(found)} can be read"
        )
    folder.mkdir(parents=True)
    for pem in found:
        add(folder, f"{pem}\n")


def add(folder: Path, pem: str) -> Path:
    """Write the certificate `pem` into such a folder; return its file."""
    # OpenSSL looks for the digest of the subject, and tells authorities of one name apart by a number.
    digest = load_certificate(FILETYPE_PEM, pem.encode()).subject_name_hash()
    names = (folder / f"{digest:08x}.{number}" for number in count())
    file = next(name for name in names if not name.exists())
    file.write_text(pem, "ascii")
    return file
