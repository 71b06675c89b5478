"""`scripts/mutants`: mutation testing with mutmut, configured in pyproject.toml.

mutmut works on a copy in `mutants/` and leaves the sources alone.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path("mutants")
_SMALLEST = "handler.auth.nonces.*"
"""Whatever module mutmut is asked for, it writes the names of all mutants."""

# Exit statuses that mutmut records: pytest's, and its own for a mutant that no test reaches.
_KILLED, _SURVIVED, _UNREACHED = 1, 0, 33


@dataclass(frozen=True)
class Module:
    """Results for the mutants of a module, by name; None if a mutant was not tried."""

    name: str
    outcomes: dict[str, int | None]

    def count(self, *statuses: int | None) -> int:
        """Return how many mutants ended in one of `statuses`."""
        return sum(status in statuses for status in self.outcomes.values())

    @property
    def unnoticed(self) -> list[str]:
        """The mutants that no test noticed."""
        return [name for name, status in self.outcomes.items() if status in {_SURVIVED, _UNREACHED}]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests on the mutants, and print the survivors; return 0 if there are none, else 1."""
    options = _options().parse_args(arguments)
    workers = f"--max-children={options.workers}"
    # Results of an earlier run do not always hold for this one's tests.
    shutil.rmtree(FOLDER, ignore_errors=True)
    if options.sample is None:
        _mutmut("run", workers, *(f"{module}.*" for module in options.modules))
    else:
        _mutmut("run", workers, _SMALLEST)
        chance = random.Random(options.seed)  # noqa: S311  # a reproducible sample
        names = []
        for module in _modules():
            if not options.modules or module.name.removesuffix(".py").replace("/", ".") in options.modules:
                names += chance.sample(sorted(module.outcomes), min(options.sample, len(module.outcomes)))
        _mutmut("run", workers, *names)

    modules = _modules()
    for name in (name for module in modules for name in module.unnoticed):
        _mutmut("show", name)
    print(f"{'module':36} {'mutants':>8} {'tried':>8} {'killed':>8} {'survived':>8} {'other':>8}")
    for module in modules:
        tried = len(module.outcomes) - module.count(None)
        killed, survived = module.count(_KILLED), len(module.unnoticed)
        counts = (len(module.outcomes), tried, killed, survived, tried - killed - survived)
        print(f"{module.name:36} {' '.join(f'{count:8}' for count in counts)}")
    return 1 if any(module.unnoticed for module in modules) else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/mutants", description="Mutation testing; see docs/mutation-testing.md."
    )
    parser.add_argument(
        "modules",
        nargs="*",
        metavar="MODULE",
        help="try only mutants of these modules, such as handler.auth.tc3",
    )
    parser.add_argument(
        "--sample",
        type=int,
        metavar="N",
        help="try N random mutants of each module instead of all",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample (default: 0)")
    parser.add_argument("--workers", type=int, default=2, help="number of processes (default: 2)")
    return parser


def _mutmut(*arguments: str) -> None:
    subprocess.run([Path(sys.executable).with_name("mutmut"), *arguments], check=True)


def _modules() -> list[Module]:
    """Return mutmut's records, without modules that have nothing to mutate."""
    found = []
    for path in sorted((FOLDER / "handler").rglob("*.meta")):
        outcomes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        if outcomes:
            found.append(Module(str(path.relative_to(FOLDER).with_suffix("")), outcomes))
    return found


if __name__ == "__main__":
    sys.exit(main())
