"""Measures instances: new processes, interleaved, so that a slow minute of the machine hits all alike."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scripts.benchmark.events import Event

_INSTANCE = Path(__file__).with_name("instance.py")


@dataclass(frozen=True)
class Subject:
    """A package, its environment, and the events that one of its instances answers."""

    folder: Path
    environ: Mapping[str, str]
    events: Callable[[], Sequence[Event]]
    """Makes them for each run, because a signature is valid for minutes only."""
    status: int = 201
    """The status that every answer must have."""


@dataclass
class Runs:
    """What was measured of a subject: milliseconds and kB, one entry for each run."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)


def run(subject: Subject, python310: Path, scratch: Path) -> tuple[float, float, dict[str, Any]]:
    """Start an instance; return milliseconds, CPU milliseconds and its report. Raises RuntimeError."""
    sent, events = subject.events(), scratch / "events.jsonl"
    events.write_text("".join(json.dumps(event) + "\n" for event in sent))
    command = [str(python310), "-I", "-B", str(_INSTANCE), str(subject.folder), str(events)]
    output = scratch / "output"
    # Not a pipe: each line of the log would wake us, which the kernel counts as CPU time of the function.
    with output.open("w") as file:
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=dict(subject.environ), stdout=file)
        _, status, usage = os.wait4(process.pid, 0)
        wall = (time.perf_counter() - begun) * 1000
    process.returncode = status
    *log, last = output.read_text().splitlines() or [""]
    report: dict[str, Any] = json.loads(last.removeprefix("REPORT ")) if last.startswith("REPORT ") else {}
    found = [answer[0] for answer in report.get("answers", ())]
    if found != [subject.status] * len(sent):
        raise RuntimeError(
            f"{subject.folder.name}: statuses {found}: nothing was measured\n" + "\n".join(log)
        )
    return wall, (usage.ru_utime + usage.ru_stime) * 1000, report


def interleaved(
    subjects: Mapping[str, Subject], python310: Path, scratch: Path, rounds: int
) -> dict[str, Runs]:
    """Run every subject once in each round, in random order."""
    runs = {name: Runs() for name in subjects}
    for _ in range(rounds):
        for name in random.sample(list(subjects), len(subjects)):
            wall, cpu, report = run(subjects[name], python310, scratch)
            runs[name].wall.append(wall)
            runs[name].cpu.append(cpu)
            runs[name].memory.append(report["memory_kb"])
            runs[name].reports.append(report)
    return runs


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile."""
    return statistics.quantiles(values, n=100)[percent - 1]
