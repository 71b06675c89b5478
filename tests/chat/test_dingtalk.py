"""DingTalk: messages whose time openssl has signed, and answers that a stand-in of DingTalk takes."""

from __future__ import annotations

import itertools
import json
import math
import re
import secrets
import subprocess
from typing import TYPE_CHECKING

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handler.scf.invocation import MAX_INVOCATION_SECONDS
from tests.support.chat_function import PUBLIC_URL, TrueClock, chat_policy, check_transcript
from tests.support.dingtalk_stand_in import (
    CORP,
    FREE,
    PINNED,
    SLOW,
    WORKING,
    DingTalk,
    content,
    envelope_in,
    names,
    running_dingtalk,
)
from tests.support.function_under_test import REGISTERED, fresh_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess


@pytest.fixture
def dingtalk(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[DingTalk]:
    with running_dingtalk(emulator, tmp_path) as running:
        yield running


def key_of_nobody() -> str:
    """Return a large RSA key, in no time: one whose factors nobody knows, but that none of them is small."""
    moduli = (secrets.randbits(4096) | 1 << 4095 for _ in itertools.count())
    modulus = next(modulus for modulus in moduli if math.gcd(modulus, math.factorial(10_000)) == 1)
    key = rsa.RSAPublicNumbers(65537, modulus).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def test_a_message_makes_a_key_pair(dingtalk: DingTalk, tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text(f"{REGISTERED}\n")
    name = fresh_name()
    answer = dingtalk.chat.send(dingtalk.command(f"/keypair {name} expires 30d"))
    assert (answer.status, answer.json) == (200, {"msgtype": "text", "text": {"content": WORKING}})
    assert answer.headers["Content-Type"] == "application/json"
    dingtalk.chat.work()
    (posted,) = dingtalk.stand_in.posted
    text = content(posted.payload)
    (tmp_path / f"{name}.age").write_text(envelope_in(text) + "\n")
    command = text.split("\n\n")[-1]
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, timeout=20)
    private_key = (tmp_path / f"{name}.pem").read_text()
    assert private_key in dingtalk.chat.function.emulator.private_keys()
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", f"{name}.pem"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert " ".join(derived.stdout.split()[:2]) in text
    (key_pair,) = dingtalk.chat.function.emulator.key_pairs()
    assert text.splitlines()[:3] == [
        f'密钥对已创建："{name}"',
        "地域：ap-guangzhou",
        f"密钥 ID：{key_pair['KeyId']}",
    ]
    tags = {tag["Key"]: tag["Value"] for tag in key_pair["Tags"]}
    assert tags["keypair-function:caller"] == f"caller-{FREE}"
    assert dingtalk.chat.decisions() == [("dingtalk", "intent", None), ("dingtalk", "issued", None)]
    for line in dingtalk.chat.function.audit_lines():
        assert (line["caller"], line["keyName"]) == (f"caller-{FREE}", name)
    assert private_key not in json.dumps(dingtalk.chat.function.audit.getvalue()) + text


def test_a_message_that_is_sent_again_makes_no_second_key_pair(dingtalk: DingTalk) -> None:
    """Neither with the same headers nor with new ones."""
    name = fresh_name()
    body, pair = json.dumps(dingtalk.message(f"/keypair {name}")), dingtalk.pair()
    for pause, again in (
        (0, pair),
        (1, pair),
        (MAX_INVOCATION_SECONDS, pair),
        (MAX_INVOCATION_SECONDS, dingtalk.pair()),
    ):
        dingtalk.chat.function.clock.time += pause
        assert dingtalk.chat.send(dingtalk.event(body, pair=again)).status == 200
        dingtalk.chat.work()
    assert names(dingtalk) == [name]
    assert len(dingtalk.stand_in.posted) == 1
    assert [decision for _, decision, _ in dingtalk.chat.decisions()] == [
        "intent",
        "issued",
        "replayed",
        "replayed",
    ]


@pytest.mark.parametrize("offset", [-300_000, 300_000])
def test_a_pair_at_the_edge_of_its_time(dingtalk: DingTalk, offset: int) -> None:
    body = json.dumps(dingtalk.message("help"))
    assert dingtalk.chat.send(dingtalk.event(body, pair=dingtalk.pair(offset))).status == 200


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON;charset=UTF-8"])
def test_content_types_that_dingtalk_may_write(dingtalk: DingTalk, content_type: str) -> None:
    event = dingtalk.event(json.dumps(dingtalk.message("help")), content_type=content_type)
    assert dingtalk.chat.send(event).status == 200


@pytest.mark.parametrize(
    ("text", "user", "said", "reason"),
    [
        ("help", FREE, "我会在腾讯云创建 SSH 密钥对", None),
        ("帮助", FREE, "我会在腾讯云创建 SSH 密钥对", None),
        ("hello", FREE, "无法识别这条消息。", "command-other"),
        ("/keypair web-1", FREE, "密钥对名称只能包含字母、数字和下划线，", "command-name"),
        ("/keypair a in x", FREE, "地域不正确。", "command-region"),
        ("/keypair a", "nobody", "你还没有登记。", "unregistered"),
        ("/keypair a in ap-tokyo", PINNED, "策略不允许这个请求。", "not-granted-region"),
        ("/keypair a expires 31d", PINNED, "有效期超过策略允许的上限。", "not-granted-expiry"),
        ("/keypair 删除 a", FREE, "这个平台无法证明消息是谁写的，", "chat-delete-unauthenticated"),
    ],
)  # fmt: skip
def test_what_makes_no_key_pair(
    dingtalk: DingTalk, text: str, user: str, said: str, reason: str | None
) -> None:
    before = dingtalk.chat.function.create_calls()
    assert dingtalk.said(text, user).startswith(said)
    assert dingtalk.chat.decisions() == ([("dingtalk", "refused", reason)] if reason else [])
    assert dingtalk.chat.function.create_calls() == before


def test_who_is_not_registered_is_told_what_to_register(dingtalk: DingTalk) -> None:
    said = dingtalk.said("/keypair a", "user.1@x")
    assert said.endswith(f'\n\nplatform = "dingtalk"\ntenant = "{CORP}"\nuser = "user.1@x"')


def test_a_caller_who_asks_too_often(dingtalk: DingTalk) -> None:
    dingtalk.said(f"/keypair {fresh_name()}", SLOW)
    assert dingtalk.said(f"/keypair {fresh_name()}", SLOW).startswith("请求过于频繁，")
    assert dingtalk.chat.decisions()[-1] == ("dingtalk", "refused", "rate-caller")


@pytest.mark.slow
def test_an_envelope_that_is_too_long_is_picked_up(emulator: EmulatorProcess, tmp_path: Path) -> None:
    policy = chat_policy("dingtalk", CORP, {FREE: "pinned"})
    policy["callers"][f"caller-{FREE}"]["recipients"] += [key_of_nobody() for _ in range(19)]
    with running_dingtalk(emulator, tmp_path, policy=policy) as dingtalk:
        name = fresh_name()
        said = dingtalk.said(f"/keypair {name}")
        link = re.search(
            rf"\n\ncurl -fsS -X POST -o {name}\.age {PUBLIC_URL}(/pickup/[A-Za-z0-9_-]{{43}})\n\n", said
        )
        assert link is not None
        picked_up = dingtalk.chat.send({"httpMethod": "POST", "path": link[1], "headers": {}})
        assert picked_up.status == 200
        assert len(picked_up.body) > 18_000
        assert pyrage.decrypt(picked_up.body.encode(), [REGISTERED])


@pytest.mark.process
def test_the_acknowledgement_does_not_wait_for_the_cloud(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Nor do repetitions meanwhile make another key pair. In true time, several invocations at once."""
    with running_dingtalk(emulator, tmp_path, clock=TrueClock(), instances=3) as dingtalk:
        emulator.add_faults({"kind": "delay", "seconds": 5, "after": "before"})
        before = dingtalk.chat.function.create_calls()
        name = fresh_name()
        body = json.dumps(dingtalk.message(f"/keypair {name}"))
        for _ in range(3):
            assert content(dingtalk.chat.send(dingtalk.event(body)).json) == WORKING
        # The cloud had done nothing yet when all of them were answered.
        assert emulator.key_pairs() == []
        assert dingtalk.stand_in.requests == 0
        dingtalk.chat.work()
        assert names(dingtalk) == [name]
        assert dingtalk.chat.function.create_calls() == before + 1
        (posted,) = dingtalk.stand_in.posted
        assert pyrage.decrypt(envelope_in(content(posted.payload)).encode(), [REGISTERED])


@pytest.mark.parametrize("troubles", [[(500, b"")], [(429, b""), (503, b"")]])
def test_an_answer_that_dingtalk_does_not_take_at_first(
    dingtalk: DingTalk, troubles: list[tuple[int, bytes]]
) -> None:
    dingtalk.stand_in.troubles = list(troubles)
    assert dingtalk.said(f"/keypair {fresh_name()}").startswith("密钥对已创建：")
    assert dingtalk.stand_in.requests == len(troubles) + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble",
    [
        (200, b'{"errcode":310000,"errmsg":"session not exist"}'),
        (200, b'{"errmsg":"ok"}'),
        (200, b"<html>"),
        (200, b"\xff"),
        (200, b""),
        (404, b'{"errcode":0}'),
        (307, b'{"errcode":0}'),
    ],
    ids=repr,
)
def test_an_answer_that_dingtalk_does_not_take_at_all(dingtalk: DingTalk, trouble: tuple[int, bytes]) -> None:
    """The audit log names the key pair that nobody received."""
    body = json.dumps(dingtalk.message(f"/keypair {fresh_name()}"))
    dingtalk.stand_in.troubles = [trouble] * 2
    dingtalk.chat.send(dingtalk.event(body))
    dingtalk.chat.work()
    assert dingtalk.stand_in.requests == 2
    assert dingtalk.stand_in.posted == []
    assert dingtalk.chat.decisions() == [
        ("dingtalk", "intent", None),
        ("dingtalk", "issued", None),
        ("dingtalk", "unknown", "reply-not-delivered"),
    ]
    dingtalk.chat.function.clock.time += MAX_INVOCATION_SECONDS + 1
    dingtalk.chat.send(dingtalk.event(body))
    dingtalk.chat.work()
    assert len(dingtalk.stand_in.posted) == 1


@pytest.mark.parametrize("errcode", [-1, 130101])
def test_an_answer_that_dingtalk_is_too_busy_for(dingtalk: DingTalk, errcode: int) -> None:
    body = json.dumps(dingtalk.message(f"/keypair {fresh_name()}"))
    dingtalk.stand_in.troubles = [(200, json.dumps({"errcode": errcode, "errmsg": "wait"}).encode())] * 3
    dingtalk.chat.send(dingtalk.event(body))
    dingtalk.chat.work()
    assert dingtalk.stand_in.requests == 4
    assert len(dingtalk.stand_in.posted) == 1
    decisions = [decision for _, decision, _ in dingtalk.chat.decisions()]
    assert decisions == ["intent", "issued", *["replayed"] * 3]


def test_a_webhook_that_ends_meanwhile_is_not_used(dingtalk: DingTalk) -> None:
    ends = dingtalk.now() + 60_000
    dingtalk.chat.send(dingtalk.command(f"/keypair {fresh_name()}", sessionWebhookExpiredTime=ends))
    dingtalk.chat.function.clock.time += 60
    dingtalk.chat.work()
    assert dingtalk.stand_in.requests == 0
    assert dingtalk.chat.decisions()[-1] == ("dingtalk", "unknown", "reply-not-delivered")


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_other_methods(dingtalk: DingTalk, method: str) -> None:
    answer = dingtalk.chat.send({**dingtalk.command("help"), "httpMethod": method})
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_without_its_secret_the_path_answers_404(emulator: EmulatorProcess, tmp_path: Path) -> None:
    with running_dingtalk(emulator, tmp_path, settings={}) as dingtalk:
        assert dingtalk.chat.send(dingtalk.command("/keypair a")).status == 404
        assert dingtalk.chat.decisions() == []


def test_a_transcript(dingtalk: DingTalk, pytestconfig: pytest.Config) -> None:
    """`docs/chat-dingtalk.txt` is up to date; `pytest --write-transcripts` rewrites it."""
    said = []
    for text, user, kind in (
        ("帮助", FREE, "1"),
        ("你好", FREE, "1"),
        ("/keypair web_1 给 github:alice", FREE, "1"),
        ("/keypair web_1 有效期 30d", FREE, "1"),
        ("/keypair web_1", FREE, "1"),
        ("/keypair web_2", FREE, "2"),
        ("/keypair web_2", "stranger", "1"),
    ):
        answer = dingtalk.chat.send(dingtalk.command(text, user, conversationType=kind)).json
        before = len(dingtalk.stand_in.posted)
        dingtalk.chat.work()
        said += [f"{user}{'' if kind == '1' else ' (group)'}: {text}", content(answer)]
        said += [f"(a moment later)\n{content(post.payload)}" for post in dingtalk.stand_in.posted[before:]]
    check_transcript(pytestconfig, "dingtalk", "\n\n".join(said) + "\n")
