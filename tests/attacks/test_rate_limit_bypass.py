"""The attacker sends more requests than their rate allows.

Has: a bearer token of a caller with a rate limit.
Does: sends one body again and again, each time with another Idempotency-Key, so each is another order.
Sees: 429 when the allowance is used up. A true repetition still costs nothing.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from tests.support.bearer_function import BEARER_POLICY, ask, bearer_function, rsa_token

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess


def test_each_idempotency_key_is_a_request(emulator: EmulatorProcess, tmp_path: Path) -> None:
    policy = copy.deepcopy(BEARER_POLICY)
    policy["callers"]["backup"]["rate"] = "2/hour"
    function = bearer_function(emulator, tmp_path, policy)
    token, body = rsa_token(), function.rest_body()
    statuses = [
        ask(function, token, body, Idempotency_Key=f'"{key}"').status
        for key in ("a", "a", "b", "b", "c", "a")
    ]
    # The second key names the same key pair, which exists. It counts all the same.
    assert statuses == [201, 201, 409, 409, 429, 201]
