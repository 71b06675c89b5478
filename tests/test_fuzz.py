"""The parsers get inputs that are wrong in a few places; `scripts/fuzz` sends more, and cleverer ones."""

from __future__ import annotations

import random

import pytest

from handler.errors import Unauthenticated
from tests.support.fuzz_targets import TARGETS, mutations

INPUTS = 10_000
# A certificate takes as long as ten other recipients, much of it for errors inside the library.
FEWER = {"recipient-pgp": 2_000}
# Nobody can sign an input that changes, so theirs are refused for the signature, and for nothing before it.
SIGNED = {"signature-tc3": "tc3-signature", "signature-v2": "v2-signature"}


@pytest.mark.parametrize("name", TARGETS)
def test_the_inputs_begin_as_good_ones(name: str) -> None:
    """Otherwise what is made of them would not get far."""
    parse, seed = TARGETS[name].parse, TARGETS[name].seeds[0]
    if name not in SIGNED:
        parse(seed)
        return
    with pytest.raises(Unauthenticated) as refused:
        parse(seed)
    assert refused.value.reason == SIGNED[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_random_inputs_are_accepted_or_refused(name: str) -> None:
    target = TARGETS[name]
    for data in mutations(target.seeds, FEWER.get(name, INPUTS), random.Random(name)):  # noqa: S311  # the same in each run
        try:
            target(data)
        except BaseException as defect:  # a panic in Rust is no Exception
            raise AssertionError(data) from defect
