"""Feishu: messages that its own SDK would take, and answers that a stand-in of its API takes."""

from __future__ import annotations

import itertools
import json
import math
import re
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handler.scf.invocation import MAX_INVOCATION_SECONDS
from tests.support.chat_function import PUBLIC_URL, TrueClock, chat_policy, check_transcript
from tests.support.feishu_stand_in import (
    APP_SECRET,
    ENCRYPT_KEY,
    FREE,
    PINNED,
    SETTINGS,
    SLOW,
    TENANT,
    VERIFICATION_TOKEN,
    Feishu,
    running_feishu,
)
from tests.support.function_under_test import RECIPIENT, REGISTERED, fresh_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.emulator_process import EmulatorProcess

STRANGER = "ou_00000000000000000000000000000001"


@pytest.fixture
def feishu(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Feishu]:
    with running_feishu(emulator, tmp_path) as running:
        yield running


def blocks(text: str) -> list[str]:
    return re.findall(r"```\n(.*?)\n```", text, re.DOTALL)


def test_a_message_makes_a_key_pair(feishu: Feishu, tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text(f"{RECIPIENT}\n")
    name = fresh_name()
    answer = feishu.chat.send(feishu.message(f"/keypair {name} for {RECIPIENT.to_public()} expires 30d"))
    assert (answer.status, answer.json) == (200, {})
    assert feishu.stand_in.requests == 0
    feishu.chat.work()
    (message,) = feishu.api.messages
    assert message["receive_id"] == FREE
    assert list(json.loads(message["content"])) == ["en_us"]
    said = feishu.api.shown()[0]
    public_key, envelope, command = blocks(said)
    (tmp_path / f"{name}.age").write_text(envelope + "\n")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, timeout=20)
    private_key = (tmp_path / f"{name}.pem").read_text()
    assert private_key in feishu.chat.function.emulator.private_keys()
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", f"{name}.pem"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert derived.stdout.split()[:2] == public_key.split()[:2]
    (key_pair,) = feishu.chat.function.emulator.key_pairs()
    assert said.splitlines()[:3] == [
        f'Here is your key pair: "{name}"', "Region: ap-guangzhou", f"Key ID: {key_pair['KeyId']}"
    ]  # fmt: skip
    assert feishu.chat.decisions() == [("feishu", "intent", None), ("feishu", "issued", None)]
    for line in feishu.chat.function.audit_lines():
        assert (line["caller"], line["keyName"]) == (f"caller-{FREE}", name)
    for secret in (private_key, ENCRYPT_KEY, VERIFICATION_TOKEN, APP_SECRET, feishu.api.token):
        assert secret not in feishu.chat.function.audit.getvalue() + repr(feishu.chat.function.services)


def test_without_a_recipient_the_registered_one_is_taken(feishu: Feishu) -> None:
    for user in (PINNED, FREE):
        _, envelope, _ = blocks(feishu.said(f"/keypair {fresh_name()}", user))
        assert pyrage.decrypt(envelope.encode(), [REGISTERED])


def key_of_nobody() -> str:
    """Return the largest key that is taken, in no time: its factors nobody knows, and none is small."""
    moduli = (secrets.randbits(8192) | 1 << 8191 for _ in itertools.count())
    modulus = next(modulus for modulus in moduli if math.gcd(modulus, math.factorial(10_000)) == 1)
    key = RSAPublicNumbers(65537, modulus).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.slow
def test_an_envelope_that_is_too_long_is_picked_up(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Twenty of the largest keys; of ten it is a message."""
    keys = [key_of_nobody() for _ in range(20)]
    policy = chat_policy("feishu", TENANT, {FREE: "free", PINNED: "pinned"})
    policy["callers"][f"caller-{FREE}"]["recipients"] = keys
    policy["callers"][f"caller-{PINNED}"]["recipients"] = keys[:10]
    with running_feishu(emulator, tmp_path, policy=policy) as feishu:
        name = fresh_name()
        _, fetch, _ = blocks(feishu.said(f"/keypair {name}"))
        link = re.fullmatch(
            rf"curl -fsS -X POST -o {name}\.cms ({PUBLIC_URL}/pickup/[A-Za-z0-9_-]{{43}})", fetch
        )
        assert link is not None
        event: dict[str, object] = {
            "httpMethod": "POST", "path": link[1].removeprefix(PUBLIC_URL), "headers": {}
        }  # fmt: skip
        picked_up = feishu.chat.send(event)
        assert picked_up.body.startswith("-----BEGIN CMS-----")
        # Of the 30 KB of a request, some are left for the rest.
        assert len(picked_up.body) > 29_000
        _, envelope, _ = blocks(feishu.said(f"/keypair {fresh_name()}", PINNED))
        assert len(envelope) > 14_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("help", "I create SSH key pairs in Tencent Cloud"),
        ("/keypair", "I create SSH key pairs in Tencent Cloud"),
        ("@_user_1 help", "I create SSH key pairs in Tencent Cloud"),
        ("@_all /keypair help @_user_12", "I create SSH key pairs in Tencent Cloud"),
        ("帮助", "我会在腾讯云创建 SSH 密钥对"),
        ("hello", "I did not understand that."),
        ("", "I did not understand that."),
        ("/keypair a-b", "A key name has 1 to 25 letters,"),
        ("/密钥对 a-b", "密钥对名称只能包含字母、数字和下划线，"),
        ("/keypair a for AGE-SECRET-KEY-1X", "I cannot use this public key."),
    ],
)
def test_what_is_answered_at_once(feishu: Feishu, text: str, said: str) -> None:
    """By a message of its own: Feishu shows nobody what its request is answered."""
    before = feishu.chat.function.create_calls()
    assert feishu.said(text).startswith(said)
    assert feishu.chat.function.create_calls() == before


@pytest.mark.parametrize(
    ("text", "user", "said", "reason"),
    [
        ("a for hello", FREE, "I cannot use this public key.", "recipient-unknown"),
        ("a for github:alice", PINNED, "You cannot bring", "not-granted-own-recipients"),
        ("a in ap-tokyo", PINNED, "The policy does not allow this.", "not-granted-region"),
    ],
)
def test_refused_by_the_job(feishu: Feishu, text: str, user: str, said: str, reason: str) -> None:
    assert feishu.said(f"/keypair {text}", user).startswith(said)
    assert feishu.chat.decisions() == [("feishu", "refused", reason)]


def test_who_is_not_registered_is_told_what_to_register(feishu: Feishu) -> None:
    said = feishu.said("/keypair a", STRANGER)
    assert blocks(said) == [f'platform = "feishu"\ntenant = "{TENANT}"\nuser = "{STRANGER}"']


def test_a_caller_who_asks_too_often(feishu: Feishu) -> None:
    feishu.said(f"/keypair {fresh_name()}", SLOW)
    assert feishu.said("/keypair a", SLOW).startswith("Too many requests.")


def test_feishu_speaks_chinese(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """And is elsewhere than Lark."""
    with running_feishu(emulator, tmp_path) as lark:
        instead = {"https://open.feishu.cn": lark.stand_in.url}
        with running_feishu(emulator, tmp_path, settings=SETTINGS, instead=instead) as feishu:
            feishu.api = lark.api
            assert feishu.said(f"/keypair {fresh_name()}").startswith("密钥对已创建：")
            assert list(json.loads(lark.api.messages[-1]["content"])) == ["zh_cn"]
            assert feishu.stand_in.requests == 0


def test_a_question_in_a_group_is_answered_to_the_user_alone(feishu: Feishu) -> None:
    push = feishu.push("@_user_1 /keypair a")
    push["event"]["message"]["chat_type"] = "group"
    assert feishu.told(feishu.pushed(push)) == "Other people can read this chat. Send me a direct message."
    assert feishu.api.messages[-1]["receive_id"] == FREE


def test_repetitions_make_no_second_key_pair(feishu: Feishu) -> None:
    """After 15 seconds, 5 minutes, 1 hour and 6 hours, each signed anew and some with another event id."""
    push = feishu.push(f"/keypair {fresh_name()}")
    before = feishu.chat.function.create_calls()
    for pause in (0, 15, 300, 3600, 6 * 3600):
        feishu.chat.function.clock.time += pause
        push["header"]["event_id"] = f"e-{pause}"
        assert feishu.chat.send(feishu.pushed(push)).status == 200
        feishu.chat.work()
    assert feishu.chat.function.create_calls() == before + 1
    assert len(feishu.api.messages) == 1
    assert [decision for _, decision, _ in feishu.chat.decisions()] == ["intent", "issued", *["replayed"] * 3]


def test_the_acknowledgement_does_not_wait_for_the_cloud(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Feishu's retries make no second key pair. In real time, with concurrent invocations."""
    with running_feishu(emulator, tmp_path, clock=TrueClock(), instances=3) as feishu:
        emulator.add_faults({"kind": "delay", "seconds": 5, "after": "before"})
        before = feishu.chat.function.create_calls()
        name = fresh_name()
        push = feishu.push(f"/keypair {name}")
        for _ in range(3):
            assert feishu.chat.send(feishu.pushed(push)).status == 200
        # The cloud had done nothing yet when all of them were answered.
        assert emulator.key_pairs() == []
        assert feishu.stand_in.requests == 0
        feishu.chat.work()
        assert [key_pair["KeyName"] for key_pair in emulator.key_pairs()] == [name]
        assert feishu.chat.function.create_calls() == before + 1
        (said,) = feishu.api.shown()
        assert blocks(said)[1].startswith("-----BEGIN AGE ENCRYPTED FILE-----")


def test_a_token_is_used_until_shortly_before_its_end(feishu: Feishu) -> None:
    for pause, tokens in ((0, 1), (7200 - 301, 1), (1, 2)):
        feishu.chat.function.clock.time += pause
        feishu.said("help")
        assert feishu.api.tokens == tokens


def test_a_token_of_a_short_life_is_used_once(feishu: Feishu) -> None:
    feishu.api.life = 60
    for tokens in (1, 2):
        feishu.said("help")
        assert feishu.api.tokens == tokens


def test_a_token_that_ended_early(feishu: Feishu) -> None:
    feishu.said("help")
    feishu.api.revoke_token()
    feishu.said("help")
    assert feishu.stand_in.requests == 2 + 3


def test_a_lost_response_causes_no_duplicate(feishu: Feishu) -> None:
    """Feishu had the message and said 503: it comes again with the same uuid."""
    feishu.said("help")
    event = feishu.message("help")
    respond, feishu.stand_in.respond = feishu.stand_in.respond, lambda request: (
        503, feishu.api.respond(request)[1]
    )  # fmt: skip
    assert feishu.chat.send(event).status == 503
    feishu.stand_in.respond = respond
    assert feishu.chat.send(event).status == 200
    assert len(feishu.api.messages) == 2


def test_a_refusal_does_not_hold_back_a_key_pair(feishu: Feishu) -> None:
    """The same message comes once more when its name is free: to Feishu it must not look like the refusal."""
    name = fresh_name()
    feishu.said(f"/keypair {name}")
    event = feishu.message(f"/keypair {name}")
    assert feishu.told(event).startswith("A key pair with this name already exists.")
    feishu.chat.function.delete_key_pairs()
    feishu.chat.function.clock.time += MAX_INVOCATION_SECONDS + 1
    assert feishu.told(event).startswith("Here is your key pair")


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble",
    [
        (200, b'{"code": 230013, "msg": "Bot has NO availability to this user."}'),
        (400, b'{"code": 99991672, "msg": "Access denied."}'),
        (307, b'{"code": 0}'),
        (200, b""),
        (200, b"<html>"),
        (200, b'{"code": "0"}'),
        (200, b"[]"),
    ],
)
def test_an_answer_that_is_not_taken(feishu: Feishu, trouble: tuple[int, bytes]) -> None:
    """The audit log names the key pair that nobody received. Repeating the message delivers it."""
    feishu.said("help")
    event = feishu.message(f"/keypair {fresh_name()}")
    # The answer and then the bad news, each with the old token; the token between is granted.
    real = feishu.api.respond
    feishu.stand_in.respond = lambda request: real(request) if "app_id" in request.payload else trouble
    assert feishu.chat.send(event).status == 200
    feishu.chat.work()
    assert feishu.chat.decisions() == [
        ("feishu", "intent", None),
        ("feishu", "issued", None),
        ("feishu", "unknown", "reply-not-delivered"),
    ]
    assert len(feishu.api.messages) == 1
    feishu.stand_in.respond = real
    feishu.chat.function.clock.time += MAX_INVOCATION_SECONDS + 1
    assert feishu.told(event).startswith("Here is your key pair")


@pytest.mark.parametrize(
    "trouble",
    [
        (200, b'{"code": 10014, "msg": "app secret invalid"}'),
        (400, b'{"code": 0, "tenant_access_token": "t", "expire": 7200}'),
        (200, b'{"code": 0, "tenant_access_token": "t\\r\\nX: y", "expire": 7200}'),
        (200, b'{"code": 0, "tenant_access_token": "t", "expire": "7200"}'),
        (200, b'{"code": 0}'),
    ],
)
def test_a_token_that_is_not_given(feishu: Feishu, trouble: tuple[int, bytes]) -> None:
    event = feishu.message("help")
    feishu.stand_in.troubles = [trouble]
    assert feishu.chat.send(event).status == 502
    assert feishu.chat.decisions() == [("feishu", "failed", "feishu-token-refused")]
    # That it could not be said is not said either.
    assert feishu.stand_in.requests == 1
    assert feishu.chat.send(event).status == 200
    assert len(feishu.api.messages) == 1


@pytest.mark.parametrize("code", [99991400, 230020])
def test_an_answer_that_feishu_is_too_busy_for(feishu: Feishu, code: int) -> None:
    feishu.said("help")
    event = feishu.message(f"/keypair {fresh_name()}")
    feishu.stand_in.troubles = [(400, json.dumps({"code": code, "msg": "wait"}).encode())] * 3
    assert feishu.told(event).startswith("Here is your key pair")
    decisions = [decision for _, decision, _ in feishu.chat.decisions()]
    assert decisions == ["intent", "issued", *["replayed"] * 3]


@pytest.mark.parametrize("status", [429, 503])
def test_an_api_that_is_busy_at_first(feishu: Feishu, status: int) -> None:
    feishu.stand_in.troubles = [(status, b""), (status, b"")]
    assert feishu.said("help").startswith("I create SSH key pairs")
    assert feishu.stand_in.requests == 4


def test_a_transcript(emulator: EmulatorProcess, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """`docs/chat-feishu.txt` is up to date; `pytest --write-transcripts` rewrites it."""
    with running_feishu(emulator, tmp_path) as feishu:
        said = []
        for text, user, chat_type in (
            ("help", FREE, "p2p"),
            ("/keypair web-1", FREE, "p2p"),
            (f"/keypair web_1 for {RECIPIENT.to_public()} expires 30d", FREE, "p2p"),
            ("/密钥对 web_2 在 ap-guangzhou 有效期 12h", FREE, "p2p"),
            ("@_user_1 /keypair web_3", FREE, "group"),
            ("/keypair web_3 for github:alice", PINNED, "p2p"),
            ("/keypair web_3", STRANGER, "p2p"),
        ):
            push = feishu.push(text, user)
            push["event"]["message"]["chat_type"] = chat_type
            answer = feishu.told(feishu.pushed(push))
            assert feishu.api.messages[-1]["receive_id"] == user
            said += [f"{user} ({chat_type}): {text}", f"(a moment later)\n{answer}"]
    check_transcript(pytestconfig, "feishu", "\n\n".join(said) + "\n")


def rich(*paragraphs: list[dict[str, object]], title: str = "") -> dict[str, object]:
    return {"message_type": "post", "content": json.dumps({"title": title, "content": list(paragraphs)})}


def in_post(feishu: Feishu, written: dict[str, object]) -> str:
    push = feishu.push("")
    push["event"]["message"] |= written
    return feishu.told(feishu.pushed(push))


def test_rich_text_is_read(feishu: Feishu) -> None:
    """Feishu sends it for what people paste with formatting; code blocks and links have text as well."""
    pasted = (Path(__file__).parents[1] / "support" / "pasted" / "feishu-post.json").read_text()
    said = in_post(feishu, json.loads(pasted.replace("NAME", fresh_name())))
    assert "age1jfcnrcq85claw4sqa4z50379tn5pxc5065e4cutp5z9dnuw7wvrqjwqy4j" in said
    line = f"/keypair {fresh_name()} for "
    key: dict[str, object] = {
        "tag": "code_block",
        "language": "PLAIN_TEXT",
        "text": str(RECIPIENT.to_public()),
    }
    mention: dict[str, object] = {"tag": "at", "user_id": "@_user_1", "user_name": "bot"}
    assert str(RECIPIENT.to_public()) in in_post(
        feishu, rich([mention, {"tag": "text", "text": line}], [key])
    )
    feishu.chat.function.delete_key_pairs()


@pytest.mark.parametrize("content", [{}, {"content": "x"}, {"content": [1, [2, {"tag": "text", "text": 3}]]}])
def test_rich_text_without_a_command(content: dict[str, object], feishu: Feishu) -> None:
    push = feishu.push("")
    push["event"]["message"] |= {"message_type": "post", "content": json.dumps(content)}
    before = feishu.chat.function.create_calls()
    answer = feishu.chat.send(feishu.pushed(push))
    assert feishu.chat.function.create_calls() == before
    assert answer.status == (200 if isinstance(content.get("content"), list) else 400)
