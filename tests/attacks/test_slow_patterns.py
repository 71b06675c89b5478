"""Attack: a text that a regular expression can match in exponentially many ways.

The attacker may send any text that a parser looks at, before or after the signature is checked.
They send a few hundred bytes in which one part is repeated and the end does not fit.
They see that an instance is busy until SCF kills it, and that the audit log has no line for the request.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import client
import handler
from tests.support.function_process import ROOT
from tests.support.function_under_test import RECIPIENT, REST, FunctionUnderTest

if TYPE_CHECKING:
    from collections.abc import Iterator

CPU_SECONDS = 120
"""Far more than all of it takes. Without an answer after so long, there is none in a lifetime: 2^40 steps."""
REPEATED = 40

SKIPPED = ("__main__", "index")  # they run on import
UNITS = (
    *"aA1 \t\n-=,;:./\"'\\>#`{[(_\u00a0\u2014",
    '\\"', "a: b\n", "a:b\n", "a:  \n", "> ", "> a\n", "# #", "a.", "a-", "a1", "AAAA ", "a=b ", "in ",
    "for ", "::", "1.", "a\n", "a\n ", "\n\n", '"d":', "ssh-a ", "age1", "-----BEGIN A-----", "0*", "a, ",
    "a b\n",
)  # fmt: skip
BEFORE = (
    "", "\n", " ", '"', "ssh-rsa ", "ssh-rsa AAAA", "-----BEGIN A-----", "{", "> ", "bearer ", "[", "@a ",
    "a.b",
    "```\n", "application/json", "M", "0", "/keypair ", "a:", "https://a",
)  # fmt: skip
AFTER = ("", "!", "\x01", "\n!", "x", "\n")


def patterns(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (tuple, list, frozenset, set)):
        for part in value:
            yield from patterns(part)
    elif isinstance(value, str) and value.startswith("(?"):
        yield re.compile(value)
    elif isinstance(value, dict):
        yield from patterns(tuple(value.values()))


def all_patterns() -> dict[tuple[object, int], str]:
    """Return the patterns of all modules, each with its name."""
    found: dict[tuple[object, int], str] = {}
    for package in (handler, client):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith(SKIPPED):
                for name, value in list(vars(importlib.import_module(module.name)).items()):
                    for pattern in patterns(value):
                        found.setdefault((pattern.pattern, pattern.flags), f"{module.name}.{name}")
    return found


def try_all() -> None:
    """Match every pattern against every text, and write each pattern's name before."""
    for (text, flags), name in all_patterns().items():
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        pattern: re.Pattern[Any] = re.compile(text, flags)
        for before, unit, after in itertools.product(BEFORE, UNITS, AFTER):
            subject = before + unit * REPEATED + after
            tried = subject.encode("latin-1", "ignore") if isinstance(text, bytes) else subject
            for method in (pattern.match, pattern.search, pattern.fullmatch):
                method(tried)


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


@pytest.mark.slow
def test_no_pattern_takes_exponential_time() -> None:
    program = f"from {__name__} import try_all; try_all()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
    )
    names = done.stdout.splitlines()
    assert done.returncode == 0, f"{names[-1]} does not end\n{done.stderr}"
    assert len(names) > 100


def test_armor_headers_without_a_blank_line(function: FunctionUnderTest) -> None:
    """What a hostile reviewer found: two ways to match the blank behind each colon."""
    key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n" + "a: b\n" * 2000 + "x\n-----END PGP PUBLIC KEY BLOCK-----"
    answer = function.call(function.signed(REST, function.rest_body(recipients=[key])))
    assert (answer.status, answer.code) == (422, "recipient-refused")
    assert len(function.audit_lines()) == 1


@pytest.mark.parametrize(("layers", "status"), [(8, 201), (40, 422)])
def test_layers_around_a_key_are_bounded(layers: int, status: int, function: FunctionUnderTest) -> None:
    """Each one that is removed takes as long as the text is."""
    key = '"' * layers + str(RECIPIENT.to_public()) + '"' * layers
    assert function.call(function.signed(REST, function.rest_body(recipients=[key]))).status == status
