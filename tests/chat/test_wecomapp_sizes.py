"""WeCom's self-built apps: answers of 2,048 bytes and more, which WeCom would cut."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from handler.chat import messages
from handler.chat.platforms.base import Block, Locale, Message, Reply
from handler.issuance.issuer import IssuedKeyPair, SealedPrivateKey
from handler.order import EnvelopeFormat
from handler.scf.invocation import MAX_INVOCATION_SECONDS, Invocation
from tests.support.chat_function import chat_policy
from tests.support.cms_owners import make_owner
from tests.support.function_under_test import fresh_name
from tests.support.wecomapp_stand_in import CORP_ID, USERS, WeComApp, line, picked_up, running_app, said

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.cms_owners import Owner
    from tests.support.emulator_process import EmulatorProcess

pytestmark = pytest.mark.process


@pytest.fixture
def app(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[WeComApp]:
    with running_app(emulator, tmp_path) as running:
        yield running


def owners_and_policy(folder: Path) -> tuple[list[Owner], dict[str, Any]]:
    """Return twenty owners of certificates, to whom all is sealed that `lisi` asks for."""
    owners = [make_owner("EC certificate", folder / f"{number}.pem") for number in range(20)]
    policy = chat_policy("wecomapp", CORP_ID, USERS)
    policy["callers"]["caller-lisi"]["recipients"] = [owner.text for owner in owners]
    return owners, policy


def test_an_answer_that_is_longer_than_a_message(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Twenty certificates, whose fingerprints are the longest; nothing is cut, and no command broken."""
    owners, policy = owners_and_policy(tmp_path)
    with running_app(emulator, tmp_path, policy=policy) as app:
        name = fresh_name()
        told = app.told(app.command(f"/keypair {name}", "lisi"))
        assert len(told) == 2
        assert {payload["touser"] for payload in app.api.payloads} == {"lisi"}
        whole = "\n".join(told)
        assert len(re.findall(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", whole)) == 20
        assert line(whole, "ssh-rsa ").startswith("ssh-rsa AAAA")
        file_name, envelope = picked_up(app, whole)
        assert file_name == f"{name}.cms"
        assert owners[19].open(envelope).stdout.startswith(b"-----BEGIN RSA PRIVATE KEY-----")


def test_the_second_of_several_messages_is_not_taken(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """The message again brings both; WeCom keeps back the one that it has shown."""
    owners, policy = owners_and_policy(tmp_path)
    with running_app(emulator, tmp_path, policy=policy) as app:
        event = app.command(f"/keypair {fresh_name()}", "lisi")
        real = app.api.respond
        # The first request is for a token.
        app.stand_in.respond = lambda request: said(81013) if app.stand_in.requests == 3 else real(request)
        first, bad_news = app.told(event)
        assert first.startswith("密钥对已创建：")
        assert bad_news.startswith("密钥对已创建，但没能发给你。")
        app.chat.function.clock.time += MAX_INVOCATION_SECONDS + 1
        before = app.stand_in.requests
        (second,) = app.told(event)
        assert app.stand_in.requests == before + 2
        _, envelope = picked_up(app, second)
        assert owners[0].open(envelope).stdout.startswith(b"-----BEGIN RSA PRIVATE KEY-----")


@pytest.mark.parametrize("locale", Locale)
def test_the_longest_answer_that_there_can_be(app: WeComApp, locale: Locale) -> None:
    """With twenty recipients and as many of escrow, and a link to the longest host name; none is broken."""
    fingerprints = tuple(f"{number:02}" + "a-" * 46 for number in range(40))
    sealed = SealedPrivateKey(
        format=EnvelopeFormat.CMS,
        recipients=fingerprints,
        ciphertext="x" * 9000,
        open_with="(" + "y" * 600 + ")",
    )
    issued = IssuedKeyPair(
        key_id="skey-12345678",
        key_name="n" * 25,
        project_id=0,
        region="ap-" + "r" * 29,
        public_key="ssh-rsa " + "A" * 372,
        fingerprint="SHA256:" + "F" * 43,
        created_at="2026-11-24T12:00:00Z",
        expires_at="2026-12-24T12:00:00Z",
        sealed_private_key=sealed,
        request_id="r",
    )
    platform = app.chat.function.services.bot.platforms["wecomapp"]
    file_name = f"{issued.key_name}.cms"
    assert not platform.fits(messages.key_pair(issued, file_name, locale))
    link = f"https://{'h' * 253}:65535/pickup/{'i' * 43}"
    reply = messages.key_pair_with_link(issued, file_name, link, locale)
    assert platform.fits(reply)
    message = Message(
        platform="wecomapp",
        tenant=CORP_ID,
        user="lisi",
        event_id="1",
        text="",
        locale=locale,
        reply_to="lisi",
    )
    platform.deliver(message, reply, Invocation.begin(None, {}, app.chat.function.clock.clock()).deadline)
    told = app.api.shown()
    assert re.findall(r"\d\d(?:a-){46}", "\n".join(told)) == list(fingerprints)
    lines = "\n".join(told).splitlines()
    assert [part.text for part in reply.parts if isinstance(part, Block) and part.text not in lines] == []


@pytest.mark.parametrize(("text", "fits"), [("x" * 2048, True), ("x" * 2049, False), ("钥" * 683, False)])
def test_a_block_is_one_message(app: WeComApp, text: str, fits: bool) -> None:  # noqa: FBT001  # a table's column
    platform = app.chat.function.services.bot.platforms["wecomapp"]
    assert platform.fits(Reply(("a" * 3000, Block(text), "钥 " * 3000))) is fits
