"""The checklist of ASVS 5.0 names each requirement once, and tests and documents that exist."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHECKLIST = (ROOT / "docs" / "asvs.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+\.\d+\.\d+) \| ([12]) \| [^|]+ \| ([^|]+) \| (.+) \|$", CHECKLIST, re.MULTILINE)
STATES = ("met", "n/a", "not met")


def test_each_requirement_has_one_row() -> None:
    identifiers = [tuple(map(int, identifier.split("."))) for identifier, *_ in ROWS]
    assert identifiers == sorted(set(identifiers))
    assert Counter(level for _, level, *_ in ROWS) == {"1": 70, "2": 183}
    assert {state for _, _, state, _ in ROWS} == set(STATES)


def test_the_sums_are_those_of_the_rows() -> None:
    counts = Counter((level, state) for _, level, state, _ in ROWS)
    for level in ("1", "2"):
        numbers = " | ".join(str(counts[level, state]) for state in STATES)
        assert f"\n| {level} | {numbers} |\n" in CHECKLIST


def test_what_is_named_exists() -> None:
    missing = []
    for identifier, _, state, evidence in ROWS:
        tests = re.findall(r"`([\w/]+\.py)::(test_\w+)`", evidence)
        documents = re.findall(r"\]\(([\w./-]+)\)", evidence)
        if state == "met" and not (tests or documents):
            missing.append((identifier, "anything"))
        missing += [(identifier, name) for name in documents if not (ROOT / "docs" / name).is_file()]
        for file, name in tests:
            source = ROOT / "tests" / file
            if not source.is_file() or f"\ndef {name}(" not in source.read_text(encoding="utf-8"):
                missing.append((identifier, f"{file}::{name}"))
    assert missing == []
