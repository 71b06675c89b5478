"""What all platforms share, with a platform that can say nothing in its answers."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from handler.chat.jobs import JOB_TTL_SECONDS, Job
from handler.chat.platforms.base import Block, Message
from handler.chat.published_keys import PublishedKeys
from handler.errors import NameTaken
from handler.order import KeyPairOrder
from handler.policy.model import Policy
from handler.scf.invocation import MAX_INVOCATION_SECONDS, Invocation
from tests.support.chat_function import chat_policy
from tests.support.function_under_test import NOON, RECIPIENT, REGION, fresh_name, with_parts
from tests.support.published_place import PUBLIC, running_place
from tests.support.quiet_platform import USERS, Quietly, running_quietly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess


@pytest.fixture
def quietly(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Quietly]:
    with running_quietly(emulator, tmp_path) as running:
        yield running


def issued(quietly: Quietly) -> list[str]:
    return [key_pair["KeyName"] for key_pair in quietly.chat.function.emulator.key_pairs()]


def test_a_handshake_is_answered_and_leaves_no_line(quietly: Quietly) -> None:
    event = {
        "httpMethod": "GET",
        "path": "/chat/quiet",
        "headers": {"x-proof": "good"},
        "queryString": {"echo": "hi"},
    }
    answer = quietly.chat.send(event)
    assert (answer.status, answer.body) == (200, "hi")
    assert quietly.chat.decisions() == []
    assert quietly.chat.send({**event, "headers": {}}).status == 401
    assert quietly.chat.decisions() == [("quiet", "refused", "quiet-proof")]


def test_a_platform_is_no_other_one(quietly: Quietly) -> None:
    for path in ("/chat/", "/chat/slack", "/chat/quiet/", "/chat", "/quiet"):
        assert quietly.chat.send({**quietly.message("help"), "path": path}).status == 404


def test_an_order_is_acknowledged_and_answered_later(quietly: Quietly) -> None:
    name = fresh_name()
    assert quietly.tell(f"/keypair {name} for {RECIPIENT.to_public()}").startswith(
        f"Here is your key pair: `{name}`"
    )
    assert issued(quietly) == [name]


@pytest.mark.parametrize(
    ("text", "user", "said"),
    [
        ("help", "free", "I create SSH key pairs"),
        ("hello", "free", "I did not understand that."),
        ("/keypair a", "stranger", "You are not registered yet."),
        ("/keypair a for x", "pinned", "You cannot bring your own public key."),
    ],
)
def test_replies_that_the_response_cannot_carry_are_sent_separately(
    quietly: Quietly, text: str, user: str, said: str
) -> None:
    assert quietly.tell(text, user).startswith(said)


def test_the_language_of_the_platform_is_spoken(quietly: Quietly) -> None:
    assert quietly.tell("help", locale="zh") == "我会在腾讯云创建 SSH 密钥对，用你的公钥加密私钥后发给你。"
    assert quietly.tell(f"/keypair {fresh_name()}", locale="zh").startswith("密钥对已创建：")


def test_no_key_pair_in_a_chat_that_others_read(quietly: Quietly) -> None:
    before = quietly.creates()
    for text, user in (("/keypair a", "free"), ("/keypair a", "stranger"), ("hello", "stranger")):
        quietly.tell(text, user, is_direct=False)
    said = ("Other people can read this chat. Send me a direct message.",)
    assert [reply.parts for _, reply in quietly.platform.said] == [said] * 3
    assert quietly.chat.decisions() == [
        ("quiet", "refused", "chat-not-private"), *[("quiet", "refused", "unregistered")] * 2
    ]  # fmt: skip
    assert quietly.creates() == before


def test_unauthenticated_text_brings_no_recipient(quietly: Quietly) -> None:
    before = quietly.creates()
    for recipient in (RECIPIENT.to_public(), "place:alice"):
        assert quietly.tell(f"/keypair a for {recipient}", text_authenticated=False).startswith(
            "You cannot bring a public key"
        )
    assert quietly.chat.decisions() == [("quiet", "refused", "chat-own-recipients")] * 2
    assert quietly.creates() == before
    assert quietly.tell(f"/keypair {fresh_name()}", text_authenticated=False).startswith(
        "Here is your key pair"
    )


def test_an_undelivered_notice_is_left_to_the_platforms_retry(quietly: Quietly) -> None:
    """A later error must not replace the first one."""
    quietly.platform.deaf = 1
    event = quietly.message("help")
    assert quietly.send(event).status == 503
    assert quietly.chat.decisions() == [("quiet", "failed", "quiet-deaf")]
    for _ in range(2):
        assert quietly.send(event).status == 200
    ((_, reply),) = quietly.platform.said
    assert str(reply.parts[0]).startswith("I create SSH key pairs")


def test_a_refusal_that_cannot_be_delivered_is_retried(quietly: Quietly) -> None:
    quietly.platform.deaf = 2
    assert quietly.send(quietly.message("hello")).status == 503
    assert quietly.platform.said == []
    assert quietly.send(quietly.message("/keypair a for x", "pinned")).status == 200
    assert quietly.chat.decisions() == [
        ("quiet", "refused", "command-other"),
        *[("quiet", "refused", "not-granted-own-recipients")] * 2,
    ]
    ((_, reply),) = quietly.platform.said
    assert str(reply.parts[0]).startswith("You cannot bring your own public key.")


def test_a_refusal_that_is_never_taken_leaves_one_line(quietly: Quietly) -> None:
    quietly.platform.refuses = True
    assert quietly.send(quietly.message("/keypair a for x", "pinned")).status == 200
    assert quietly.chat.decisions() == [("quiet", "refused", "not-granted-own-recipients")]
    assert quietly.platform.tried == 1


def test_the_job_cannot_be_started(emulator: EmulatorProcess, tmp_path: Path) -> None:
    settings = {"KEYPAIR_SCF_ENDPOINT": "http://127.0.0.1:9"}
    with running_quietly(emulator, tmp_path, settings=settings) as quietly:
        before = quietly.creates()
        assert quietly.tell("/keypair a").startswith("That did not work. Wait a minute,")
        assert quietly.chat.decisions() == [("quiet", "failed", "invoke-ClientNetworkError")]
        assert quietly.creates() == before


def test_temporary_failures_are_retried(quietly: Quietly) -> None:
    """The function retries, because platforms do not repeat acknowledged messages."""
    quietly.chat.function.emulator.add_faults({"kind": "throttle", "times": 40})
    name = fresh_name()
    quietly.tell(f"/keypair {name}")
    quietly.chat.function.emulator.control("DELETE", "/faults")
    assert quietly.chat.decisions()[-1] == ("quiet", "failed", "cloud-busy")
    quietly.chat.function.forget_audit()
    quietly.chat.function.emulator.add_faults({"kind": "cut"}, {"action": "DescribeKeyPairs", "kind": "cut"})
    assert quietly.tell(f"/keypair {name}").startswith("Here is your key pair")
    assert quietly.chat.decisions() == [
        ("quiet", "intent", None),
        ("quiet", "removed", "left-over"),
        ("quiet", "intent", None),
        ("quiet", "issued", None),
    ]  # fmt: skip
    assert issued(quietly) == [name]


E_1 = hashlib.sha256(b"quiet\nt\nfree\ne-1").hexdigest()
"""What the event `e-1` goes by in the store."""


def test_an_order_that_another_invocation_works_on(quietly: Quietly) -> None:
    """It is waited for; the other one answers, or has died, and this one does when its lease has ended."""
    name = fresh_name()
    event = quietly.message(f"/keypair {name}", event_id="e-1")
    ledger = quietly.chat.function.services.issuer.ledger
    ledger.acquire("caller-free", f"chat:{E_1}", KeyPairOrder(name, REGION).digest(), lease=60)
    quietly.send(event)
    refused = ("quiet", "refused", "request-in-flight")
    assert quietly.chat.decisions() == [
        refused, refused, ("quiet", "intent", None), ("quiet", "issued", None)
    ]  # fmt: skip
    ((_, reply),) = quietly.platform.said
    assert str(reply.parts[0]).startswith(f"Here is your key pair: `{name}`")


@pytest.mark.slow
def test_an_order_that_another_invocation_never_ends(quietly: Quietly) -> None:
    """No claim is held for that long; should one be, the function does not invoke itself for ever."""
    event = quietly.message(f"/keypair {fresh_name()}", event_id="e-1")
    order = KeyPairOrder(event["body"].split("/keypair ")[1].split('"')[0], REGION).digest()
    ledger = quietly.chat.function.services.issuer.ledger
    ledger.acquire("caller-free", f"chat:{E_1}", order, lease=2 * JOB_TTL_SECONDS)
    quietly.send(event)
    assert quietly.platform.said == []
    decisions = quietly.chat.decisions()
    assert set(decisions) == {("quiet", "refused", "request-in-flight")}
    assert len(decisions) <= JOB_TTL_SECONDS / 20
    assert (
        NOON + JOB_TTL_SECONDS - 2 * MAX_INVOCATION_SECONDS
        < quietly.chat.function.clock.time
        < NOON + JOB_TTL_SECONDS
    )


def test_an_invocation_that_died_over_its_reply(quietly: Quietly) -> None:
    """Its record expires after a minute. Until then, the reply may have been sent."""
    quietly.chat.function.services.bot.store.add(f"given:{E_1}", "saying", MAX_INVOCATION_SECONDS)
    quietly.send(quietly.message(f"/keypair {fresh_name()}", event_id="e-1"))
    ((_, reply),) = quietly.platform.said
    assert str(reply.parts[0]).startswith("Here is your key pair")
    assert quietly.chat.decisions() == [
        ("quiet", "intent", None), ("quiet", "issued", None), *[("quiet", "replayed", None)] * 3
    ]  # fmt: skip
    assert quietly.chat.function.clock.time >= NOON + MAX_INVOCATION_SECONDS


def test_a_request_that_comes_again_costs_no_invocation(quietly: Quietly) -> None:
    """This holds for a minute. After that, the invocation that ran the order may have died."""
    event = quietly.message(f"/keypair {fresh_name()}")
    for _ in range(5):
        assert quietly.send(event).status == 200
    assert quietly.chat.decisions() == [("quiet", "intent", None), ("quiet", "issued", None)]
    for _ in range(2):
        assert quietly.later(event).status == 200
    assert quietly.chat.decisions()[2:] == [("quiet", "replayed", None)] * 2
    assert len(quietly.platform.said) == 1


def test_a_defect_while_the_reply_is_made(quietly: Quietly) -> None:
    """The author is not told that no key pair was made."""
    quietly.platform.defect = True
    event = quietly.message(f"/keypair {fresh_name()}")
    quietly.send(event)
    ((_, reply),) = quietly.platform.said
    assert reply.parts == ("The key pair was created, but I could not deliver it. Try another name.",)
    assert quietly.chat.decisions()[-1] == ("quiet", "unknown", "reply-not-delivered")


def test_a_reply_that_is_not_taken_is_given_later(quietly: Quietly) -> None:
    """The author does not have to repeat the message."""
    quietly.platform.deaf = 3
    times = []
    quietly.platform.meanwhile = lambda: times.append(quietly.chat.function.clock.time)
    before = quietly.creates()
    quietly.send(quietly.message(f"/keypair {fresh_name()}"))
    ((_, reply),) = quietly.platform.said
    assert str(reply.parts[0]).startswith("Here is your key pair")
    assert quietly.creates() == before + 1
    assert quietly.chat.decisions() == [
        ("quiet", "intent", None), ("quiet", "issued", None), *[("quiet", "replayed", None)] * 3
    ]  # fmt: skip
    assert times == [NOON, NOON + 22, NOON + 44]
    # Of 30 seconds the rest is for handing on, and for telling that this is not possible.
    assert quietly.platform.time_left == [22] * 4


def test_a_refused_later_round_does_not_deny_the_key_pair(quietly: Quietly) -> None:
    """A later round, or a repetition of the message, may be refused: the policy was changed meanwhile."""
    event = quietly.message(f"/keypair {fresh_name()}")
    function = quietly.chat.function
    quietly.platform.deaf = 1

    def deployed() -> None:
        bot = function.services.bot
        nobody = Policy.parse(chat_policy("quiet", "t", {"somebody-else": "free"}))
        function.services = with_parts(function.services, bot=replace(bot, policy=nobody))
        # Acknowledged; what is being given will be told by those who give it.
        assert quietly.chat.send(event).status == 200

    quietly.platform.meanwhile = deployed
    quietly.send(event)
    ((_, reply),) = quietly.platform.said
    assert reply.parts == ("The key pair was created, but I could not deliver it. Try another name.",)
    decisions = [decision for _, decision, _ in quietly.chat.decisions()]
    assert decisions == ["intent", "issued", "refused", "refused"]


@pytest.mark.slow
def test_a_reply_that_is_not_taken_for_half_an_hour(quietly: Quietly) -> None:
    quietly.platform.deaf = 1000
    event = quietly.message(f"/keypair {fresh_name()}")
    before = quietly.creates()
    quietly.send(event)
    assert quietly.creates() == before + 1
    *others, last = quietly.chat.decisions()
    assert last == ("quiet", "unknown", "reply-not-delivered")
    assert set(others[2:]) == {("quiet", "replayed", None)}
    assert len(others) <= JOB_TTL_SECONDS / 20
    assert (
        NOON + JOB_TTL_SECONDS - 2 * MAX_INVOCATION_SECONDS
        < quietly.chat.function.clock.time
        < NOON + JOB_TTL_SECONDS
    )
    # A platform that repeats the message gets it through even then.
    quietly.platform.deaf = 0
    quietly.later(event)
    ((_, reply),) = quietly.platform.said
    assert str(reply.parts[0]).startswith("Here is your key pair")
    assert quietly.creates() == before + 1


def test_a_reply_that_is_refused_is_not_tried_again(
    quietly: Quietly, caplog: pytest.LogCaptureFixture
) -> None:
    quietly.platform.refuses = True
    quietly.send(quietly.message(f"/keypair {fresh_name()}"))
    assert quietly.chat.decisions() == [
        ("quiet", "intent", None), ("quiet", "issued", None), ("quiet", "unknown", "reply-not-delivered")
    ]  # fmt: skip
    assert quietly.platform.tried == 2
    assert "PlatformRefused (quiet-refuses) in deliver, line " in caplog.text


def test_a_refusal_that_the_platform_does_not_take_is_in_the_log(
    quietly: Quietly, caplog: pytest.LogCaptureFixture
) -> None:
    """The audit log names why there is no key pair, so the function's log names why the reply failed."""
    quietly.platform.refuses = True
    assert quietly.chat.send(quietly.message("/keypair web-1")).status == 502
    assert quietly.chat.decisions() == [("quiet", "refused", "command-name")]
    assert "PlatformRefused (quiet-refuses) in deliver, line " in caplog.text


def test_a_reply_that_cannot_be_left_to_a_later_invocation(emulator: EmulatorProcess, tmp_path: Path) -> None:
    settings = {"KEYPAIR_SCF_ENDPOINT": "http://127.0.0.1:9"}
    with running_quietly(emulator, tmp_path, settings=settings) as quietly:
        quietly.platform.deaf = 1
        message = Message.model_validate_json(quietly.message(f"/keypair {fresh_name()}")["body"])
        quietly.chat.send(json.loads(quietly.chat.function.services.bot.jobs.start(message)))
        assert quietly.chat.decisions()[-1] == ("quiet", "unknown", "reply-not-delivered")
        ((_, reply),) = quietly.platform.said
        assert str(reply.parts[0]).startswith("The key pair was created, but I could not deliver it.")


def test_a_refusal_does_not_hold_back_a_key_pair(quietly: Quietly) -> None:
    """The same message comes once more when its name is free."""
    name = fresh_name()
    assert quietly.tell(f"/keypair {name}").startswith("Here is your key pair")
    event = quietly.message(f"/keypair {name}")
    quietly.send(event)
    assert str(quietly.platform.said[-1][1].parts[0]).startswith("A key pair with this name already exists.")
    quietly.chat.function.delete_key_pairs()
    quietly.later(event)
    assert str(quietly.platform.said[-1][1].parts[0]).startswith("Here is your key pair")
    assert len(quietly.platform.said) == 3
    # Given is given: what goes wrong with a further repetition is nobody's concern.
    message = Message.model_validate_json(event["body"])
    invocation = Invocation.begin(None, {}, quietly.chat.function.clock.clock())
    quietly.chat.function.services.bot.report_failure(Job(message, NOON), NameTaken(), invocation)
    assert len(quietly.platform.said) == 3


def test_bad_signatures_do_not_block_a_platform(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """All customers of a platform share its addresses."""
    policy = {**chat_policy("quiet", "t", USERS), "failed_rate": "1/minute"}
    with running_quietly(emulator, tmp_path, policy=policy) as quietly:
        bad = {**quietly.message("help"), "headers": {"x-proof": "bad", "x-scf-remote-addr": "203.0.113.7"}}
        assert [quietly.send(bad).status for _ in range(5)] == [401] * 5
        good = {**quietly.message("help"), "headers": {"x-proof": "good", "x-scf-remote-addr": "203.0.113.7"}}
        assert quietly.send(good).status == 200
        assert len(quietly.platform.said) == 1


@pytest.mark.parametrize(
    "private",
    [
        '{"kty":"EC","crv":"P-256","d":"c2VjcmV0"}',
        "PuTTY-User-Key-File-3: ssh-ed25519",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "AGE-SECRET-KEY-1QQQ",
    ],
)
def test_a_private_key_goes_into_no_event(private: str, quietly: Quietly) -> None:
    before = quietly.creates()
    # Refused while the message is heard: what has been handed on is only worked on by `work`.
    quietly.chat.send(quietly.message(f"/keypair {fresh_name()} for {private}"))
    assert quietly.chat.decisions() == [("quiet", "refused", "recipient-private-key")]
    ((_, reply),) = quietly.platform.said
    assert private not in str(reply)
    assert quietly.creates() == before


def test_a_caller_removed_from_the_policy_gets_nothing(quietly: Quietly) -> None:
    message = Message.model_validate_json(quietly.message("/keypair a", "gone")["body"])
    before = quietly.creates()
    jobs = quietly.chat.function.services.bot.jobs
    answer = quietly.chat.send(json.loads(jobs.start(message)))
    assert answer.status == 403
    assert str(quietly.platform.said[0][1].parts[0]).startswith("You are not registered yet.")
    assert quietly.creates() == before


def test_published_keys(emulator: EmulatorProcess, tmp_path: Path) -> None:
    with (
        running_place(tmp_path / "tls") as place,
        running_quietly(
            emulator,
            tmp_path,
            published_keys=lambda places: PublishedKeys(
                places, place.resolve, place.dial, str(place.authority)
            ),
        ) as quietly,
    ):
        key = ed25519.Ed25519PrivateKey.generate()
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
        place.publish(f"sk-ssh-ed25519@openssh.com AAAA\n{line.decode()}\n")
        said = quietly.tell(f"/keypair {fresh_name()} for place:alice")
        _, reply = quietly.platform.said[-1]
        assert "Skipped, because I cannot encrypt to them: sk-ssh-ed25519@openssh.com" in reply.parts
        assert f"Encrypted to: SHA256:{base64.b64encode(digest).decode().rstrip('=')}" in said
        _, envelope, _ = [part.text for part in quietly.platform.said[-1][1].parts if isinstance(part, Block)]
        assert pyrage.decrypt(envelope.encode(), [pyrage.ssh.Identity.from_buffer(private)])
        assert quietly.tell("/keypair a for place:bob").startswith("I found no SSH key")
        place.addresses = ["127.0.0.1"]
        assert quietly.tell("/keypair a for place:alice").startswith("I could not fetch the public keys.")
        place.addresses = [PUBLIC]
        quietly.platform.deaf = 1

        def taken_away() -> None:
            place.publish("")

        quietly.platform.meanwhile = taken_away
        created = quietly.creates()
        # What was sealed to the keys of then is given, whatever is published now.
        assert quietly.tell(f"/keypair {fresh_name()} for place:alice").startswith("Here is your key pair")
        assert quietly.creates() == created + 1
        place.asked.clear()
        assert quietly.tell("/keypair a for place:alice", "pinned").startswith("You cannot bring")
        assert place.asked == []


def test_a_key_pair_that_does_not_expire(emulator: EmulatorProcess, tmp_path: Path) -> None:
    policy = chat_policy("quiet", "t", USERS)
    for caller in policy["callers"].values():
        caller["grants"] = [{**caller["grants"][0], "longest_expiry": None}]
    with running_quietly(emulator, tmp_path, policy=policy) as quietly:
        assert "Expires" not in quietly.tell(f"/keypair {fresh_name()}")
        assert "Expires: 2026-11-24T13:00:00Z" in quietly.tell(f"/keypair {fresh_name()} expires 1h")


def test_the_rate_counts_authenticated_messages(quietly: Quietly) -> None:
    quietly.tell("help", "slow")
    assert quietly.tell("help", "slow").startswith("Too many requests.")
    assert quietly.tell("help", "free").startswith("I create SSH key pairs")
