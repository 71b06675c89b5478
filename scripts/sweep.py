"""`scripts/sweep`: sweeps once, with the settings, policy and store of the deployed function."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from handler.audit import Decision
from handler.composition import services
from handler.errors import KeyPairFunctionError, Misconfigured
from handler.issuance.cleanup import age_of
from handler.issuance.sweeper import QUOTA
from handler.order import CALLER_TAG
from handler.scf.invocation import Clock, Deadline, Invocation
from scripts.policy_file import PolicyUnusable, compile_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from handler.issuance.sweeper import Finding, Sweeper

TIME_LIMIT = 600.0
"""Seconds. Sweeping a full account takes less, even if the cloud is slow."""

_WORDS = {Decision.REMOVED: "would remove", Decision.LEFT: "would leave", Decision.FAILED: "failed"}


def main(arguments: Sequence[str] | None = None, *, environ: Mapping[str, str] = os.environ) -> int:
    """Sweep once; return the exit status.

    It is 1 if something failed or was postponed, and 2 if the settings or the policy are wrong.
    """
    options = _options().parse_args(arguments)
    clock = Clock()
    deadline = Deadline(clock, clock.monotonic() + TIME_LIMIT)
    invocation = Invocation(f"sweep-{uuid.uuid4()}", deadline, environ)
    try:
        with tempfile.TemporaryDirectory(prefix="keypair-sweep-") as folder:
            if options.policy is not None:
                compiled = Path(folder) / "policy.json"
                compile_policy(options.policy, compiled)
                environ = {**environ, "KEYPAIR_POLICY": str(compiled)}
            sweeper = services(environ, clock, lambda: sys.stdout).sweeper
        if options.report:
            _report(sweeper, invocation)
            return 0
        counts = sweeper.sweep(invocation, preview=_preview if options.dry_run else None)
    except (Misconfigured, PolicyUnusable) as error:
        print(f"scripts/sweep: {error}", file=sys.stderr)
        return 2
    except KeyPairFunctionError as error:
        print(f"scripts/sweep: {error} ({error.reason})", file=sys.stderr)
        return 1
    summary = ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "nothing to do"
    print(f"scripts/sweep{' --dry-run' if options.dry_run else ''}: {summary}", file=sys.stderr)
    return 1 if counts.get("failed") or counts.get("postponed") else 0


def _report(sweeper: Sweeper, invocation: Invocation) -> None:
    """Print the function's key pairs in each region, by caller and age."""
    row = "{:14} {:25} {:20} {:>8} {:17} {}"
    now = sweeper.clock.now()
    for region in sorted(sweeper.regions):
        cvm = sweeper.connect(invocation.credentials(), region, invocation.deadline)
        pairs = cvm.tagged_key_pairs()
        print(f"{region}: {cvm.count_key_pairs()} of {QUOTA} key pairs in the account")
        print(row.format("KEY ID", "NAME", "CALLER", "AGE", "EXPIRES", "USED BY"))
        found = [(sweeper.tag_signer.read(pair.tags, pair.key_name), pair) for pair in pairs]
        for tag, pair in sorted(found, key=lambda one: (one[1].tags[CALLER_TAG], one[1].created_at)):
            age = age_of(pair, sweeper.clock)
            expires = None if tag is None else tag.expires_at
            print(
                row.format(
                    pair.key_id,
                    pair.key_name,
                    pair.tags[CALLER_TAG] if tag is not None else "(foreign)",
                    "?" if age is None else f"{age / 86400:.1f} d",
                    _expiry(expires, now),
                    ", ".join(pair.instance_ids) or "-",
                ).rstrip()
            )


def _expiry(expires: datetime | None, now: float) -> str:
    if expires is None:
        return "never"
    return "expired" if expires.timestamp() <= now else expires.strftime("%Y-%m-%d %H:%MZ")


def _preview(finding: Finding) -> None:
    pair = finding.pair
    what = "the listing" if pair is None else f"{pair.key_id} {pair.key_name}"
    print(f"{_WORDS[finding.decision]} {what} in {finding.region}: {finding.reason}")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/sweep",
        description="Remove key pairs that have expired and key pairs that were made but never "
        "released. Takes KEYPAIR_* and the cloud credentials from the environment, as the function does.",
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be removed or left")
    parser.add_argument(
        "--report",
        action="store_true",
        help="list the key pairs by caller, age and expiry; remove nothing",
    )
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="the policy in TOML or JSON; default: the file in KEYPAIR_POLICY",
    )
    return parser


def _flushed(status: int) -> int:
    """Return `status`, or 1 where standard output cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        print(f"scripts/sweep: standard output: {error.strerror}", file=sys.stderr)
        # Python flushes once more when it exits. If that failed, the status would be 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status or 1
    return status


if __name__ == "__main__":
    sys.exit(_flushed(main()))
