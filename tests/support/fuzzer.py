"""`scripts/fuzz`: fuzzing guided by coverage, with atheris, which brings libFuzzer.

What it finds interesting is kept in `.fuzz/TARGET`, where the next run goes on. An input that breaks a parser
is written to the current folder.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[2] / ".fuzz"


def main(arguments: list[str]) -> None:
    # By name: it has no types, and there is none for the Python that the other checks run on.
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["handler"]):
        targets = importlib.import_module("tests.support.fuzz_targets").TARGETS
    name, *options = arguments or [""]
    if name not in targets:
        sys.exit(f"usage: scripts/fuzz TARGET [OPTION...]; the targets are {', '.join(targets)}")
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(targets[name].seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    # Parsers are imported when they are first needed, so each has to be instrumented before.
    with atheris.instrument_imports(include=["handler"]):
        for seed in targets[name].seeds:
            targets[name](seed)
    atheris.Setup([sys.argv[0], "-max_len=8192", *options, str(corpus)], targets[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
