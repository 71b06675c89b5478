"""DingTalk: what somebody else may send, with headers of their own making and with captured ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyrage
import pytest

from tests.support.dingtalk_attacks import ATTACKS, FORGED_RECIPIENTS
from tests.support.dingtalk_stand_in import (
    FREE,
    PINNED,
    WEBHOOK,
    WORKING,
    DingTalk,
    content,
    envelope_in,
    names,
    running_dingtalk,
)
from tests.support.function_under_test import RECIPIENT, REGISTERED, fresh_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.dingtalk_attacks import Attack
    from tests.support.emulator_process import EmulatorProcess

FORGERS = "f" * 32
"""The session of somebody else, who wants to read the answer."""


@pytest.fixture
def dingtalk(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[DingTalk]:
    with running_dingtalk(emulator, tmp_path) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_forged_requests_are_refused(dingtalk: DingTalk, attack: Attack) -> None:
    before = dingtalk.chat.function.create_calls()
    answer = dingtalk.chat.send(attack.event(dingtalk))
    dingtalk.chat.work()
    assert answer.status == attack.status
    assert dingtalk.chat.decisions() == [("dingtalk", "refused", attack.reason)]
    assert dingtalk.chat.function.create_calls() == before
    assert dingtalk.stand_in.requests == 0


def test_a_captured_pair_of_headers_is_good_for_nothing_more(dingtalk: DingTalk) -> None:
    name, pair = fresh_name(), dingtalk.pair()
    dingtalk.chat.send(dingtalk.event(json.dumps(dingtalk.message(f"/keypair {name}")), pair=pair))
    dingtalk.chat.work()
    before = dingtalk.chat.function.create_calls()
    for forged in (
        dingtalk.message(f"/keypair {fresh_name()}"),
        dingtalk.message(f"/keypair {fresh_name()}", PINNED),
        dingtalk.message(f"/keypair {name}", sessionWebhook=WEBHOOK + FORGERS),
        dingtalk.message("help"),
    ):
        assert dingtalk.chat.send(dingtalk.event(json.dumps(forged), pair=pair)).status == 401
        assert dingtalk.chat.decisions()[-1] == ("dingtalk", "refused", "nonce-used")
    dingtalk.chat.work()
    assert dingtalk.chat.function.create_calls() == before
    assert names(dingtalk) == [name]
    assert len(dingtalk.stand_in.posted) == 1


def test_a_pair_stays_used_for_as_long_as_it_is_good(dingtalk: DingTalk) -> None:
    pair = dingtalk.pair(300_000)
    assert dingtalk.chat.send(dingtalk.event(json.dumps(dingtalk.message("help")), pair=pair)).status == 200
    dingtalk.chat.function.clock.time += 600
    other = dingtalk.event(json.dumps(dingtalk.message("help")), pair=pair)
    assert dingtalk.chat.send(other).status == 401
    assert dingtalk.chat.decisions() == [("dingtalk", "refused", "nonce-used")]


@pytest.mark.parametrize("recipient", FORGED_RECIPIENTS)
def test_a_forger_who_was_faster_brings_no_recipient(dingtalk: DingTalk, recipient: str) -> None:
    """With headers that nobody has used yet, in the name of one who may bring recipients."""
    pair, before = dingtalk.pair(), dingtalk.chat.function.create_calls()
    forged = dingtalk.message(f"/keypair a for {recipient}", sessionWebhook=WEBHOOK + FORGERS)
    assert dingtalk.chat.send(dingtalk.event(json.dumps(forged), pair=pair)).status == 200
    dingtalk.chat.work()
    assert dingtalk.chat.decisions() == [("dingtalk", "refused", "chat-own-recipients")]
    assert dingtalk.chat.function.create_calls() == before
    (told,) = dingtalk.stand_in.posted
    assert content(told.payload).startswith("这个平台不支持自带公钥。")


@pytest.mark.parametrize("victim", [FREE, PINNED])
def test_a_forger_who_was_faster_gets_ciphertext_of_another(dingtalk: DingTalk, victim: str) -> None:
    """The worst a forger can do: have a key pair made that they cannot read."""
    name, pair = fresh_name(), dingtalk.pair()
    forged = dingtalk.message(f"/keypair {name}", victim, sessionWebhook=WEBHOOK + FORGERS)
    answer = dingtalk.chat.send(dingtalk.event(json.dumps(forged), pair=pair))
    assert content(answer.json) == WORKING
    dingtalk.chat.work()
    (posted,) = dingtalk.stand_in.posted
    assert posted.path == f"/robot/sendBySession?session={FORGERS}"
    text = content(posted.payload)
    envelope = envelope_in(text).encode()
    private_key = pyrage.decrypt(envelope, [REGISTERED]).decode()
    assert private_key in dingtalk.chat.function.emulator.private_keys()
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(envelope, [RECIPIENT])
    assert "PRIVATE KEY" not in text
    assert [line["caller"] for line in dingtalk.chat.function.audit_lines()] == [f"caller-{victim}"] * 2
    # The message whose headers were stolen is lost: its writer hears nothing, which the documentation says.
    assert dingtalk.chat.send(dingtalk.event(json.dumps(dingtalk.message("help")), pair=pair)).status == 401


def test_a_forger_who_knows_an_earlier_message_is_told_nothing(dingtalk: DingTalk) -> None:
    name = fresh_name()
    message = dingtalk.message(f"/keypair {name}")
    dingtalk.chat.send(dingtalk.event(json.dumps(message)))
    dingtalk.chat.work()
    before = dingtalk.chat.function.create_calls()
    for text in (f"/keypair {name}", f"/keypair {fresh_name()}"):
        forged = {**message, "text": {"content": text}, "sessionWebhook": WEBHOOK + FORGERS}
        assert content(dingtalk.chat.send(dingtalk.event(json.dumps(forged))).json) == WORKING
        dingtalk.chat.work()
    assert len(dingtalk.stand_in.posted) == 1
    assert dingtalk.chat.function.create_calls() == before
    assert dingtalk.chat.decisions()[-2:] == [
        ("dingtalk", "replayed", None),
        ("dingtalk", "refused", "idempotency-key-reused"),
    ]


def test_what_is_too_large_is_not_even_looked_at(dingtalk: DingTalk) -> None:
    event = dingtalk.command("/keypair web_1")
    assert dingtalk.chat.send({**event, "body": event["body"] + " " * 65_536}).status == 413
    dingtalk.chat.work()
    assert names(dingtalk) == []
