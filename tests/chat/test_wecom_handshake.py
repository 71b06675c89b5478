"""WeCom's handshake, the vector that it publishes, and what has to be set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from handler.chat.platforms.platform_settings import require_settings
from handler.chat.platforms.wecom import WeComSettings
from handler.errors import SettingsInvalid
from tests.support.function_under_test import FunctionUnderTest
from tests.support.wecom_stand_in import AES_KEY, PUBLISHED, SETTINGS, TOKEN, WeCom, running_wecom, sealed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

"""Of an app: another receiver than an AI bot. tests/chat/test_wecomapp_refused.py has that one."""


@pytest.fixture
def wecom(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[WeCom]:
    with running_wecom(emulator, tmp_path) as running:
        yield running


@pytest.mark.parametrize("echo", ["1616140317555161061", "中文", ""])
def test_a_handshake_is_answered_with_the_bare_text(wecom: WeCom, echo: str) -> None:
    answer = wecom.chat.send(wecom.handshake(sealed(echo)))
    assert (answer.status, answer.body) == (200, echo)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert wecom.chat.decisions() == []


def test_a_message_sent_as_a_handshake_is_refused(wecom: WeCom) -> None:
    """Otherwise anybody who saw a message could have it decrypted."""
    event = wecom.command("help")
    encrypted = json.loads(event["body"])["encrypt"]
    wecom.chat.send(event)
    query = {**event["queryString"], "echostr": encrypted}
    answer = wecom.chat.send({**event, "httpMethod": "GET", "queryString": query, "body": ""})
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert wecom.chat.decisions()[-1] == ("wecom", "refused", "nonce-used")


@pytest.mark.parametrize("said", ['{"msgtype":"text"}', "<xml></xml>", "\n {}"])
def test_an_undelivered_message_sent_as_a_handshake_is_refused(wecom: WeCom, said: str) -> None:
    """Its nonce is not used: the store was down, or the request was held back."""
    answer = wecom.chat.send(wecom.handshake(sealed(said)))
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert wecom.chat.decisions() == [("wecom", "refused", "wecom-echo")]


def test_a_nonce_stays_used_for_as_long_as_its_signature_is_good(wecom: WeCom) -> None:
    clock = wecom.chat.function.clock
    encrypted = sealed(json.dumps(wecom.message("help")))
    event = wecom.event(encrypted, timestamp=str(int(clock.time) + 300))
    assert wecom.chat.send(event).status == 200
    query = {**event["queryString"], "echostr": encrypted}
    for pause in (599, 1):
        clock.time += pause
        answer = wecom.chat.send({**event, "httpMethod": "GET", "queryString": query, "body": ""})
        assert answer.status == 401
    assert wecom.chat.decisions() == [("wecom", "refused", "nonce-used")] * 2


def test_a_handshake_whose_query_is_still_encoded(wecom: WeCom) -> None:
    encrypted = sealed("1616140317555161061")
    event = wecom.handshake(encrypted)
    encoded = encrypted.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    answer = wecom.chat.send({**event, "queryString": {**event["queryString"], "echostr": encoded}})
    assert answer.body == "1616140317555161061"


def test_the_vector_that_wecom_publishes(wecom: WeCom) -> None:
    """Its signature is right, but it is for another receiver."""
    wecom.chat.function.clock.time = int(PUBLISHED["timestamp"])
    event = {"httpMethod": "GET", "path": "/chat/wecom", "headers": {}, "queryString": PUBLISHED}
    assert wecom.chat.send(event).status == 401
    assert wecom.chat.decisions() == [("wecom", "refused", "wecom-envelope")]


@pytest.mark.parametrize("offset", [-300, 300])
def test_a_signature_at_the_edge_of_its_time(wecom: WeCom, offset: int) -> None:
    timestamp = str(int(wecom.chat.function.clock.time) + offset)
    event = wecom.event(sealed(json.dumps(wecom.message("help"))), timestamp=timestamp)
    assert wecom.chat.send(event).status == 200


@pytest.mark.parametrize("method", ["PUT", "HEAD"])
def test_other_methods(wecom: WeCom, method: str) -> None:
    answer = wecom.chat.send({**wecom.command("/keypair a"), "httpMethod": method})
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")


def test_without_settings_the_path_answers_404(emulator: EmulatorProcess, tmp_path: Path) -> None:
    with running_wecom(emulator, tmp_path, settings={}) as wecom:
        assert wecom.chat.send(wecom.command("/keypair a")).status == 404
        assert wecom.chat.decisions() == []


@pytest.mark.parametrize("name", SETTINGS)
def test_half_of_the_settings(emulator: EmulatorProcess, tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        FunctionUnderTest(emulator, tmp_path / "policy.json", settings={name: SETTINGS[name]})
    assert str(refused.value) == "KEYPAIR_WECOM_TOKEN, KEYPAIR_WECOM_AES_KEY: set all of them, or none"


@pytest.mark.parametrize("key", ["", AES_KEY[:-1], AES_KEY + "=", "ß" * 43, "-" * 43])
def test_a_malformed_aes_key(key: str) -> None:
    with pytest.raises(SettingsInvalid, match="KEYPAIR_WECOM_AES_KEY is malformed"):
        require_settings(WeComSettings, {"KEYPAIR_WECOM_TOKEN": TOKEN, "KEYPAIR_WECOM_AES_KEY": key})
