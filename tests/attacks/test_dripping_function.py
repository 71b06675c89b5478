"""The attacker answers the client as slowly as possible.

Has: the place of the function, or of a gateway before it.
Does: sends one byte after another and never ends.
Sees: the client give up when its time is over, and keep the request.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.slow_peer import drip, peer

PROGRAM = """
import sys
import requests  # so that loading it takes none of the time below
from client.connection import NoAnswer, exchange
try:
    exchange("POST", sys.argv[1], {}, b"{}", seconds=3)
except NoAnswer as fault:
    print(fault.sent, fault.lasting)
"""


def test_it_gives_up_in_time() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with peer(drip) as slow:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, slow.url],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
    assert done.stdout == "True False\n"
