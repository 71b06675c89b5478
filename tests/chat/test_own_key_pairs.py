"""`/keypair list` and `/keypair delete`: each author's own key pairs, and a word before a delete."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from handler.auth.nonces import Nonces
from handler.chat import messages
from handler.chat.http_client import HttpClient
from handler.chat.platforms.base import Block, Locale
from handler.chat.platforms.registry import PLATFORMS, PlatformContext, configured
from handler.issuance.inventory import OwnedKeyPair
from handler.issuance.ownership_tags import OwnershipTag
from handler.store.memory import MemoryStore
from tests.support.function_under_test import NOON, REGION, REGISTERED, TestClock
from tests.support.quiet_platform import Quietly, running_quietly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

GRANT = {"names": ["*"], "regions": [REGION, "ap-shanghai"], "actions": ["create", "list", "delete"]}
GRANTS: dict[str, dict[str, Any]] = {
    "free": {"grants": [GRANT]},
    "other": {"grants": [GRANT]},
    "deletes": {"grants": [{**GRANT, "actions": ["create", "delete"]}]},
    "pinned": {"grants": [{**GRANT, "actions": ["create"]}]},
    "slow": {"grants": [GRANT], "rate": "1/hour"},
}
POLICY = {
    "callers": {
        f"caller-{user}": {
            **grants,
            "recipients": [str(REGISTERED.to_public())],
            "chat": [{"platform": "quiet", "tenant": "t", "user": user}],
        }
        for user, grants in GRANTS.items()
    }
}
WRONG_WORD = "That word is wrong, was used already or is older than 2 minutes. Leave it out to get a new one."


@pytest.fixture
def quietly(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Quietly]:
    with running_quietly(emulator, tmp_path, policy=POLICY) as running:
        yield running


def told(quietly: Quietly, text: str, user: str = "free", locale: str = "en", **more: object) -> list[str]:
    """Return all parts of the one reply to a message."""
    before = len(quietly.platform.said)
    quietly.tell(text, user, locale=locale, **more)
    ((_, reply),) = quietly.platform.said[before:]
    return [part.text if isinstance(part, Block) else part for part in reply.parts]


def made(quietly: Quietly, name: str, more: str = "", user: str = "free") -> None:
    assert quietly.tell(f"/keypair {name} {more}", user).startswith(f"Here is your key pair: `{name}`")
    quietly.chat.function.forget_audit()


@contextmanager
def bound(quietly: Quietly, name: str) -> Iterator[None]:
    """Let an instance use a key pair for the duration of the block."""
    emulator = quietly.chat.function.emulator
    (key_id,) = [pair["KeyId"] for pair in emulator.key_pairs() if pair["KeyName"] == name]
    emulator.control("POST", f"/key-pairs/{key_id}/bind")
    try:
        yield
    finally:
        emulator.control("DELETE", f"/key-pairs/{key_id}/bind")


def names(quietly: Quietly) -> list[str]:
    return [pair["KeyName"] for pair in quietly.chat.function.emulator.key_pairs()]


def line_to_send(quietly: Quietly, text: str, user: str = "free", locale: str = "en") -> str:
    """Return the line that the bot asks for before it deletes."""
    _, line = told(quietly, text, user, locale)
    return line


def test_a_list(quietly: Quietly) -> None:
    assert told(quietly, "/keypair list") == [
        "You have no key pairs in ap-guangzhou. For another region, send `/keypair list in REGION`."
    ]
    made(quietly, "web_1")
    made(quietly, "ci", "expires 6d")
    made(quietly, "ci_2", "expires 8d")
    made(quietly, "theirs", user="other")
    with bound(quietly, "ci_2"):
        english = told(quietly, "/keypair list")
        chinese = told(quietly, "/keypair 列表 在 ap-guangzhou", locale="zh")
    assert english == [
        "Your key pairs in ap-guangzhou, those that expire first on top:",
        (
            "ci     2026-11-30T12:00:00Z  unused\n"
            "ci_2   2026-12-02T12:00:00Z  in use\n"
            "web_1  never                 unused"
        ),
        "Expires within seven days: `ci`",
    ]
    assert chinese == [
        "你在 ap-guangzhou 的密钥对，最早到期的在前：",
        (
            "ci     2026-11-30T12:00:00Z  未使用\n"
            "ci_2   2026-12-02T12:00:00Z  使用中\n"
            "web_1  永不过期              未使用"
        ),
        "七天内到期：`ci`",
    ]
    assert quietly.chat.decisions() == [("quiet", "listed", "3 key pairs")] * 2


def test_a_key_pair_is_deleted_by_the_line_that_the_bot_asks_for(quietly: Quietly) -> None:
    made(quietly, "web_1")
    question, line = told(quietly, "/keypair delete web_1")
    (pair,) = quietly.chat.function.emulator.key_pairs()
    assert question == (
        f"Delete `web_1` ({pair['KeyId']}, ap-guangzhou, expires: never)? This cannot be undone, and servers "
        "that trust its public key still do. If you are sure, send this within 2 minutes:"
    )
    assert names(quietly) == ["web_1"]
    event = quietly.message(line)
    quietly.send(event)
    assert quietly.platform.said[-1][1].parts == (
        "Deleted `web_1` in ap-guangzhou. Remove its public key from servers that still have it.",
    )
    assert names(quietly) == []
    # The message comes again: it is the same delete, and the author has been told.
    made(quietly, "web_1")
    replies = len(quietly.platform.said)
    quietly.later(event)
    assert (names(quietly), len(quietly.platform.said)) == (["web_1"], replies)
    assert quietly.chat.decisions() == [("quiet", "deleted", None)]
    # The word is used.
    assert told(quietly, line) == [WRONG_WORD]
    assert names(quietly) == ["web_1"]


def test_a_delete_leaves_these_audit_lines(quietly: Quietly) -> None:
    made(quietly, "web_1", user="deletes")
    told(quietly, line_to_send(quietly, "/keypair delete web_1", "deletes"), "deletes")
    assert quietly.chat.decisions() == [
        ("quiet", "listed", "1 key pairs"), ("quiet", "intent", "delete"), ("quiet", "deleted", None)
    ]  # fmt: skip
    for line in quietly.chat.function.audit_lines():
        assert (line["caller"], line["keyName"], line["region"]) == ("caller-deletes", "web_1", REGION)


def test_a_delete_in_chinese_and_in_another_region(quietly: Quietly) -> None:
    made(quietly, "web_1", "in ap-shanghai expires 30d")
    assert told(quietly, "/keypair 删除 web_2", locale="zh") == [
        "这个地域没有你的这个密钥对。发送 `/keypair 列表` 可以查看你的密钥对。"
    ]
    question, line = told(quietly, "/keypair 删除 web_1 在 ap-shanghai", locale="zh")
    assert "ap-shanghai，到期：2026-12-24T12:00:00Z）吗？" in question
    assert line.endswith(" 在 ap-shanghai")
    assert told(quietly, line, locale="zh") == [
        "已删除 ap-shanghai 的 `web_1`。如果服务器上还有它的公钥，请一并移除。"
    ]
    assert names(quietly) == []


def test_no_other_word_deletes(quietly: Quietly) -> None:
    """Neither a wrong one, nor that of another user, another key pair or another region, nor a late one."""
    for user in ("free", "other"):
        for name in ("a", "b"):
            made(quietly, f"{user}_{name}", user=user)
    made(quietly, "free_c", "in ap-shanghai")
    word = line_to_send(quietly, "/keypair delete free_a").split()[-1]
    attempts = [
        ("/keypair delete free_a bcdfgh", "free"),
        (f"/keypair delete free_b {word}", "free"),
        (f"/keypair delete free_a {word} in ap-shanghai", "free"),
        (f"/keypair delete free_a {word}", "other"),
    ]
    for text, user in attempts:
        assert told(quietly, text, user) == [WRONG_WORD]
    quietly.chat.function.clock.time += messages.WORD_TTL_SECONDS + 1
    assert told(quietly, f"/keypair delete free_a {word}", locale="zh") == [
        "确认词不正确、已经用过，或已超过 2 分钟。去掉它再发送一次，可以得到新的确认词。"
    ]
    assert len(names(quietly)) == 5
    assert quietly.chat.decisions()[1:] == [("quiet", "refused", "chat-delete-word")] * 5
    # It was none of these that used it up: a new one works, typed in capitals.
    line = line_to_send(quietly, "/keypair delete free_a")
    assert told(quietly, line.upper().replace("FREE_A", "free_a"))[0].startswith("Deleted `free_a`")


def test_a_word_holds_for_the_key_pair_that_the_author_saw(quietly: Quietly) -> None:
    """Not for the next one of its name."""
    made(quietly, "web_1")
    line = line_to_send(quietly, "/keypair delete web_1")
    quietly.chat.function.delete_key_pairs()
    made(quietly, "web_1")
    assert told(quietly, line)[0].startswith("You have no such key pair in that region.")
    assert names(quietly) == ["web_1"]


def test_what_is_not_deleted(quietly: Quietly) -> None:
    made(quietly, "theirs", user="other")
    made(quietly, "web_1")
    made(quietly, "kept", user="pinned")
    in_use = "An instance or an image uses this key pair. Detach it there first."
    not_granted = (
        "The policy does not allow this. Try another name or region, or ask the policy administrator."
    )
    no_such = "You have no such key pair in that region. Send `/keypair list` to see yours."
    line = line_to_send(quietly, "/keypair delete web_1")
    with bound(quietly, "web_1"):
        assert told(quietly, "/keypair delete web_1") == [in_use]
        assert told(quietly, line) == [in_use]
        assert told(quietly, "/keypair 删除 web_1", locale="zh") == [
            "有实例或镜像正在使用这个密钥对，请先解绑。"
        ]
    assert told(quietly, "/keypair delete theirs") == told(quietly, "/keypair delete none") == [no_such]
    assert told(quietly, "/keypair delete kept", "pinned") == [not_granted]
    assert told(quietly, "/keypair list", "pinned") == [not_granted]
    assert told(quietly, "/keypair list", "deletes") == [not_granted]
    assert names(quietly) == ["theirs", "web_1", "kept"]


def test_unauthenticated_text_deletes_nothing(quietly: Quietly) -> None:
    made(quietly, "web_1")
    line = line_to_send(quietly, "/keypair delete web_1")
    for text in ("/keypair delete web_1", line):
        assert told(quietly, text, text_authenticated=False)[0].startswith(
            "You cannot delete on this platform"
        )
    assert told(quietly, line, locale="zh", text_authenticated=False)[0].startswith("这个平台无法证明")
    assert quietly.chat.decisions()[1:] == [("quiet", "refused", "chat-delete-unauthenticated")] * 3
    assert names(quietly) == ["web_1"]
    assert len(told(quietly, "/keypair list", text_authenticated=False)) == 2


def test_the_rate_counts_each_verb(quietly: Quietly) -> None:
    for text in ("/keypair web_1", "/keypair list", "/keypair delete web_1"):
        assert not quietly.tell(text, "slow").startswith("Too many requests.")
        assert quietly.tell(text, "slow").startswith("Too many requests.")


def test_a_result_that_the_platform_does_not_take_at_first(quietly: Quietly) -> None:
    """The word is used for the message whose job runs again."""
    made(quietly, "web_1")
    line = line_to_send(quietly, "/keypair delete web_1")
    quietly.chat.function.forget_audit()
    quietly.platform.deaf = 2
    assert told(quietly, line)[0].startswith("Deleted `web_1`")
    assert quietly.chat.decisions() == [("quiet", "intent", "delete"), *[("quiet", "deleted", None)] * 3]
    quietly.chat.function.forget_audit()
    quietly.platform.tried, quietly.platform.refuses = 0, True
    quietly.send(quietly.message("/keypair list"))
    # What is done is not denied.
    assert quietly.platform.tried == 1
    assert quietly.chat.decisions() == [
        ("quiet", "listed", "0 key pairs"),
        ("quiet", "failed", "quiet-refuses"),
    ]


@pytest.mark.parametrize(
    ("locale", "unknown"),
    [
        ("en", "I cannot tell whether the key pair was deleted. Send `/keypair list` to see."),
        ("zh", "无法确定密钥对是否已删除。发送 `/keypair 列表` 可以查看。"),
    ],
)
def test_a_delete_whose_end_is_unknown(quietly: Quietly, locale: str, unknown: str) -> None:
    made(quietly, "web_1")
    line = line_to_send(quietly, "/keypair delete web_1")
    quietly.chat.function.emulator.add_faults(
        {"action": "DeleteKeyPairs", "kind": "cut", "after": "before", "times": 40}
    )
    assert told(quietly, line, locale=locale) == [unknown]
    quietly.chat.function.emulator.control("DELETE", "/faults")


SETTINGS = {
    "KEYPAIR_SLACK_SIGNING_SECRET": "x" * 32,
    "KEYPAIR_DINGTALK_APP_SECRET": "x" * 64,
    "KEYPAIR_WECOM_TOKEN": "t",
    "KEYPAIR_WECOM_AES_KEY": "a" * 43,
    "KEYPAIR_WECOMAPP_TOKEN": "t",
    "KEYPAIR_WECOMAPP_AES_KEY": "a" * 43,
    "KEYPAIR_WECOMAPP_CORP_ID": "ww1",
    "KEYPAIR_WECOMAPP_SECRET": "x" * 43,
    "KEYPAIR_WECOMAPP_AGENT_ID": "1000002",
    "KEYPAIR_FEISHU_APP_ID": "cli_a1",
    "KEYPAIR_FEISHU_APP_SECRET": "x" * 32,
    "KEYPAIR_FEISHU_ENCRYPT_KEY": "x" * 32,
    "KEYPAIR_FEISHU_VERIFICATION_TOKEN": "x" * 32,
}
PAIR = OwnedKeyPair(
    key_id="skey-12345678",
    key_name="",
    project_id=0,
    region="na-siliconvalley",
    caller="a",
    public_key=None,
    fingerprint=None,
    created_at=None,
    expires_at=datetime.fromtimestamp(NOON, timezone.utc),
    expires_soon=True,
    instance_ids=("ins-1",),
    tags={},
    description="",
    tag=OwnershipTag(caller_id="a", holder="b", expires_at=None),
)


@pytest.mark.parametrize("locale", Locale)
def test_the_longest_list_fits_every_platform(locale: Locale) -> None:
    clock = TestClock().clock()
    context = PlatformContext(HttpClient(), Nonces(MemoryStore(clock)), clock)
    platforms = configured(SETTINGS, context, PLATFORMS)
    assert set(platforms) == set(PLATFORMS)
    pairs = [
        replace(PAIR, key_name=f"{number:025}", expires_at=PAIR.expires_at + timedelta(number))
        for number in reversed(range(100))
        if PAIR.expires_at is not None
    ]
    reply = messages.key_pair_list(pairs, PAIR.region, locale)
    _, block, more, soon = reply.parts
    assert isinstance(block, Block)
    shown = [f"{number:025}" for number in range(messages.ROWS_LIMIT)]
    assert [line.split()[0] for line in block.text.splitlines()] == shown
    assert more == (
        "And 85 more. `keypair list` on the command line shows all."
        if locale is Locale.EN
        else "还有 85 个。命令行 `keypair list` 可以列出全部。"
    )
    assert str(soon).count("`") == 2 * messages.ROWS_LIMIT
    assert all(platform.fits(reply) for platform in platforms.values())
