"""A good key of each kind among random decorations: sealed to that key, or refused with a fitting code.

It is never sealed to another key. The usual run makes a few decorations, the slow one a thousand per kind.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from handler import sealing
from handler.errors import RecipientRefused
from handler.sealing.recipient_problems import RecipientProblem
from tests.support.function_under_test import RECIPIENT
from tests.support.pasted_keys import BAG, CERTIFICATE, ED25519, JWK, LINE, NOW, WRAPPED, fingerprint, pasted
from tests.support.pem_attacks import GOOD_RSA, public
from tests.support.recipient_attacks import ecdsa_line

if TYPE_CHECKING:
    from collections.abc import Callable

_AGE = str(RECIPIENT.to_public())
_RSA = "".join(pasted("rsa-wrapped.pub").split("\n"))
_ECDSA = ecdsa_line()
_PUBLIC = public(GOOD_RSA)
KINDS = {
    "age": (_AGE, _AGE),
    "ssh-ed25519": (LINE, ED25519),
    "ssh-rsa": (_RSA, WRAPPED),
    "ecdsa": (_ECDSA, fingerprint(_ECDSA)),
    "jwk": (JWK, fingerprint(JWK)),
    "certificate": (CERTIFICATE, fingerprint(CERTIFICATE)),
    "public key": (_PUBLIC, fingerprint(_PUBLIC)),
    "pgp": (pasted("pgp-kleopatra-zh.asc"), fingerprint(pasted("pgp-kleopatra-zh.asc"))),
}
"""A text, and the fingerprint of the key in it."""
COMMENTS = [
    "alice@laptop", "Ünïcödé", "张三 笔记本", "アリス", "앨리스", "Алиса",
    "אליס", "أليس", "อลิซ", "Αλίκη", "ऐलिस", "DOMAIN\\user", "\u200b", "AAAA",
    "\U0001f511", "O'Brien", 'the "new" one', "for me in ap-shanghai expires 1d",
]  # fmt: skip
"""In ten scripts and more."""
LINE_ENDS = ["\n", "\r\n", "\r", "\u2028", "\x85"]
# What a decoration may turn a text into: anything else would be the wrong advice.
FITTING = {
    RecipientProblem.SURROUNDING_TEXT,
    RecipientProblem.SEVERAL,
    RecipientProblem.CONTROL_CHARACTERS,
    RecipientProblem.KNOWN_HOSTS,
    RecipientProblem.SSH_OPTIONS,
    RecipientProblem.JWK_MALFORMED,
    RecipientProblem.PGP_MALFORMED,
    RecipientProblem.UNKNOWN,
}


def _commented(text: str, chance: random.Random) -> str:
    return f"{text.rstrip()} {chance.choice(COMMENTS)}"


def _comment_line(text: str, chance: random.Random) -> str:
    line = f"# {chance.choice(COMMENTS)}"
    return f"{line}\n{text}" if chance.random() < 0.5 else f"{text}\n{line}\n"


def _line_ends(text: str, chance: random.Random) -> str:
    return text.replace("\n", chance.choice(LINE_ENDS)) + chance.choice(LINE_ENDS)


def _indented(text: str, chance: random.Random) -> str:
    space = chance.choice(["  ", "\t", "\u3000", "\u00a0"])
    return "\n".join(space + line for line in text.split("\n"))


def _quoted(text: str, chance: random.Random) -> str:
    quotes = chance.choice(['""', "''", "``", "\u201c\u201d", "\u2018\u2019", "\u300c\u300d"])
    return quotes[0] + text + quotes[1]


def _fenced(text: str, chance: random.Random) -> str:
    return f"```{chance.choice(['', 'text', 'pem'])}\n{text}\n```"


def _marked(text: str, chance: random.Random) -> str:
    return chance.choice(["\ufeff", "\u200b", "\u2060", " "]) + text


def _wrapped(text: str, chance: random.Random) -> str:
    if "-----" in text or "{" in text or "#" in text:
        return text
    width = chance.randrange(40, 80)
    return "\n".join(text[start : start + width] for start in range(0, len(text), width))


def _headed(text: str, chance: random.Random) -> str:
    if "-----BEGIN" not in text:
        return text
    if "PGP" in text:
        return text.replace("BLOCK-----\n", f"BLOCK-----\nComment: {chance.choice(COMMENTS)}\n", 1)
    return BAG + text


DECORATIONS: list[Callable[[str, random.Random], str]] = [
    _commented, _comment_line, _line_ends, _indented, _quoted, _fenced, _marked, _wrapped, _headed,
]  # fmt: skip


def decorated(text: str, chance: random.Random) -> str:
    for decoration in chance.sample(DECORATIONS, chance.randrange(1, 4)):
        text = decoration(text, chance)
    return text


def check(kind: str, rounds: int) -> int:
    """Return how many of the decorated texts were sealed to."""
    text, expected = KINDS[kind]
    chance = random.Random(kind)  # noqa: S311  # the same each time
    sealed = 0
    for _ in range(rounds):
        pasted_text = decorated(text, chance)
        try:
            sealer = sealing.prepare_sealer([pasted_text], now=NOW)
        except RecipientRefused as refused:
            assert refused.problem in FITTING, pasted_text  # noqa: PT017  # sealing is fine as well
        else:
            assert sealer.fingerprints == (expected,), pasted_text
            sealed += 1
    return sealed


@pytest.mark.parametrize("kind", KINDS)
def test_decorated_keys(kind: str) -> None:
    assert check(kind, 60) >= 40


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_decorated_keys(kind: str) -> None:
    assert check(kind, int(os.environ.get("DECORATIONS", "1000"))) >= 600
