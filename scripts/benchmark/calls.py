"""Measures calls against the local CVM: start, issue, replay, refusal.

Times are medians and include the emulator's own time for CreateKeyPair. Compare ratios, not machines.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyrage

from handler.composition import build
from handler.scf.invocation import Clock, Invocation
from scripts.benchmark import events
from scripts.function_url.emulator import running_emulator
from scripts.policy_file import compile_policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.application import Application

STARTS = 15
CALLS = 60
_POLICY = """
[callers.bench]
tc3 = true
[[callers.bench.grants]]
names = ["*"]
regions = ["ap-guangzhou"]
own_recipients = true
"""


def measure() -> None:
    """Measure and print."""
    empty, entry = _start("pass"), _start("import handler.index")
    print(f"{'empty interpreter':34} {empty:8.1f} ms")
    print(f"{'import of the entry point':34} {entry:8.1f} ms   {entry / empty:5.1f} x the empty interpreter")
    with tempfile.TemporaryDirectory() as name, running_emulator(Path(name)) as emulator:
        (Path(name) / "policy.toml").write_text(_POLICY)
        compile_policy(Path(name) / "policy.toml", Path(name) / "policy.json")
        environ = {
            "KEYPAIR_REGION": "ap-guangzhou",
            "KEYPAIR_HOSTS": events.HOST,
            "KEYPAIR_MASTER_SECRET": events.SECRET_TEXT,
            "KEYPAIR_POLICY": str(Path(name) / "policy.json"),
            "KEYPAIR_CVM_ENDPOINT": emulator.cvm_endpoint,
            **emulator.credentials(),
        }
        application = build(environ, Clock(), io.StringIO)
        recipient = str(pyrage.x25519.Identity.generate().to_public())
        answer = _answer_with(application, environ)
        issues, replays, refusals = [], [], []
        for number in range(CALLS):
            event = events.rest(f"bench_{number}", [recipient])
            issues.append(_timed(partial(answer, event), 201))
            replays.append(_timed(partial(answer, event), 201))
            refusals.append(_timed(partial(answer, events.forged(event)), 401))
            time.sleep(0.1)  # the emulator allows 10 requests a second, as the cloud does
    print(f"{'first issue, with the import of the SDK':34} {issues[0]:8.1f} ms")
    issue = statistics.median(issues[1:])
    print(f"{'issue':34} {issue:8.1f} ms")
    for what, times in (("replay", replays), ("refusal of a forged signature", refusals)):
        median = statistics.median(times)
        print(f"{what:34} {median:8.2f} ms   1/{issue / median:.0f} of an issue")


def _start(code: str) -> float:
    """Measure with bytecode, as in the package. The first run writes it if it is missing."""
    with tempfile.TemporaryDirectory() as bytecode:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}

        def run() -> float:
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=environ)
            return (time.perf_counter() - begun) * 1000

        run()
        return statistics.median(run() for _ in range(STARTS))


def _answer_with(application: Application, environ: dict[str, str]) -> Callable[[dict[str, object]], int]:
    clock = Clock()
    return lambda event: application.dispatch(event, Invocation.begin({}, environ, clock)).status


def _timed(call: Callable[[], int], expected: int) -> float:
    begun = time.perf_counter()
    status = call()
    taken = (time.perf_counter() - begun) * 1000
    if status != expected:
        raise RuntimeError(f"status {status} instead of {expected}: nothing was measured")
    return taken
