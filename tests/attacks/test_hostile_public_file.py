"""The attacker writes into what a user's command turns into a request.

Has: a `.pub` file that the user gives to `keypair create`, or the name that the user copies.
Does: puts quotes and JSON into the key's comment or the name, to add a recipient or to set the region.
Sees: a request with one recipient, whose comment the function drops; or a message that names the rule.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from client.errors import UsageProblem
from client.order import Order, check_name
from client.recipients import read_recipients
from handler.sealing import read_recipient
from tests.support.recipient_attacks import ed25519_line

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = [
    'x", "age1attacker', 'x"], "region": "ap-tokyo", "a": ["', "x\\", 'x\\"', "x\u2028y", "%s%n", "$(id)"
]  # fmt: skip
LINE = ed25519_line((9).to_bytes(32, "little"))


@pytest.mark.parametrize("comment", HOSTILE)
def test_a_comment(comment: str, tmp_path: Path) -> None:
    file = tmp_path / "id.pub"
    file.write_text(f"{LINE} {comment}\n", "utf-8")
    order = json.loads(Order("web_1", read_recipients((str(file),))).body())
    assert order == {"keyName": "web_1", "recipients": [f"{LINE} {comment}"]}
    assert read_recipient(order["recipients"][0]).text == LINE


@pytest.mark.parametrize("name", ['x","region":"ap-tokyo', "x\\", 'x"', "x\n", "$(id)", "../x", ""])
def test_a_name(name: str) -> None:
    with pytest.raises(UsageProblem):
        check_name(name)
