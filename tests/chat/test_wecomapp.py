"""WeCom's self-built apps: callbacks that `wechatpy` seals, and answers that a stand-in of the API takes."""

from __future__ import annotations

import logging
import subprocess
from typing import TYPE_CHECKING

import pyrage
import pytest

from handler.scf.invocation import MAX_INVOCATION_SECONDS
from tests.support.chat_function import TrueClock, check_transcript
from tests.support.function_under_test import RECIPIENT, REGISTERED, fresh_name
from tests.support.wecom_attacks import KEY
from tests.support.wecom_stand_in import AES_KEY, TOKEN
from tests.support.wecomapp_stand_in import (
    CORP_ID,
    SECRET,
    STRANGER,
    WeComApp,
    closed,
    line,
    picked_up,
    running_app,
    said,
    xml,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.chat_stand_in import Posted
    from tests.support.emulator_process import EmulatorProcess


@pytest.fixture
def app(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[WeComApp]:
    with running_app(emulator, tmp_path) as running:
        yield running


def test_a_message_makes_a_key_pair(app: WeComApp, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "key.txt").write_text(f"{RECIPIENT}\n")
    name = fresh_name()
    with caplog.at_level(logging.DEBUG):
        told = app.said(f"/keypair {name} for {RECIPIENT.to_public()} expires 30d")
    (key_pair,) = app.chat.function.emulator.key_pairs()
    assert told.splitlines()[:3] == [
        f'Here is your key pair: "{name}"', "Region: ap-guangzhou", f"Key ID: {key_pair['KeyId']}"
    ]  # fmt: skip
    file_name, envelope = picked_up(app, told)
    assert file_name == f"{name}.age"
    (tmp_path / file_name).write_text(envelope)
    subprocess.run(["bash", "-c", line(told, "(umask ")], cwd=tmp_path, check=True, timeout=20)
    private_key = (tmp_path / f"{name}.pem").read_text()
    assert private_key in app.chat.function.emulator.private_keys()
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", f"{name}.pem"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert derived.stdout.split()[:2] == line(told, "ssh-rsa ").split()[:2]
    assert app.chat.decisions() == [
        ("wecomapp", "intent", None), ("wecomapp", "issued", None), ("pickup", "replayed", None)
    ]  # fmt: skip
    for audited in app.chat.function.audit_lines():
        assert (audited["caller"], audited["keyName"]) == ("caller-zhangsan", name)
    kept = app.chat.function.audit.getvalue() + caplog.text + repr(app.chat.function.services)
    for secret in (private_key, TOKEN, AES_KEY, repr(KEY), SECRET, app.api.token, "HS7L"):
        assert secret not in kept


def test_without_a_recipient_the_registered_one_is_taken(app: WeComApp) -> None:
    for user in ("lisi", "zhangsan"):
        _, envelope = picked_up(app, app.said(f"/keypair {fresh_name()}", user))
        assert pyrage.decrypt(envelope.encode(), [REGISTERED])


def test_replies_are_chinese_unless_the_command_is_english(app: WeComApp) -> None:
    assert app.said(f"/keypair {fresh_name()}").startswith("密钥对已创建：")
    assert app.said(f"/密钥对 {fresh_name()} 有效期 12h").startswith("密钥对已创建：")
    assert app.said(f"/keypair {fresh_name()} IN ap-guangzhou").startswith("Here is your key pair")
    assert app.said("帮助").startswith("我会在腾讯云创建 SSH 密钥对")
    assert app.said("help").startswith("I create SSH key pairs in Tencent Cloud")


def test_who_asks_for_help_twice_gets_it_twice(app: WeComApp) -> None:
    """WeCom's check for duplicates would keep back the second one."""
    assert app.said("help") == app.said("help")


def test_user_text_cannot_end_a_cdata_section(app: WeComApp) -> None:
    assert app.said("]]></Content><MsgId>1</MsgId>&lt;").startswith("无法识别这条消息。")


@pytest.mark.parametrize(
    ("text", "user", "begins", "reason"),
    [
        ("/keypair web-1", "zhangsan", "密钥对名称只能包含字母、数字和下划线，", "command-name"),
        ("hello", "zhangsan", "无法识别这条消息。", "command-other"),
        ("", "zhangsan", "无法识别这条消息。", "command-other"),
        ("/keypair a for", "zhangsan", 'The public key after "for" is missing.', "command-recipient"),
        ("/keypair a", STRANGER, "你还没有登记。", "unregistered"),
        (
            "/keypair a for AGE-SECRET-KEY-1X",
            "zhangsan",
            "I cannot use this public key",
            "recipient-private-key",
        ),
        ("/keypair a for age1x", "zhangsan", "I cannot use this public key.", "recipient-checksum"),
        ("/keypair a for github:alice", "lisi", "You cannot bring", "not-granted-own-recipients"),
        ("/keypair a in ap-tokyo", "lisi", "The policy does not allow this.", "not-granted-region"),
        ("/keypair a 有效期 31d", "lisi", "有效期超过策略允许的上限。", "not-granted-expiry"),
    ],
)
def test_what_is_refused(app: WeComApp, text: str, user: str, begins: str, reason: str) -> None:
    before = app.chat.function.create_calls()
    assert app.said(text, user).startswith(begins)
    assert app.chat.decisions() == [("wecomapp", "refused", reason)]
    assert app.chat.function.create_calls() == before


def test_who_is_not_registered_is_told_what_to_register(app: WeComApp) -> None:
    told = app.said("/keypair a", STRANGER)
    assert told.splitlines()[1:] == [
        'platform = "wecomapp"', f'tenant = "{CORP_ID}"', f'user = "{STRANGER}"'
    ]  # fmt: skip


def test_a_caller_who_asks_too_often(app: WeComApp) -> None:
    app.said(f"/keypair {fresh_name()}", "wangwu")
    assert app.said("/keypair a", "wangwu").startswith("请求过于频繁，")


@pytest.mark.parametrize(
    "fields",
    [
        {"MsgType": "event", "Event": "enter_agent", "EventKey": ""},
        {"MsgType": "image", "PicUrl": "https://example.com/x", "MediaId": "m", "MsgId": "1"},
        {"MsgType": "voice", "MediaId": "m", "Format": "amr", "MsgId": "1"},
        {"Event": "subscribe"},
    ],
)
def test_messages_without_text_are_ignored(app: WeComApp, fields: dict[str, str]) -> None:
    message = {"ToUserName": CORP_ID, "FromUserName": "sys", "CreateTime": 1, **fields}
    assert app.told(app.event(closed(xml(message)))) == []
    assert app.chat.decisions() == []
    assert app.stand_in.requests == 0


def test_retries_make_no_second_key_pair(app: WeComApp) -> None:
    """As it was, with another nonce, and after a minute, from when on it is worked on again."""
    message = xml(app.message(f"/keypair {fresh_name()}"))
    event = app.event(closed(message))
    before = app.chat.function.create_calls()
    for pause, again in (
        (0, event),
        (5, event),
        (5, app.event(closed(message))),
        (MAX_INVOCATION_SECONDS, None),
    ):
        app.chat.function.clock.time += pause
        app.told(again or app.event(closed(message)))
    assert app.chat.function.create_calls() == before + 1
    assert len(app.api.payloads) == 1
    assert [decision for _, decision, _ in app.chat.decisions()] == ["intent", "issued", "replayed"]


def test_the_acknowledgement_does_not_wait_for_the_cloud(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """WeCom's retries make no second key pair. In real time, with concurrent invocations."""
    with running_app(emulator, tmp_path, clock=TrueClock(), instances=3) as app:
        emulator.add_faults({"kind": "delay", "seconds": 5, "after": "before"})
        before = app.chat.function.create_calls()
        name = fresh_name()
        event = app.command(f"/keypair {name}")
        for _ in range(3):
            answer = app.chat.send(event)
            assert (answer.status, answer.body) == (200, "")
        # The cloud had done nothing yet when all of them were answered.
        assert emulator.key_pairs() == []
        assert app.stand_in.requests == 0
        app.chat.work()
        assert [key_pair["KeyName"] for key_pair in emulator.key_pairs()] == [name]
        assert app.chat.function.create_calls() == before + 1
        assert len(app.api.payloads) == 1


# ---------------------------------------------------------------- the API's token and its refusals


def test_a_token_is_used_until_shortly_before_its_end(app: WeComApp) -> None:
    for pause, tokens in ((0, 1), (7200 - 301, 1), (1, 2)):
        app.chat.function.clock.time += pause
        app.said("help")
        assert app.api.tokens == tokens


def test_a_token_of_a_short_life_is_used_once(app: WeComApp) -> None:
    app.api.life = 60
    for tokens in (1, 2):
        app.said("help")
        assert app.api.tokens == tokens


@pytest.mark.parametrize("code", [40001, 40014, 42001])
def test_a_token_that_ended_early(app: WeComApp, code: int) -> None:
    app.said("help")
    app.api.revoke_token()
    app.stand_in.troubles = [said(code)]
    app.said("help")
    assert app.stand_in.requests == 2 + 3


def test_a_lost_response_causes_no_duplicate(app: WeComApp) -> None:
    """The API had the message and said 503: it comes again, as it was."""
    respond = app.api.respond

    def losing(request: Posted) -> tuple[int, bytes]:
        answer = respond(request)
        return (503, b"") if len(app.stand_in.posted) == 1 and app.stand_in.requests == 2 else answer

    app.stand_in.respond = losing
    assert app.said(f"/keypair {fresh_name()}").startswith("密钥对已创建：")
    assert app.stand_in.requests == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (said(60020), "wecomapp-address"),
        (said(81013), "wecomapp-refused"),
        (said(40014), "wecomapp-refused"),
        (said(invaliduser="zhangsan"), "wecomapp-refused"),
        (said(unlicenseduser="zhangsan"), "wecomapp-refused"),
        ((404, b'{"errcode": 0}'), "wecomapp-refused"),
        ((307, b'{"errcode": 0}'), "wecomapp-refused"),
        ((200, b""), "wecomapp-refused"),
        ((200, b'{"errcode": "0"}'), "wecomapp-refused"),
        ((200, b"[]"), "wecomapp-refused"),
    ],
)
def test_an_answer_that_is_not_taken(app: WeComApp, trouble: tuple[int, bytes], reason: str) -> None:
    """The audit log names the key pair that nobody received. Repeating the message delivers it."""
    real = app.api.respond
    app.stand_in.respond = lambda request: real(request) if request.payload is None else trouble
    assert app.chat.send(app.command("help")).status == 502
    event = app.command(f"/keypair {fresh_name()}")
    assert app.chat.send(event).status == 200
    app.chat.work()
    assert app.chat.decisions() == [
        ("wecomapp", "failed", reason),
        ("wecomapp", "intent", None),
        ("wecomapp", "issued", None),
        ("wecomapp", "unknown", "reply-not-delivered"),
    ]
    assert app.api.payloads == []
    app.stand_in.respond = real
    app.chat.function.clock.time += MAX_INVOCATION_SECONDS + 1
    (told,) = app.told(event)
    assert told.startswith("密钥对已创建：")


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (said(40001, errmsg="invalid credential"), "wecomapp-token-refused"),
        (said(40013), "wecomapp-token-refused"),
        (said(), "wecomapp-token-refused"),
        (said(access_token="t", expires_in="7200"), "wecomapp-refused"),
        (said(access_token="t\r\nX: y", expires_in=7200), "wecomapp-refused"),
        ((400, said(access_token="t", expires_in=7200)[1]), "wecomapp-refused"),
    ],
)
def test_a_token_that_is_not_given(app: WeComApp, trouble: tuple[int, bytes], reason: str) -> None:
    event = app.command("help")
    app.stand_in.troubles = [trouble]
    assert app.chat.send(event).status == 502
    assert app.chat.decisions() == [("wecomapp", "failed", reason)]
    # That it could not be said is not said either.
    assert app.stand_in.requests == 1
    assert len(app.told(event)) == 1


@pytest.mark.parametrize("trouble", [(429, b""), (503, b""), said(-1), said(45009)])
def test_an_api_that_is_busy_at_first(app: WeComApp, trouble: tuple[int, bytes]) -> None:
    app.stand_in.troubles = [trouble] * 2
    assert app.said(f"/keypair {fresh_name()}").startswith("密钥对已创建：")


def test_a_transcript(emulator: EmulatorProcess, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """`docs/chat-wecomapp.txt` is up to date; `pytest --write-transcripts` rewrites it."""
    with running_app(emulator, tmp_path) as app:
        conversation = []
        for text, user in (
            ("帮助", "zhangsan"),
            ("/keypair web-1", "zhangsan"),
            (f"/keypair web_1 给 {RECIPIENT.to_public()} 有效期 30d", "zhangsan"),
            ("/keypair web_1", "zhangsan"),
            ("/keypair web_2 in ap-guangzhou expires 12h", "zhangsan"),
            ("/keypair web_3 给 github:alice", "lisi"),
            ("/keypair web_3", STRANGER),
        ):
            conversation += [f"{user}: {text}", app.said(text, user)]
    check_transcript(pytestconfig, "wecomapp", "\n\n".join(conversation) + "\n")
