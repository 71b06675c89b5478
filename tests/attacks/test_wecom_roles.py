"""The attacker sends a captured WeCom message again, much later.

Has: one signed message, whose nonce happens to be a number of ten digits, as WeCom's often are.
Does: waits for the time that the nonce names, and swaps nonce and time. The signature sorts its parts, so it
stays valid.
Sees: 401. Of an app, whose messages say inside when they were created, even if the store has lost the record
of the first time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.function_under_test import NOON, fresh_name
from tests.support.wecom_stand_in import TOKEN, WeCom, running_wecom, sealed, signature
from tests.support.wecomapp_stand_in import closed, running_app, xml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

YEAR = 366 * 24 * 3600


@pytest.fixture
def wecom(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[WeCom]:
    with running_wecom(emulator, tmp_path) as running:
        yield running


@pytest.mark.parametrize("later", [3600, 3 * YEAR])
def test_nonce_and_time_change_places(wecom: WeCom, later: int) -> None:
    clock = wecom.chat.function.clock
    clock.time = NOON
    encrypted = sealed(json.dumps(wecom.message(f"/keypair {fresh_name()}")))
    event = wecom.event(encrypted, timestamp=str(NOON), nonce=str(NOON + later))
    assert wecom.chat.send(event).status == 200
    clock.time += later
    query = {**event["queryString"], "timestamp": str(NOON + later), "nonce": str(NOON)}
    assert query["msg_signature"] == signature(TOKEN, str(NOON), str(NOON + later), encrypted)
    assert wecom.chat.send({**event, "queryString": query}).status == 401


def test_a_message_to_an_app_after_the_store_was_lost(emulator: EmulatorProcess, tmp_path: Path) -> None:
    with running_app(emulator, tmp_path) as app:
        app.chat.function.clock.time = NOON
        encrypted = closed(xml(app.message(f"/keypair {fresh_name()}")))
        event = app.event(encrypted, timestamp=str(NOON), nonce=str(NOON + YEAR))
        assert app.chat.send(event).status == 200
    with running_app(emulator, tmp_path) as app:
        app.chat.function.clock.time = NOON + YEAR
        query = {**event["queryString"], "timestamp": str(NOON + YEAR), "nonce": str(NOON)}
        assert app.chat.send({**event, "queryString": query}).status == 401
        assert app.chat.decisions() == [("wecomapp", "refused", "wecomapp-time")]
