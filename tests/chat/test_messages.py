"""What the bot says to each who wrote: in their language, and nothing that would be refused next."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from handler.chat import messages
from handler.chat.command import DeleteCommand, KeyPairCommand, ListCommand, parse_command
from handler.chat.platforms.base import Block, Locale, Message
from handler.errors import (
    CloudBusy,
    CloudRefused,
    InternalFault,
    KeyPairFunctionError,
    NotGranted,
    OutcomeUnknown,
    ProjectNotFound,
    RequestInFlight,
    SealingFailed,
    TagsRefused,
    UnknownAction,
)
from handler.sealing import recipient_problems
from handler.sealing.recipient_problems import MAKE_SSH_KEY, RecipientProblem
from tests.support import cms_owners, jwe_owners
from tests.support.function_under_test import fresh_name
from tests.support.quiet_platform import Quietly, running_quietly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.pgp_owners import Gpg

    Owner = tuple[str, Callable[[str], bytes | None]]
    """What somebody pastes, and how they open."""

COMMANDS = [
    value for name, value in vars(recipient_problems).items() if name.isupper() and isinstance(value, str)
]


@pytest.fixture
def quietly(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Quietly]:
    with running_quietly(emulator, tmp_path) as running:
        yield running


def said(quietly: Quietly, text: str, *, locale: str = "en", text_authenticated: bool = True) -> list[str]:
    """Return all parts of the last reply to a message."""
    quietly.tell(text, locale=locale, text_authenticated=text_authenticated)
    _, reply = quietly.platform.said[-1]
    return [part.text if isinstance(part, Block) else part for part in reply.parts]


@pytest.mark.parametrize(
    ("recipient", "problem", "chinese"),
    [
        ("age1x", RecipientProblem.BECH32, "age 公钥有误或不完整，请重新复制。"),
        (
            "ssh-dss AAAA",
            RecipientProblem.SSH_TYPE,
            f"请发送一行 ssh-ed25519、ssh-rsa 或 ecdsa-sha2-… 公钥，可以用 `{MAKE_SSH_KEY}` 生成。",
        ),
        ("AGE-SECRET-KEY-1X", RecipientProblem.PRIVATE, "这是私钥。请更换这对密钥，并且只发送公钥。"),
    ],
    ids=["checksum", "type", "private"],
)
def test_a_recipient_that_is_refused(
    quietly: Quietly, recipient: str, problem: RecipientProblem, chinese: str
) -> None:
    command = f"/keypair a for {recipient}"
    assert said(quietly, command, locale="zh") == ["无法使用这个公钥。处理方法：", chinese]
    assert said(quietly, command) == ["I cannot use this public key. What to do:", problem.advice]


@pytest.mark.parametrize("problem", RecipientProblem, ids=lambda problem: problem.name)
def test_each_problem_has_its_advice_in_chinese(problem: RecipientProblem) -> None:
    """With the commands that the English one names, no others."""
    chinese = problem.advice_zh
    assert chinese.endswith("。")
    assert [command in chinese for command in COMMANDS] == [command in problem.advice for command in COMMANDS]


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) == 26
    assert all(any(command in problem.advice for problem in RecipientProblem) for command in COMMANDS)


@pytest.mark.parametrize(
    ("text", "locale", "last"),
    [
        ("help", "en", "I use the public keys that are registered for you."),
        ("help", "zh", "使用为你登记的公钥加密。"),
        ("hello", "en", "/keypair web_1\n/keypair web_1 in ap-guangzhou expires 30d\n/keypair list"),
        ("hello", "zh", "/keypair web_1\n/keypair web_1 在 ap-guangzhou 有效期 30d\n/keypair 列表"),
        ("/keypair a b", "zh", "/keypair web_1\n/keypair web_1 在 ap-guangzhou 有效期 30d\n/keypair 列表"),
        (
            "/keypair a in x in y",
            "zh",
            "/keypair web_1\n/keypair web_1 在 ap-guangzhou 有效期 30d\n/keypair 列表",
        ),
    ],
    ids=["help", "help-zh", "other", "other-zh", "word", "twice"],
)
def test_no_recipient_is_offered_for_unauthenticated_text(
    quietly: Quietly, text: str, locale: str, last: str
) -> None:
    told = said(quietly, text, locale=locale, text_authenticated=False)
    assert told[-1] == last
    assert not re.search(r"`for`|web_1 for |给 |delete|删除", "\n".join(told))
    assert "/keypair web_1 for age1…" in "\n".join(said(quietly, text, locale=locale))


def test_no_recipient_is_asked_for_in_unauthenticated_text(quietly: Quietly) -> None:
    first, _ = said(quietly, "/keypair a for", text_authenticated=False)
    assert (
        first
        == "You cannot bring a public key on this platform. Leave out `for` to use your registered keys."
    )
    first, _ = said(quietly, "/keypair a for")
    assert first == "The public key after `for` is missing. Paste one, or leave out `for`."


def age(_folder: Path, _gpg: Gpg) -> Owner:
    identity = pyrage.x25519.Identity.generate()
    return str(identity.to_public()), lambda envelope: pyrage.decrypt(envelope.encode(), [identity])


def ssh(_folder: Path, _gpg: Gpg) -> Owner:
    """As a chat that wraps lines hands it on."""
    key = ed25519.Ed25519PrivateKey.generate()
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    identity = pyrage.ssh.Identity.from_buffer(private)
    return line.replace(" ", "\n  ") + "\tme@laptop", lambda envelope: pyrage.decrypt(
        envelope.encode(), [identity]
    )


def jwk(_folder: Path, _gpg: Gpg) -> Owner:
    owner = jwe_owners.make_owner("P-256")
    return json.dumps(json.loads(owner.public), indent=2), owner.with_jwcrypto


def public_key(folder: Path, _gpg: Gpg) -> Owner:
    owner = cms_owners.make_owner("P-256", folder / "key.pem")
    return owner.text, lambda envelope: owner.open(envelope).stdout


def certificate(folder: Path, _gpg: Gpg) -> Owner:
    owner = cms_owners.make_owner("RSA certificate", folder / "key.pem")
    return owner.text, lambda envelope: owner.open(envelope).stdout


def pgp(_folder: Path, gpg: Gpg) -> Owner:
    """With a comment, in which `for` and `in` begin no parts of the command."""
    exported = gpg.run("--comment", "Made for letters in haste", "--armor", "--export", gpg.make())
    return exported.stdout.decode(), gpg.open


@pytest.mark.parametrize("kind", [age, ssh, jwk, public_key, certificate, pgp])
def test_a_public_key_of_each_kind_can_be_pasted(
    kind: Callable[[Path, Gpg], Owner], quietly: Quietly, gpg: Gpg, tmp_path: Path
) -> None:
    pasted, opened = kind(tmp_path, gpg)
    if kind is pgp:
        quietly.chat.function.clock.time = time.time() + 3600  # PGP keys are made by the true clock
    name = fresh_name()
    told = said(quietly, f"/keypair {name}\nfor {pasted}\nin ap-shanghai expires 12h")
    assert told[0].startswith(f"Here is your key pair: `{name}`\nRegion: ap-shanghai\n")
    assert opened(told[told.index("Open it with:") - 1]) == (
        quietly.chat.function.emulator.private_keys()[-1].encode()
    )


LATER = (
    "That did not work. Wait a minute, then send the command again.",
    "操作失败。请等一分钟，再发送命令。",
)
BROKEN = ("That did not work. Tell the administrator of this bot.", "操作失败，请联系机器人管理员。")
UNFIT = (
    "The policy does not match the cloud account. Ask the policy administrator.",
    "策略与云账号的设置不一致，请联系策略管理员。",
)
CHANGE = (
    "I cannot do that. Send `/keypair help` for the commands.",
    "无法执行。发送 `/keypair help` 可以查看命令。",
)


@pytest.mark.parametrize(
    ("error", "english_and_chinese"),
    [
        (CloudBusy(), LATER),
        (RequestInFlight(), LATER),
        (CloudRefused("invoke-AuthFailure"), BROKEN),
        (InternalFault(), BROKEN),
        (SealingFailed(), BROKEN),
        (ProjectNotFound(), UNFIT),
        (TagsRefused(), UNFIT),
        (UnknownAction(), CHANGE),
        (
            OutcomeUnknown(),
            (
                (
                    "I cannot tell whether the key pair was created. "
                    "Try another name; a leftover key pair is deleted automatically."
                ),
                "无法确定密钥对是否已创建。请换一个名称重试，遗留的密钥对会自动删除。",
            ),
        ),
        (
            OutcomeUnknown("invoke-unknown"),
            (
                "Your command may have been lost. If no answer comes within a minute, send it again.",
                "命令可能没有送达。如果一分钟内没有结果，请重新发送。",
            ),
        ),
        (
            NotGranted("chat-not-private"),
            (
                "Other people can read this chat. Send me a direct message.",
                "这个会话里还有其他人，请与我单聊。",
            ),
        ),
    ],
    ids=lambda given: given.reason if isinstance(given, KeyPairFunctionError) else "",
)
def test_what_is_said_of_an_error(error: KeyPairFunctionError, english_and_chinese: tuple[str, str]) -> None:
    """Each text says what helps: a change, time, or another person."""
    told = tuple(messages.refused(error, message(locale)).parts for locale in Locale)
    assert told == tuple((text,) for text in english_and_chinese)


def message(locale: Locale) -> Message:
    return Message(
        platform="quiet", tenant="t", user="free", event_id="e", text="", locale=locale, reply_to="free"
    )  # fmt: skip


@pytest.mark.parametrize("locale", Locale)
def test_the_examples_are_understood(locale: Locale) -> None:
    _, examples, _ = messages.help_text(message(locale)).parts
    assert isinstance(examples, Block)
    first, second, third, *others = (parse_command(line) for line in examples.text.splitlines())
    assert (first, second) == (KeyPairCommand("web_1"), KeyPairCommand("web_1", ("age1…",)))
    assert third == KeyPairCommand("web_1", ("github:alice",), "ap-guangzhou", 30 * 86400)
    assert others == [ListCommand(), DeleteCommand("web_1")]
