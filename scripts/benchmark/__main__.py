"""`scripts/bench`: measures calls, or compares cold starts of packages with those of the peers."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyrage
from cryptography.hazmat.primitives.asymmetric import rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handler.policy.model import Policy
from scripts.benchmark import calls, events, growth, packages
from scripts.benchmark.plot import bars
from scripts.benchmark.starts import Subject, interleaved, percentile, ratio
from scripts.policy_file import pack
from scripts.python310 import HOW_TO_GET_ONE, find_python310

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scripts.benchmark.starts import Runs

_GRANT = {"names": ["*"], "regions": [events.REGION], "own_recipients": True}
_OURS = "this function"
_MANY = 100_000
_FEW = 10
_WARM = 500
"""Requests that one instance answers, one after another."""
_WARM_ROUNDS = 3
"""How many times each of these is started."""
_PEERS = ("hour", "hour with bytecode", "bare calls", "floor", "floor in use")


def main(arguments: list[str]) -> int:
    """Measure and print; return 0, or 2 if there is no Python 3.10."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.starts:
        if arguments:
            parser.error("these options need --starts")
        calls.measure()
        return 0
    python310 = find_python310()
    if python310 is None:
        print(HOW_TO_GET_ONE, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name, _stub(Path(name) / "cvm") as endpoint:
        folder = Path(name)
        subjects, size = _subjects(folder, python310, endpoint, options.against)
        # This round does not count: it reads files from the disk that later rounds find in memory.
        interleaved(subjects, python310, folder, 1)
        runs = interleaved(subjects, python310, folder, options.rounds)
        warm = interleaved(_warm(subjects), python310, folder, _WARM_ROUNDS)
    grown = {name: times for name, *times in growth.measure()} if options.growth else {}
    print(f"package: {size} bytes")
    for line in (*_table(runs), *_warm_table(warm), *_growth_table(grown)):
        print(line)
    if options.json:
        found = {name: {"wall": r.wall, "cpu": r.cpu, "memory": r.memory} for name, r in runs.items()}
        served = {
            name: {"answers": [report["answers"] for report in r.reports], "memory": r.memory}
            for name, r in warm.items()
        }
        options.json.write_text(
            json.dumps({"bytes": size, "runs": found, "warm": served, "growth": grown}, indent=1) + "\n"
        )
    if options.plot:
        cpu = {name: found.cpu for name, found in runs.items()}
        ours = frozenset(cpu) - set(_PEERS)
        options.plot.write_text(bars("Cold start to the first answer: CPU time", "ms", cpu, ours))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure issue, replay and refusal against the CVM emulator. --starts compares packages "
        "instead, which needs Python 3.10; the other options are for it.",
    )
    starts = parser.add_argument_group("packages: cold starts, warm requests, memory, size")
    starts.add_argument("--starts", action="store_true", help="build packages and compare them with peers")
    starts.add_argument("--rounds", type=int, default=12, help="how often each package starts (default: 12)")
    starts.add_argument("--against", metavar="REV", help="compare with the package of another commit")
    starts.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there as well")
    starts.add_argument("--plot", type=Path, metavar="FILE", help="draw the starts there, in SVG")
    starts.add_argument("--growth", action="store_true", help="fill each store with records as well")
    return parser


def _subjects(
    folder: Path, python310: Path, endpoint: str, against: str | None
) -> tuple[dict[str, Subject], int]:
    policies = {count: _policy(folder, count) for count in (_FEW, _MANY)}
    own = folder / "ours"
    size = packages.ours(packages.ROOT, own, policies[_FEW])
    age, jwe, cms = _recipients()
    order = partial(events.rest, "bench", [age])

    def subject(
        event: Callable[[], events.Event], status: int = 201, package: Path = own, **settings: str
    ) -> Subject:
        return Subject(package, {**_environ(endpoint), **settings}, lambda: [event()], status)

    subjects = {
        _OURS: subject(order),
        "JWE": subject(partial(events.rest, "bench", [jwe])),
        "CMS": subject(partial(events.rest, "bench", [cms])),
        "API v3": subject(partial(events.api_v3, "bench", [age]), 200),
        "refused signature": subject(lambda: events.forged(order()), 401),
        "health page": subject(events.health, 200),
        f"with {_MANY} callers": subject(order, KEYPAIR_POLICY=str(policies[_MANY])),
    }
    if against:
        tree = packages.tree_of(against, folder / "tree")
        other = folder / "other"
        packages.ours(tree, other, policies[_FEW])
        subjects[f"at {against}"] = subject(order, package=other)
    for name, package in packages.peers(folder / "peers", python310).items():
        subjects[name] = subject(order, package=package)
    for package in {subject.folder for subject in subjects.values()}:
        packages.trust(package, folder / "cvm" / "ca.pem")
    return subjects, size


def _warm(subjects: Mapping[str, Subject]) -> dict[str, Subject]:
    """Return instances that answer many requests, the first of which does not count."""
    age, jwe, cms = _recipients()
    others = [str(pyrage.x25519.Identity.generate().to_public()) for _ in range(20)]
    own = subjects[_OURS]

    def orders(recipients: list[str]) -> list[events.Event]:
        return [events.rest(f"warm_{number}", recipients) for number in range(_WARM)]

    def many(subject: Subject, recipients: list[str]) -> Subject:
        return replace(subject, events=partial(orders, recipients))

    again = replace(own, events=lambda: [events.rest("warm", [age])] * _WARM)
    refused = replace(own, events=lambda: [events.forged(one) for one in orders([age])], status=401)
    return {
        "age": many(own, [age]),
        "age, 20 recipients": many(own, others),
        "JWE": many(own, [jwe]),
        "CMS": many(own, [cms]),
        "replay": again,
        "refused signature": refused,
        **{peer: many(subjects[peer], [age]) for peer in ("hour with bytecode", "bare calls")},
    }


def _recipients() -> tuple[str, str, str]:
    """Return a recipient for each format."""
    spki = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    jwe = x25519.X25519PrivateKey.generate().public_key().public_bytes(*spki).decode()
    cms = rsa.generate_private_key(65537, 3072).public_key().public_bytes(*spki).decode()
    return str(pyrage.x25519.Identity.generate().to_public()), jwe, cms


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


def _warm_table(runs: Mapping[str, Runs]) -> Iterator[str]:
    yield ""
    yield f"{f'warm, {_WARM} requests':26}{'p50 ms':>9}{'p99 ms':>9}{'CPU p50':>9}{'MB':>7}{'CPU / age':>12}"
    cpus: dict[str, list[float]] = {}
    for name, found in runs.items():
        # Without the first answer, which is that of a cold start.
        answers = [list(zip(*report["answers"][1:], strict=True)) for report in found.reports]
        walls = [statistics.median(columns[1]) for columns in answers]
        slowest = [percentile(columns[1], 99) for columns in answers]
        cpus[name] = [statistics.median(columns[2]) for columns in answers]
        yield (
            f"{name:26}{statistics.median(walls):9.2f}{statistics.median(slowest):9.2f}"
            f"{statistics.median(cpus[name]):9.2f}{statistics.median(found.memory) / 1024:7.1f}"
            f"{ratio(cpus[name], cpus['age']):12.4f}"
        )


def _growth_table(grown: Mapping[str, Sequence[float]]) -> Iterator[str]:
    if grown:
        yield ""
        yield f"{'a claim, microseconds':26}{'records':>9}{'at none':>9}{'at many':>9}{'ratio':>7}"
    for name, (records, none, many) in grown.items():
        yield f"{name:26}{records:9.0f}{none:9.1f}{many:9.1f}{many / none:7.2f}"


def _policy(folder: Path, callers: int) -> Path:
    tables = {"bench": {"tc3": True, "grants": [_GRANT]}}
    tables |= {f"team-{number}": {"tc3": True, "grants": [_GRANT]} for number in range(1, callers)}
    packed, index = pack(Policy.parse({"callers": tables}))
    (folder / f"policy-{callers}.json").write_bytes(packed)
    (folder / f"policy-{callers}.index").write_bytes(index)
    return folder / f"policy-{callers}.json"


def _environ(endpoint: str) -> dict[str, str]:
    return {
        "KEYPAIR_REGION": events.REGION,
        "KEYPAIR_HOSTS": events.HOST,
        "KEYPAIR_MASTER_SECRET": events.SECRET_TEXT,
        "KEYPAIR_CVM_ENDPOINT": endpoint,
        "TENCENTCLOUD_SECRETID": "AKIDbench",
        "TENCENTCLOUD_SECRETKEY": "bench",
    }


@contextmanager
def _stub(folder: Path) -> Iterator[str]:
    """Run the stub of CVM; yield its address. Its authority is `folder`/ca.pem."""
    environ = {**os.environ, "PYTHONPATH": str(packages.ROOT)}
    command = [sys.executable, "-m", "scripts.benchmark.cvm_stub", str(folder)]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
