"""Owners of PGP keys: some keep them in GnuPG, some in OpenPGP.js."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretBytes
from pysequoia.packet import PacketPile

from handler.sealing import Contents, prepare_sealer
from tests.support.node_opener import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pysequoia.packet import Packet

    from tests.support.node_opener import NodeOpener

CONTENTS = Contents("skey-1a2b3c4d", "deploy", "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU")


def seal(plaintext: bytes, *publics: str) -> str:
    return prepare_sealer(publics, now=time.time()).seal(SecretBytes(plaintext), CONTENTS)


def split(armored: str) -> list[Packet]:
    """Return the packets of a key or a message."""
    return list(PacketPile.from_bytes(armored.encode()))


@dataclass(frozen=True)
class Gpg:
    """GnuPG with a key ring of its own; no key has a passphrase."""

    home: Path

    @property
    def environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"], "GNUPGHOME": str(self.home)}

    def run(
        self, *arguments: str, given: str = "", now: str | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run gpg, at the time `now` (20200131T120000) if there is one."""
        command = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
        if now:
            # With `!` it stands still. Otherwise a slow machine makes a key after the next command's time.
            command += ["--faked-system-time", f"{now}!"]
        return subprocess.run(
            [*command, *arguments],
            input=given.encode(),
            env=self.environment,
            capture_output=True,
            check=False,
        )

    def make(
        self,
        primary: str = "future-default",
        usage: str = "default",
        expire: str = "never",
        *,
        subkey: tuple[str, ...] = (),
        now: str | None = None,
        options: Sequence[str] = (),
    ) -> str:
        """Make a key and return its fingerprint; `subkey` is an algorithm, a usage, an expiry."""
        name = f"owner {uuid.uuid4()}"
        made = self.run(*options, "--quick-generate-key", name, primary, usage, expire, now=now)
        assert made.returncode == 0, made.stderr
        listed = self.run("--with-colons", "--list-keys", name).stdout.decode()
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        if subkey:
            added = self.run(*options, "--quick-add-key", fingerprint, *subkey, now=now)
            assert added.returncode == 0, added.stderr
        return fingerprint

    def public(self, *fingerprints: str, options: Sequence[str] = ()) -> str:
        return self.run("--armor", *options, "--export", *fingerprints).stdout.decode()

    def secret(self, fingerprint: str) -> str:
        return self.run("--armor", "--export-secret-keys", fingerprint).stdout.decode()

    def open(self, envelope: str) -> bytes | None:
        opened = self.run("--decrypt", given=envelope)
        return opened.stdout if opened.returncode == 0 else None


@contextmanager
def key_ring() -> Iterator[Gpg]:
    # Below the system's folder for temporary files: the path of the agent's socket has to be short.
    with tempfile.TemporaryDirectory(prefix="gpg") as home:
        gpg = Gpg(Path(home))
        try:
            yield gpg
        finally:
            subprocess.run(["gpgconf", "--kill", "all"], env=gpg.environment, check=True)


@dataclass(frozen=True)
class JsOwner:
    """An owner of a key that OpenPGP.js made."""

    private: str
    public: str

    def open(self, node: NodeOpener, envelope: str) -> bytes | None:
        return node.open("openpgp", privateKey=self.private, envelope=envelope)


def js_owners(*options: Mapping[str, Any]) -> list[JsOwner]:
    """Make a key for each of these `options` of OpenPGP.js's generateKey."""
    program = """
import { makeKey } from "./openpgp.mjs";
const made = [];
for (const options of JSON.parse(process.argv[1])) made.push(await makeKey(options));
process.stdout.write(JSON.stringify(made));
"""
    printed = subprocess.run(
        ["node", "--input-type=module", "--eval", program, json.dumps(options)],
        cwd=FOLDER,
        capture_output=True,
        check=True,
    ).stdout
    return [JsOwner(made["privateKey"], made["publicKey"]) for made in json.loads(printed)]
