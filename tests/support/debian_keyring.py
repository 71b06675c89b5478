"""Counts what becomes of the PGP keys in a keyring, such as debian-maintainers.gpg of the debian-keyring.

    python -m tests.support.debian_keyring KEYRING

Each key is exported as it is and as `recipient-pgp-too-long` advises.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import pairwise

from handler.errors import RecipientRefused
from handler.sealing import prepare_sealer


def main(keyring: str) -> None:
    """Print how many keys are sealed to, and the code of each refusal."""
    with tempfile.TemporaryDirectory() as home:
        gpg = [
            "gpg",
            "--homedir",
            home,
            "--no-default-keyring",
            "--keyring",
            keyring,
            "--no-auto-check-trustdb",
        ]
        listed = subprocess.run(
            [*gpg, "--list-keys", "--with-colons"], check=True, capture_output=True, encoding="latin-1"
        )
        lines = listed.stdout.splitlines()
        keys = [following.split(":")[9] for line, following in pairwise(lines) if line[:4] == "pub:"]
        minimal = ["--export-options", "export-minimal,no-export-attributes"]
        for title, options in {"as exported": [], "minimal": minimal}.items():
            exports = ([*gpg, "--armor", *options, "--export", key] for key in keys)
            texts = (
                subprocess.run(one, check=True, capture_output=True, text=True).stdout for one in exports
            )
            found = Counter(outcome(text, time.time()) for text in texts)
            sys.stdout.write(f"{title}: {len(keys)} keys: {dict(found.most_common())}\n")


def outcome(text: str, now: float) -> str:
    """Return `sealed`, or the code of the refusal."""
    try:
        prepare_sealer([text], now=now)
    except RecipientRefused as refused:
        return refused.problem.code
    return "sealed"


if __name__ == "__main__":
    main(sys.argv[1])
