"""What Feishu did not send, what only tries the address, and settings that are not right."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from handler.auth.nonces import Nonces
from handler.chat.http_client import HttpClient
from handler.chat.platforms.feishu import Feishu as Platform
from handler.chat.platforms.feishu import _TokenResponse, decrypt
from handler.chat.platforms.registry import PLATFORMS, PlatformContext
from handler.errors import SettingsInvalid
from handler.scf.invocation import Clock
from handler.store.memory import MemoryStore
from tests.support.feishu_attacks import ATTACKS
from tests.support.feishu_length_extension import INITIAL, extended
from tests.support.feishu_stand_in import (
    APP_SECRET,
    ENCRYPT_KEY,
    FREE,
    SETTINGS,
    VERIFICATION_TOKEN,
    Feishu,
    challenge,
    encrypted,
    running_feishu,
)
from tests.support.function_under_test import fresh_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.feishu_attacks import Attack


@pytest.fixture
def feishu(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Feishu]:
    with running_feishu(emulator, tmp_path) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_forged_requests_are_refused(feishu: Feishu, attack: Attack) -> None:
    before = feishu.chat.function.create_calls()
    answer = feishu.chat.send(attack.event(feishu))
    feishu.chat.work()
    assert answer.status == attack.status
    assert feishu.chat.decisions() == [("feishu", "refused", attack.reason)]
    assert feishu.chat.function.create_calls() == before
    assert len(feishu.api.messages) == (attack.status == 200)


def test_unsigned_requests_all_get_the_same_refusal(feishu: Feishu) -> None:
    """Otherwise the responses would decrypt recorded messages block by block."""
    answers = {
        (answer.status, re.sub(r'"requestId":"[^"]*"', "", answer.body), *sorted(answer.headers.items()))
        for attack in ATTACKS
        if attack.reason == "feishu-unsigned"
        for answer in [feishu.chat.send(attack.event(feishu))]
    }
    assert len(answers) == 1


@pytest.mark.parametrize("inside", [False, True])
def test_a_challenge(feishu: Feishu, inside: bool) -> None:  # noqa: FBT001  # pytest's own arguments
    body = json.dumps(challenge())
    event = feishu.unsigned(json.dumps({"encrypt": encrypted(body.encode())}) if inside else body)
    answer = feishu.chat.send(event)
    assert (answer.status, answer.json) == (200, {"challenge": "ajls384kdjx98XX"})
    assert answer.headers["Content-Type"] == "application/json"
    assert feishu.chat.decisions() == []


def test_a_nonce_of_another_message(feishu: Feishu) -> None:
    first = feishu.pushed(feishu.push("help"), nonce="n-1")
    assert feishu.chat.send(first).status == 200
    assert feishu.chat.send(feishu.pushed(feishu.push("help"), nonce="n-1")).status == 401
    assert feishu.chat.decisions() == [("feishu", "refused", "nonce-used")]
    assert len(feishu.api.messages) == 1


def test_a_message_that_was_listened_to_says_nothing_more(feishu: Feishu) -> None:
    """The same again is the same; appended to, it comes with a nonce that is used."""
    event = feishu.message(f"/keypair {fresh_name()}")
    before = feishu.chat.function.create_calls()
    feishu.told(event)
    assert feishu.chat.send(event).status == 200
    feishu.chat.work()
    appended = next(attack for attack in ATTACKS if attack.reason == "json").event(feishu)
    headers = {**appended["headers"], "x-lark-request-nonce": event["headers"]["x-lark-request-nonce"]}
    assert feishu.chat.send({**appended, "headers": headers}).status == 401
    assert feishu.chat.function.create_calls() == before + 1
    assert len(feishu.api.messages) == 1


def test_the_length_extension_of_the_attacks_is_one() -> None:
    assert INITIAL[0] == 0x6A09E667
    for length in (0, 1, 54, 55, 56, 63, 64, 200):
        secret = bytes(range(length))
        more, digest = extended(hashlib.sha256(secret).hexdigest(), length, b"appended" * length)
        assert digest == hashlib.sha256(secret + more).hexdigest()


@pytest.mark.parametrize("offset", [-300, 300])
def test_a_signature_at_the_edge_of_its_time(feishu: Feishu, offset: int) -> None:
    timestamp = str(int(feishu.chat.function.clock.time) + offset)
    assert feishu.chat.send(feishu.pushed(feishu.push("help"), timestamp=timestamp)).status == 200


def test_a_nonce_stays_used_for_as_long_as_its_signature_is_good(feishu: Feishu) -> None:
    clock = feishu.chat.function.clock
    signed = {"timestamp": str(int(clock.time) + 300), "nonce": "n-1"}
    assert feishu.chat.send(feishu.pushed(feishu.push("help"), **signed)).status == 200
    for pause in (599, 1):
        clock.time += pause
        assert feishu.chat.send(feishu.pushed(feishu.push("help"), **signed)).status == 401
    assert feishu.chat.decisions() == [("feishu", "refused", "nonce-used")] * 2
    assert len(feishu.api.messages) == 1


@pytest.mark.process
def test_feishus_own_sdk_takes_what_these_tests_send(feishu: Feishu, tmp_path: Path) -> None:
    """And refuses what they say that Feishu did not send."""
    push = feishu.push("/keypair 网 for x")
    requests: list[dict[str, Any]] = [
        feishu.pushed(push),
        feishu.unsigned(json.dumps({"encrypt": encrypted(json.dumps(challenge()).encode())})),
        feishu.pushed(push, x_lark_signature="0" * 64),
        feishu.unsigned(json.dumps(challenge(token="x"))),
        *(attack.event(feishu) for attack in ATTACKS if attack.name.startswith("padding")),
    ]
    asked = {"encrypt_key": ENCRYPT_KEY, "verification_token": VERIFICATION_TOKEN, "requests": requests}
    out = tmp_path / "answers.json"
    subprocess.run(
        [sys.executable, "-m", "tests.support.feishu_oracle", str(out)],
        input=json.dumps(asked),
        text=True,
        check=True,
        timeout=60,
        capture_output=True,
    )
    said = json.loads(out.read_text())
    statuses = [status for status, _ in said["answers"]]
    assert statuses == [200, 200, *[500] * (len(requests) - 2)]
    assert json.loads(said["answers"][1][1]) == {"challenge": "ajls384kdjx98XX"}
    message = push["event"]["message"]
    assert said["heard"] == [[FREE, message["message_id"], message["content"]]]


def test_the_vector_that_feishu_publishes() -> None:
    # https://open.feishu.cn/document/event-subscription-guide/event-subscriptions: decryption
    assert decrypt("test key", "P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=") == b"hello world"


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_other_methods(feishu: Feishu, method: str) -> None:
    answer = feishu.chat.send({**feishu.message("help"), "httpMethod": method})
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_without_settings_the_path_answers_404(emulator: EmulatorProcess, tmp_path: Path) -> None:
    with running_feishu(emulator, tmp_path, settings={}) as feishu:
        assert feishu.chat.send(feishu.message("help")).status == 404
        assert feishu.chat.decisions() == []


def platform_of(settings: dict[str, str]) -> object:
    context = PlatformContext(HttpClient(), Nonces(MemoryStore(Clock())), Clock())
    return PLATFORMS["feishu"](settings, context)


def test_its_settings() -> None:
    assert platform_of({}) is None
    platform = platform_of(SETTINGS)
    assert isinstance(platform, Platform)
    assert platform.settings.origin == "https://open.feishu.cn"
    for secret in (ENCRYPT_KEY, VERIFICATION_TOKEN, APP_SECRET):
        assert secret not in repr(platform)
    assert "secret" not in repr(_TokenResponse(code=0, tenant_access_token="secret", expire=7200))


@pytest.mark.parametrize("missing", SETTINGS)
def test_half_of_its_settings(missing: str) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != missing}
    origin = {"KEYPAIR_FEISHU_ORIGIN": "https://open.larksuite.com"}
    for given in (settings, {missing: SETTINGS[missing]}, {**settings, **origin}, origin):
        with pytest.raises(SettingsInvalid) as refused:
            platform_of(given)
        assert str(refused.value) == f"{', '.join(SETTINGS)}: set all of them, or none"


@pytest.mark.parametrize(
    "origin",
    [
        "https://open.feishu.cn/",
        "http://open.feishu.cn",
        "https://open.feishu.cn.evil.example",
        "https://open.larksuite.com:8443",
        "https://OPEN.feishu.cn",
    ],
)
def test_other_origins(origin: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        platform_of({**SETTINGS, "KEYPAIR_FEISHU_ORIGIN": origin})
    assert str(refused.value) == (
        "KEYPAIR_FEISHU_ORIGIN is malformed; it takes https://open.feishu.cn, or https://open.larksuite.com "
        "for Lark"
    )
