"""Counts what becomes of the certificates in a PEM file, such as /etc/ssl/certs/ca-certificates.crt.

python -m tests.support.certificate_bundle FILE
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from pathlib import Path

from tests.support.debian_keyring import outcome


def outcomes(bundle: str) -> Counter[str]:
    """Count `sealed` and the codes of the refusals."""
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", bundle, re.DOTALL)
    return Counter(outcome(block, time.time()) for block in blocks)


if __name__ == "__main__":
    counted = outcomes(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(f"{counted.total()} certificates: {dict(counted.most_common())}\n")
