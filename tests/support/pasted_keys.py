"""Keys as people paste them; the files are in the folder `pasted`."""

from __future__ import annotations

from pathlib import Path

from handler import sealing
from tests.support.pem_attacks import GOOD, certificate

NOW = 1795700000
"""After the PGP keys were made."""
FOLDER = Path(__file__).parent / "pasted"
ED25519 = "SHA256:4n8aTroiMGqQZSs6v+ZQdaAwa4R2btRhDne2hiGLeUI"
WRAPPED = "SHA256:cxhbcC9uqsVqRO9ImN8Q3ce1VSmEAYdOH+AP6eUp9I8"


def pasted(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


LINE = pasted("comment-cjk.pub").rpartition(" ")[0]
BAG = "Bag Attributes\n    friendlyName: 证书 for me\n    localKeyID: B5 8E\nsubject=CN = leaf\n"
CERTIFICATE = certificate(GOOD)
JWK = pasted("jwk-azure-nulls.json")


def fingerprint(text: str) -> str:
    return sealing.prepare_sealer([text], now=NOW).fingerprints[0]
