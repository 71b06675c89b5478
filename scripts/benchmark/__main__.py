"""`scripts/bench --starts`: compares cold starts of packages with those of the peers."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyrage

from scripts.bench import signed_event
from scripts.benchmark import packages
from scripts.benchmark.starts import Subject, interleaved, ratio
from scripts.policy_file import pack
from scripts.python310 import HOW_TO_GET_ONE, find_python310

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scripts.benchmark.starts import Runs

_GRANT = {"names": ["*"], "regions": ["ap-guangzhou"], "own_recipients": True}
_OURS = "this function"
_MANY = 100_000
_FEW = 10


def main(arguments: list[str]) -> int:
    """Measure and print; return 0, or 2 if there is no Python 3.10."""
    parser = argparse.ArgumentParser(prog="scripts/bench --starts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="how often each package starts")
    parser.add_argument("--against", metavar="REV", help="compare with the package of another commit")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there as well")
    options = parser.parse_args(arguments)
    python310 = find_python310()
    if python310 is None:
        print(HOW_TO_GET_ONE, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name, _stub() as endpoint:
        folder = Path(name)
        subjects, size = _subjects(folder, python310, endpoint, options.against)
        runs = interleaved(subjects, python310, folder, options.rounds)
    print(f"package: {size} bytes")
    for line in _table(runs):
        print(line)
    if options.json:
        found = {name: {"wall": r.wall, "cpu": r.cpu, "memory": r.memory} for name, r in runs.items()}
        options.json.write_text(json.dumps({"bytes": size, "runs": found}, indent=1) + "\n")
    return 0


def _subjects(
    folder: Path, python310: Path, endpoint: str, against: str | None
) -> tuple[dict[str, Subject], int]:
    policies = {count: _policy(folder, count) for count in (_FEW, _MANY)}
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    event = signed_event(json.dumps({"keyName": "bench", "recipients": [recipient]}))

    def subject(package: Path, policy: Path) -> Subject:
        return Subject(package, {**_environ(endpoint), "KEYPAIR_POLICY": str(policy)}, [event])

    own = folder / "ours"
    size = packages.ours(packages.ROOT, own, policies[_FEW])
    subjects = {
        _OURS: subject(own, policies[_FEW]),
        f"with {_MANY} callers": subject(own, policies[_MANY]),
    }
    if against:
        tree = packages.tree_of(against, folder / "tree")
        other = folder / "other"
        packages.ours(tree, other, policies[_FEW])
        subjects[f"at {against}"] = subject(other, policies[_FEW])
    for name, package in packages.peers(folder / "peers", python310).items():
        subjects[name] = Subject(package, _environ(endpoint), [event])
    return subjects, size


def _table(runs: Mapping[str, Runs]) -> Iterator[str]:
    yield f"{'':26}{'wall ms':>9}{'CPU ms':>9}{'quartiles':>14}{'MB':>7}{'ours / it, wall':>17}{'CPU':>7}"
    ours = runs[_OURS]
    for name, found in runs.items():
        low, _, high = statistics.quantiles(found.cpu, n=4)
        yield (
            f"{name:26}{statistics.median(found.wall):9.1f}{statistics.median(found.cpu):9.1f}"
            f"{f'{low:.0f}..{high:.0f}':>14}{statistics.median(found.memory) / 1024:7.1f}"
            f"{ratio(ours.wall, found.wall):17.2f}{ratio(ours.cpu, found.cpu):7.2f}"
        )


def _policy(folder: Path, callers: int) -> Path:
    tables = {"bench": {"tc3": True, "grants": [_GRANT]}}
    tables |= {f"team-{number}": {"tc3": True, "grants": [_GRANT]} for number in range(1, callers)}
    packed, index = pack({"callers": tables})
    (folder / f"policy-{callers}.json").write_bytes(packed)
    (folder / f"policy-{callers}.index").write_bytes(index)
    return folder / f"policy-{callers}.json"


def _environ(endpoint: str) -> dict[str, str]:
    return {
        "KEYPAIR_REGION": "ap-guangzhou",
        "KEYPAIR_HOSTS": "bench.example.com",
        "KEYPAIR_MASTER_SECRET": "A" * 43,
        "KEYPAIR_CVM_ENDPOINT": endpoint,
        "TENCENTCLOUD_SECRETID": "AKIDbench",
        "TENCENTCLOUD_SECRETKEY": "bench",
    }


@contextmanager
def _stub() -> Iterator[str]:
    """Run the stub of CVM; yield its address."""
    environ = {**os.environ, "PYTHONPATH": str(packages.ROOT)}
    command = [sys.executable, "-m", "scripts.benchmark.cvm_stub"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
