"""`scripts/build`: builds the zip that is deployed to SCF."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.packaging.archive import Share, shares, write_zip
from scripts.packaging.bill_of_materials import write_bill
from scripts.packaging.errors import PackagingError
from scripts.packaging.tree import EXTRAS, lay_out
from scripts.policy_file import PolicyUnusable
from scripts.python310 import HOW_TO_GET_ONE, find_python310

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]


def main(
    arguments: Sequence[str] | None = None,
    *,
    root: Path = ROOT,
    environment: Mapping[str, str] = os.environ,
) -> int:
    """Build; return 0, 1 if the build failed, or 2 if something that it needs is missing."""
    options = _options(root).parse_args(arguments)
    python310 = None if options.without_bytecode else find_python310(environment)
    if not (python310 or options.without_bytecode):
        return _refuse(f"{HOW_TO_GET_ONE}\nOr build a function that starts more slowly: --without-bytecode")
    policy = options.policy or root / "policy.toml"
    if not options.policy and not policy.exists():
        policy = root / "policy.example.toml"
        print(f"NOTE: there is no policy.toml. Packing {policy.name}: FOR A TRIAL ONLY.", file=sys.stderr)
    if not policy.is_file():
        return _refuse(f"There is no policy at {policy}")
    extras = frozenset(options.extras)
    if environment.get("KEYPAIR_STORE", "").startswith(("redis:", "rediss:")):
        extras |= {"redis"}
    try:
        with tempfile.TemporaryDirectory() as temporary:
            tree = Path(temporary)
            distributions = lay_out(root, tree, policy=policy, extras=extras, python310=python310)
            write_zip(tree, options.output)
        bill = write_bill(root, options.output, distributions)
    except (PackagingError, PolicyUnusable) as error:
        print(f"scripts/build: {error}", file=sys.stderr)
        return 1
    print(describe(options.output))
    print(f"What it consists of, in CycloneDX: {bill}")
    return 0


def describe(zip_file: Path) -> str:
    """Return a table of what takes up space in a zip, with its size and its SHA-256."""
    found = shares(zip_file)
    unpacked, zipped = sum(share.unpacked for share in found), sum(share.zipped for share in found)
    rows = [*found, Share("all", unpacked, zipped)]
    lines = [f"{'':<52}{'unpacked kB':>12}{'zipped kB':>11}{'share':>8}"]
    lines += [
        f"{row.name:<52}{row.unpacked / 1000:>12.1f}{row.zipped / 1000:>11.1f}{row.zipped / zipped:>8.1%}"
        for row in rows
    ]
    content = zip_file.read_bytes()
    lines.append(f"{zip_file}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    return "\n".join(lines)


def _refuse(reason: str) -> int:
    print(f"scripts/build: {reason}", file=sys.stderr)
    return 2


def _options(root: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/build", description="Build the zip that SCF runs.")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        default=root / "dist" / "keypair-function.zip",
        help="the zip to write (default: dist/keypair-function.zip)",
    )
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="who may have what (default: policy.toml, else policy.example.toml)",
    )
    parser.add_argument(
        "--with",
        dest="extras",
        action="append",
        default=[],
        choices=EXTRAS,
        help="include what sealing to PGP keys needs (3 MB more), or a store in Redis, which is included "
        "anyway if KEYPAIR_STORE names one; may be given twice",
    )
    parser.add_argument(
        "--without-bytecode",
        action="store_true",
        help="work without Python 3.10; every cold start then compiles all modules again",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
