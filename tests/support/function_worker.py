"""The function in separate processes, for requests that really run at the same time.

`python -m tests.support.function_worker THREADS` takes the function's settings from the environment. It reads
a line of JSON, a list of [event, tries], says `ready`, waits for a line, serves all of them with so many
threads, each again as long as it fails and has tries left, and prints one line of JSON:
{"answers": [[response, ...], ...], "audit": text}.
"""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handler import composition
from handler.scf.invocation import Clock, Invocation
from tests.support.emulator_process import ROOT
from tests.support.function_process import clean_environment
from tests.support.function_under_test import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Job = tuple[dict[str, Any], int]
"""An event, and how often it is tried at most."""


@dataclass(frozen=True)
class Served:
    """The responses to the tries of each job, in the order of the jobs."""

    answers: list[list[Answer]]
    audit: str


def serve_at_once(environment: Mapping[str, str], shares: Sequence[Sequence[Job]], *, threads: int) -> Served:
    """Give each process its share, start all at the same moment and wait for the responses."""
    with ExitStack() as running:
        workers = [running.enter_context(_worker(environment, share, threads)) for share in shares]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        with ThreadPoolExecutor(len(workers)) as pool:
            # No time-out: each invocation ends at its own deadline, however busy the machine is.
            outputs = pool.map(lambda worker: worker.communicate("go\n")[0], workers)
            parts = [json.loads(output) for output in outputs]
    answers = [[Answer(event) for event in tries] for part in parts for tries in part["answers"]]
    return Served(answers, "".join(part["audit"] for part in parts))


@contextmanager
def _worker(
    environment: Mapping[str, str], jobs: Sequence[Job], threads: int
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.function_worker", str(threads)],
        env=clean_environment(environment),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(jobs) + "\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        assert process.stdout is not None
        process.stdout.close()


def main() -> None:
    environ, clock, audit = dict(os.environ), Clock(), io.StringIO()
    # Only defects of the function are logged, so the log is shown.
    logging.basicConfig(level=logging.WARNING)
    function = composition.build(environ, clock, lambda: audit)
    limit = int(environ.get("TIME_LIMIT_IN_MS", "15000"))

    def served(job: Job) -> list[dict[str, Any]]:
        event, tries = job
        answers: list[dict[str, Any]] = []
        while len(answers) < tries and not (answers and answers[-1]["statusCode"] < 300):
            invocation = Invocation.begin({"time_limit_in_ms": limit}, environ, clock)
            answers.append(dict(function.dispatch(event, invocation).to_event()))
        return answers

    jobs = json.loads(sys.stdin.readline())
    with ThreadPoolExecutor(int(sys.argv[1])) as pool:
        _say("ready")
        sys.stdin.readline()
        answers = list(pool.map(served, jobs))
    _say(json.dumps({"answers": answers, "audit": audit.getvalue()}))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
