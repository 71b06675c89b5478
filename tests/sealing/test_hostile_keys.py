"""Hostile recipients by the thousand, from RFCs and NIST documents: each is refused for its reason."""

from __future__ import annotations

import functools
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handler.errors import RecipientRefused
from handler.sealing import prepare_sealer
from tests.support.function_under_test import NOON, REST, FunctionUnderTest
from tests.support.hostile_keys import HostileKey, good_keys, hostile_keys
from tests.support.hostile_numbers import CURVES

if TYPE_CHECKING:
    from handler.sealing.recipient_problems import RecipientProblem

pytestmark = pytest.mark.slow

DOC = Path(__file__).parents[2] / "docs/security-testing.md"


@functools.cache
def keys() -> tuple[HostileKey, ...]:
    return tuple(hostile_keys())


def refusal(text: str) -> RecipientProblem | None:
    try:
        prepare_sealer([text], now=NOON)
    except RecipientRefused as refused:
        return refused.problem
    return None


def test_every_key_is_refused_for_its_reason() -> None:
    wrong = [
        (key.kind, key.title, found) for key in keys() if (found := refusal(key.text)) is not key.problem
    ]
    assert wrong == []


def test_the_same_keys_without_the_fault_are_accepted() -> None:
    assert all(curve.right(curve.base[0]) == curve.base[1] ** 2 % curve.p for curve in CURVES.values())
    assert [title for title, text in good_keys() if refusal(text) is not None] == []


def test_a_key_of_each_kind_and_reason_through_the_front(function: FunctionUnderTest) -> None:
    sample = {(key.kind, key.problem): key for key in keys()}
    before = function.create_calls()
    for key in sample.values():
        answer = function.call(function.signed(REST, function.rest_body(recipients=[key.text])))
        assert (answer.status, answer.code) == (422, "recipient-refused"), key
        assert [fault["rule"] for fault in answer.json["errors"]] == [key.problem.code]
    reasons = [(line["decision"], line["reason"]) for line in function.audit_lines()]
    assert reasons == [("refused", key.problem.code) for key in sample.values()]
    assert function.create_calls() == before


def test_the_documentation_has_the_numbers() -> None:
    assert len({key.text for key in keys()}) == len(keys())
    counts = Counter(key.kind for key in keys())
    section = DOC.read_text(encoding="utf-8").partition("## Hostile keys")[2].partition("\n## ")[0]
    table = re.findall(r"^\| ([\w. -]+?) \| ([\d,]+) \|", section, re.MULTILINE)
    assert {kind: int(number.replace(",", "")) for kind, number in table} == {**counts, "all": len(keys())}
