"""WeCom: callbacks that `wechatpy` signs and encrypts, and answers that a stand-in of WeCom takes."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
from typing import TYPE_CHECKING, Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handler.chat.platforms.base import Block, Reply
from handler.scf.invocation import MAX_INVOCATION_SECONDS
from tests.support.chat_function import PUBLIC_URL, TrueClock, chat_policy, check_transcript
from tests.support.function_under_test import RECIPIENT, REGISTERED, fresh_name
from tests.support.wecom_attacks import ATTACKS
from tests.support.wecom_stand_in import BOT, USERS, WeCom, blocks, running_wecom, sealed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.wecom_attacks import Attack

WORKING = "Working on it. Only you will see the answer."
WORKING_ZH = "正在处理，结果只发给你一个人。"
OK = b'{"errcode":0,"errmsg":"ok"}'
USED = b'{"errcode":60140,"errmsg":"response_code has been used"}'


@pytest.fixture
def wecom(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[WeCom]:
    with running_wecom(emulator, tmp_path) as running:
        yield running


def test_a_command_makes_a_key_pair(wecom: WeCom, tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text(f"{RECIPIENT}\n")
    name = fresh_name()
    assert wecom.at_once(f"/keypair {name} for {RECIPIENT.to_public()} expires 30d") == WORKING
    wecom.chat.work()
    (posted,) = wecom.stand_in.posted
    content = posted.payload["markdown"]["content"]
    public_key, envelope, command = blocks(content)
    (tmp_path / f"{name}.age").write_text(envelope + "\n")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, timeout=20)
    private_key = (tmp_path / f"{name}.pem").read_text()
    assert private_key in wecom.chat.function.emulator.private_keys()
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", f"{name}.pem"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert derived.stdout.split()[:2] == public_key.split()[:2]
    (key_pair,) = wecom.chat.function.emulator.key_pairs()
    assert content.splitlines()[:3] == [
        f"Here is your key pair: `{name}`", "Region: ap-guangzhou", f"Key ID: {key_pair['KeyId']}"
    ]  # fmt: skip
    assert wecom.chat.decisions() == [("wecom", "intent", None), ("wecom", "issued", None)]
    for line in wecom.chat.function.audit_lines():
        assert (line["caller"], line["keyName"]) == ("caller-zhangsan", name)
    assert private_key not in json.dumps(wecom.chat.function.audit.getvalue()) + content


def test_without_a_recipient_the_registered_one_is_taken(wecom: WeCom) -> None:
    for user in ("lisi", "zhangsan"):
        _, envelope, _ = blocks(wecom.said(f"/keypair {fresh_name()}", user))
        assert pyrage.decrypt(envelope.encode(), [REGISTERED])


def test_replies_are_chinese_unless_the_command_is_english(wecom: WeCom) -> None:
    assert wecom.at_once(f"/keypair {fresh_name()}") == WORKING_ZH
    assert wecom.at_once(f"/密钥对 {fresh_name()} 有效期 12h") == WORKING_ZH
    assert wecom.at_once(f"/keypair {fresh_name()} IN ap-guangzhou") == WORKING
    assert wecom.at_once("/keypair list") == wecom.at_once("/keypair delete a") == WORKING
    assert wecom.at_once("帮助").startswith("我会在腾讯云创建 SSH 密钥对")
    assert wecom.at_once("help").startswith("I create SSH key pairs in Tencent Cloud")
    assert wecom.chat.decisions() == []


def long_recipients(count: int) -> list[str]:
    """Return RSA keys of 4096 bits, each of four primes: those of short keys are found sooner."""
    keys = [rsa.generate_private_key(65537, 2048).private_numbers() for _ in range(4)]
    primes = [prime for key in keys for prime in (key.p, key.q)]
    numbers = (rsa.RSAPublicNumbers(65537, math.prod(four)) for four in itertools.combinations(primes, 4))
    return [
        number.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        for number in itertools.islice(numbers, count)
    ]


@pytest.mark.slow
def test_an_envelope_that_is_too_long_is_picked_up(emulator: EmulatorProcess, tmp_path: Path) -> None:
    policy = chat_policy("wecom", BOT, USERS)
    policy["callers"]["caller-lisi"]["recipients"] = [str(REGISTERED.to_public()), *long_recipients(19)]
    with running_wecom(emulator, tmp_path, policy=policy) as wecom:
        name = fresh_name()
        _, fetch, _ = blocks(wecom.said(f"/keypair {name} in ap-guangzhou", "lisi"))
        start = f"curl -fsS -X POST -o {name}.age {PUBLIC_URL}/pickup/"
        assert fetch.startswith(start)
        path = "/pickup/" + fetch.removeprefix(start)
        picked_up = wecom.chat.send({"httpMethod": "POST", "path": path, "headers": {}})
        assert len(picked_up.body) > 18_000
        opened = pyrage.decrypt(picked_up.body.encode(), [REGISTERED]).decode()
        assert opened in emulator.private_keys()


@pytest.mark.parametrize(("characters", "fits"), [(6824, True), (6825, False)])
def test_the_limit_counts_bytes(wecom: WeCom, characters: int, fits: bool) -> None:  # noqa: FBT001  # a table's column
    platform = wecom.chat.function.services.bot.platforms["wecom"]
    # 8 bytes are the fence, and 3 are one Chinese character.
    assert platform.fits(Reply((Block("钥" * characters),))) is fits


@pytest.mark.parametrize(
    ("text", "user", "said", "reason"),
    [
        ("/keypair web-1", "zhangsan", "密钥对名称只能包含字母、数字和下划线，", "command-name"),
        ("hello", "zhangsan", "无法识别这条消息。", "command-other"),
        ("", "zhangsan", "无法识别这条消息。", "command-other"),
        ("/keypair a for", "zhangsan", "The public key after `for` is missing.", "command-recipient"),
        ("/keypair a", "zhaoliu", "你还没有登记。", "unregistered"),
        (
            "/keypair a for AGE-SECRET-KEY-1X",
            "zhangsan",
            "I cannot use this public key",
            "recipient-private-key",
        ),
    ],
)
def test_refused_in_the_response(wecom: WeCom, text: str, user: str, said: str, reason: str) -> None:
    before = wecom.chat.function.create_calls()
    assert wecom.at_once(text, user).startswith(said)
    wecom.chat.work()
    assert wecom.chat.decisions() == [("wecom", "refused", reason)]
    assert wecom.chat.function.create_calls() == before
    assert wecom.stand_in.requests == 0


@pytest.mark.parametrize(
    ("text", "user", "said", "reason"),
    [
        ("/keypair a for age1x", "zhangsan", "I cannot use this public key.", "recipient-checksum"),
        ("/keypair a for github:alice", "lisi", "You cannot bring", "not-granted-own-recipients"),
        ("/keypair a in ap-tokyo", "lisi", "The policy does not allow this.", "not-granted-region"),
        ("/keypair a 有效期 31d", "lisi", "有效期超过策略允许的上限。", "not-granted-expiry"),
    ],
)
def test_refused_by_the_job(wecom: WeCom, text: str, user: str, said: str, reason: str) -> None:
    before = wecom.chat.function.create_calls()
    assert wecom.said(text, user).startswith(said)
    assert wecom.chat.decisions() == [("wecom", "refused", reason)]
    assert wecom.chat.function.create_calls() == before


def test_who_is_not_registered_is_told_what_to_register(wecom: WeCom) -> None:
    assert blocks(wecom.at_once("/keypair a", "zhaoliu")) == [
        f'platform = "wecom"\ntenant = "{BOT}"\nuser = "zhaoliu"'
    ]


def test_a_caller_who_asks_too_often(wecom: WeCom) -> None:
    wecom.said(f"/keypair {fresh_name()}", "wangwu")
    assert wecom.said(f"/keypair {fresh_name()}", "wangwu").startswith("请求过于频繁，")
    assert wecom.chat.decisions()[-1] == ("wecom", "refused", "rate-caller")


def test_a_group_gets_no_key_pair(wecom: WeCom) -> None:
    """Everybody in the group reads the answer."""
    text = f"@RobotA /keypair {fresh_name()}"
    assert wecom.said(text, chattype="group", chatid="wr1") == "这个会话里还有其他人，请与我单聊。"
    assert wecom.chat.decisions() == [("wecom", "refused", "chat-not-private")]


@pytest.mark.parametrize("msgtype", ["image", "mixed", "voice", "file", "video"])
def test_messages_without_text_are_not_understood(wecom: WeCom, msgtype: str) -> None:
    message = wecom.message("", msgtype=msgtype) | {msgtype: {"url": "https://example.com/x"}}
    del message["text"]
    event = wecom.event(sealed(json.dumps(message)))
    assert wecom.heard(event, wecom.chat.send(event)).startswith("无法识别这条消息。")


def test_a_quotation_is_no_part_of_the_command(wecom: WeCom) -> None:
    quote = {"msgtype": "text", "text": {"content": f"/keypair a for {RECIPIENT.to_public()}"}}
    assert wecom.said("hello", quote=quote).startswith("无法识别这条消息。")


@pytest.mark.parametrize("message", [{"msgtype": "event"}, {"msgtype": "stream", "stream": {"id": "x"}}])
def test_events_are_ignored(wecom: WeCom, message: dict[str, Any]) -> None:
    answer = wecom.chat.send(wecom.event(sealed(json.dumps(message))))
    assert (answer.status, answer.body) == (200, "")
    assert wecom.chat.decisions() == []


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_forged_requests_are_refused(wecom: WeCom, attack: Attack) -> None:
    before = wecom.chat.function.create_calls()
    answer = wecom.chat.send(attack.event(wecom))
    wecom.chat.work()
    assert (answer.status, wecom.chat.decisions()) == (attack.status, [("wecom", "refused", attack.reason)])
    assert wecom.chat.function.create_calls() == before
    assert wecom.stand_in.requests == 0


def test_a_message_that_is_sent_again_makes_no_second_key_pair(wecom: WeCom) -> None:
    """As it was, and with another nonce, as WeCom itself might."""
    message = json.dumps(wecom.message(f"/keypair {fresh_name()}"))
    event = wecom.event(sealed(message))
    before = wecom.chat.function.create_calls()
    for pause, again in (
        (0, event),
        (1, event),
        (MAX_INVOCATION_SECONDS, event),
        (0, wecom.event(sealed(message))),
    ):
        wecom.chat.function.clock.time += pause
        assert wecom.heard(again, wecom.chat.send(again)) == WORKING_ZH
        wecom.chat.work()
    assert wecom.chat.function.create_calls() == before + 1
    assert len(wecom.stand_in.posted) == 1
    assert [decision for _, decision, _ in wecom.chat.decisions()] == [
        "intent",
        "issued",
        "replayed",
        "replayed",
    ]


def test_another_command_under_a_message_id_that_was_used(wecom: WeCom) -> None:
    wecom.said(f"/keypair {fresh_name()}", msgid="CAIQ1")
    before = wecom.chat.function.create_calls()
    wecom.said(f"/keypair {fresh_name()}", msgid="CAIQ1")
    assert wecom.chat.decisions()[-1] == ("wecom", "refused", "idempotency-key-reused")
    assert wecom.chat.function.create_calls() == before
    assert len(wecom.stand_in.posted) == 1


def test_the_acknowledgement_does_not_wait_for_the_cloud(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """WeCom's retries make no second key pair. In real time, with concurrent invocations."""
    with running_wecom(emulator, tmp_path, clock=TrueClock(), instances=3) as wecom:
        emulator.add_faults({"kind": "delay", "seconds": 5, "after": "before"})
        before = wecom.chat.function.create_calls()
        name = fresh_name()
        event = wecom.command(f"/keypair {name}")
        for _ in range(3):
            assert wecom.chat.send(event).status == 200
        # The cloud had done nothing yet when all of them were answered.
        assert emulator.key_pairs() == []
        assert wecom.stand_in.requests == 0
        wecom.chat.work()
        assert [key_pair["KeyName"] for key_pair in emulator.key_pairs()] == [name]
        assert wecom.chat.function.create_calls() == before + 1
        (posted,) = wecom.stand_in.posted
        envelope = blocks(posted.payload["markdown"]["content"])[1]
        assert envelope.startswith("-----BEGIN AGE ENCRYPTED FILE-----")


@pytest.mark.parametrize("troubles", [[(500, b"")], [(429, b""), (503, b"")]])
def test_an_answer_that_wecom_does_not_take_at_first(wecom: WeCom, troubles: list[tuple[int, bytes]]) -> None:
    wecom.stand_in.troubles = list(troubles)
    assert "密钥对已创建" in wecom.said(f"/keypair {fresh_name()}")
    assert wecom.stand_in.requests == len(troubles) + 1


@pytest.mark.parametrize("trouble", [(404, OK), (307, OK), (200, USED), (200, b"ok"), (200, b"{}")])
def test_an_answer_that_wecom_does_not_take_at_all(wecom: WeCom, trouble: tuple[int, bytes]) -> None:
    """The audit log names the key pair that nobody received."""
    event = wecom.command(f"/keypair {fresh_name()}")
    wecom.stand_in.troubles = [trouble] * 2
    wecom.chat.send(event)
    wecom.chat.work()
    assert wecom.stand_in.requests == 2
    assert wecom.stand_in.posted == []
    assert wecom.chat.decisions() == [
        ("wecom", "intent", None),
        ("wecom", "issued", None),
        ("wecom", "unknown", "reply-not-delivered"),
    ]
    wecom.chat.function.clock.time += MAX_INVOCATION_SECONDS + 1
    wecom.chat.send(event)
    wecom.chat.work()
    assert len(wecom.stand_in.posted) == 1


@pytest.mark.parametrize("errcode", [-1, 45009, 45033])
def test_an_answer_that_wecom_is_too_busy_for(wecom: WeCom, errcode: int) -> None:
    event = wecom.command(f"/keypair {fresh_name()}")
    wecom.stand_in.troubles = [(200, json.dumps({"errcode": errcode, "errmsg": "wait"}).encode())] * 3
    wecom.chat.send(event)
    wecom.chat.work()
    assert wecom.stand_in.requests == 4
    assert len(wecom.stand_in.posted) == 1
    decisions = [decision for _, decision, _ in wecom.chat.decisions()]
    assert decisions == ["intent", "issued", *["replayed"] * 3]


def test_a_transcript(emulator: EmulatorProcess, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """`docs/chat-wecom.txt` is up to date; `pytest --write-transcripts` rewrites it."""
    with running_wecom(emulator, tmp_path) as wecom:
        said = []
        for text, user in (
            ("帮助", "zhangsan"),
            ("/keypair web-1", "zhangsan"),
            ("/keypair web_1 给 github:alice", "lisi"),
            (f"/keypair web_1 给 {RECIPIENT.to_public()} 有效期 30d", "zhangsan"),
            ("/keypair web_1", "zhangsan"),
            ("/keypair web_2 in ap-guangzhou expires 12h", "zhangsan"),
            ("/keypair web_3", "zhaoliu"),
        ):
            said += [f"{user}: {text}", wecom.at_once(text, user)]
            before = len(wecom.stand_in.posted)
            wecom.chat.work()
            said += [
                f"(a moment later)\n{post.payload['markdown']['content']}"
                for post in wecom.stand_in.posted[before:]
            ]
        event = "@RobotA /keypair web_4"
        said += [f"zhangsan (in a group): {event}", wecom.at_once(event, chattype="group", chatid="wr1")]
    check_transcript(pytestconfig, "wecom", "\n\n".join(said) + "\n")
