"""Packs a folder into a reproducible zip, and reports what takes up space in it."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The earliest time that a zip can store.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE_0644 = 0o100644 << 16
_UNIX = 3


@dataclass(frozen=True)
class Share:
    """The space that one top-level name takes up, in bytes."""

    name: str
    unpacked: int
    zipped: int


def write_zip(tree: Path, output: Path) -> None:
    """Pack every file below `tree` into `output`, sorted, without time stamps, all with mode 0644."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(output, "w") as archive:
        for name in sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()):
            _add(archive, name, (tree / name).read_bytes())


def with_entries(package: bytes, entries: Mapping[str, bytes]) -> bytes:
    """Return a zip with these entries put in, or put in the place of those of the same name."""
    output = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(package)) as source,
        zipfile.ZipFile(output, "w") as target,
    ):
        for name in sorted({*source.namelist(), *entries}):
            _add(target, name, entries[name] if name in entries else source.read(name))
    return output.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.create_system = _UNIX
    entry.external_attr = _REGULAR_FILE_0644
    # An entry ignores the level of its archive.
    archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)


def shares(zip_file: Path) -> list[Share]:
    """Return what takes up space in a zip, largest zipped size first.

    Modules of the zip's root and their bytecode are counted together, under the module's file name.
    """
    unpacked: dict[str, int] = {}
    zipped: dict[str, int] = {}
    with zipfile.ZipFile(zip_file) as archive:
        for entry in archive.infolist():
            top, *rest = entry.filename.split("/")
            if top == "__pycache__":
                top = rest[0].split(".")[0] + ".py"
            unpacked[top] = unpacked.get(top, 0) + entry.file_size
            zipped[top] = zipped.get(top, 0) + entry.compress_size
    return sorted((Share(n, unpacked[n], zipped[n]) for n in unpacked), key=lambda share: -share.zipped)
