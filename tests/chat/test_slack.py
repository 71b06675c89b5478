"""Slack: commands signed by Slack's own SDK, and answers that a stand-in of Slack takes."""

from __future__ import annotations

import html
import json
import re
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from handler.scf.invocation import MAX_INVOCATION_SECONDS
from tests.support.chat_function import PUBLIC_URL, TrueClock, chat_policy, check_transcript
from tests.support.function_under_test import RECIPIENT, REGISTERED, fresh_name
from tests.support.slack_attacks import ATTACKS
from tests.support.slack_stand_in import TEAM, USERS, Slack, running_slack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.slack_attacks import Attack

WORKING = "Working on it. Only you will see the answer."


@pytest.fixture
def slack(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Slack]:
    with running_slack(emulator, tmp_path) as running:
        yield running


def blocks(text: str) -> list[str]:
    """Return what stands in code blocks, as Slack shows it."""
    return [html.unescape(block) for block in re.findall(r"```\n(.*?)\n```", text, re.DOTALL)]


def opened(folder: Path, name: str, envelope: str, command: str) -> str:
    """Do what the reply says, in a folder with the identity in it; return the private key."""
    (folder / f"{name}.age").write_text(envelope + "\n")
    subprocess.run(["bash", "-c", command], cwd=folder, check=True, timeout=20)
    return (folder / f"{name}.pem").read_text()


def test_a_command_makes_a_key_pair(slack: Slack, tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text(f"{RECIPIENT}\n")
    name = fresh_name()
    answer = slack.chat.send(slack.command(f"{name} for {RECIPIENT.to_public()} expires 30d"))
    assert (answer.status, answer.json) == (200, {"response_type": "ephemeral", "text": WORKING})
    assert answer.headers["Content-Type"] == "application/json"
    slack.chat.work()
    (posted,) = slack.stand_in.posted
    text = posted.payload["text"]
    public_key, envelope, command = blocks(text)
    private_key = opened(tmp_path, name, envelope, command)
    assert private_key in slack.chat.function.emulator.private_keys()
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-f", f"{name}.pem"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert derived.stdout.split()[:2] == public_key.split()[:2]
    (key_pair,) = slack.chat.function.emulator.key_pairs()
    assert text.splitlines()[:3] == [
        f"Here is your key pair: `{name}`", "Region: ap-guangzhou", f"Key ID: {key_pair['KeyId']}"
    ]  # fmt: skip
    tags = {tag["Key"]: tag["Value"] for tag in key_pair["Tags"]}
    assert tags["keypair-function:caller"] == "caller-U2CERLKJA"
    assert "keypair-function:expires-day" in tags
    assert slack.chat.decisions() == [("slack", "intent", None), ("slack", "issued", None)]
    for line in slack.chat.function.audit_lines():
        assert (line["caller"], line["keyName"]) == ("caller-U2CERLKJA", name)
    assert private_key not in json.dumps(slack.chat.function.audit.getvalue()) + text


def test_without_a_recipient_the_registered_one_is_taken(slack: Slack) -> None:
    for user in ("U2PINNED", "U2CERLKJA"):
        _, envelope, _ = blocks(slack.said(fresh_name(), user))
        assert pyrage.decrypt(envelope.encode(), [REGISTERED])


def test_an_envelope_that_is_too_long_is_picked_up(slack: Slack, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 3072)
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    identity = tmp_path / ".ssh" / "id_rsa"
    identity.parent.mkdir()
    identity.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    name = fresh_name()
    _, fetch, command = blocks(slack.said(f"{name} for {line}"))
    link = re.fullmatch(rf"curl -fsS -X POST -o {name}\.age ({PUBLIC_URL}/pickup/[A-Za-z0-9_-]{{43}})", fetch)
    assert link is not None
    event: dict[str, object] = {"httpMethod": "POST", "path": link[1].removeprefix(PUBLIC_URL), "headers": {}}
    picked_up = slack.chat.send(event)
    assert picked_up.status == 200
    assert picked_up.headers["Content-Disposition"] == f'attachment; filename="{name}.age"'
    private_key = opened(tmp_path, name, picked_up.body.rstrip("\n"), f"HOME={tmp_path}; {command}")
    assert private_key in slack.chat.function.emulator.private_keys()
    assert slack.chat.send(event).status == 410
    assert slack.chat.decisions() == [
        ("slack", "intent", None),
        ("slack", "issued", None),
        ("pickup", "replayed", None),
        ("pickup", "refused", "picked-up"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "I create SSH key pairs in Tencent Cloud"),
        ("help", "I create SSH key pairs in Tencent Cloud"),
        ("帮助", "我会在腾讯云创建 SSH 密钥对"),
    ],
)
def test_help(slack: Slack, text: str, said: str) -> None:
    answer = slack.chat.send(slack.command(text))
    assert answer.status == 200
    assert answer.json["text"].startswith(said)
    assert slack.chat.decisions() == []


@pytest.mark.parametrize(
    ("text", "user", "said", "reason"),
    [
        ("web-1", "U2CERLKJA", "A key name has 1 to 25 letters,", "command-name"),
        ("a b", "U2CERLKJA", "I do not understand the word after the name.", "command-word"),
        ("a for", "U2CERLKJA", "The public key after `for` is missing.", "command-recipient"),
        ("a in x", "U2CERLKJA", "That is not a region.", "command-region"),
        ("a expires x", "U2CERLKJA", "That is not a duration.", "command-expiry"),
        ("a for b for c", "U2CERLKJA", "Part of the command appears twice.", "command-twice"),
        ("密钥 a", "U2CERLKJA", "密钥对名称只能包含字母、数字和下划线，", "command-name"),
        ("a", "U2NOBODY", "You are not registered yet.", "unregistered"),
        ("a for AGE-SECRET-KEY-1X", "U2CERLKJA", "I cannot use this public key.", "recipient-private-key"),
    ],
)
def test_refused_in_the_response(slack: Slack, text: str, user: str, said: str, reason: str) -> None:
    before = slack.chat.function.create_calls()
    answer = slack.chat.send(slack.command(text, user))
    assert answer.status == 200
    assert answer.json["text"].startswith(said)
    assert slack.chat.decisions() == [("slack", "refused", reason)]
    slack.chat.work()
    assert slack.chat.function.create_calls() == before
    assert slack.stand_in.requests == 0


@pytest.mark.parametrize(
    ("text", "user", "said", "reason"),
    [
        ("a for age1x", "U2CERLKJA", "I cannot use this public key.", "recipient-checksum"),
        ("a for hello", "U2CERLKJA", "I cannot use this public key.", "recipient-unknown"),
        (f"a for {RECIPIENT.to_public()}", "U2PINNED", "You cannot bring", "not-granted-own-recipients"),
        ("a for github:alice", "U2PINNED", "You cannot bring", "not-granted-own-recipients"),
        ("a for github:alice", "U2CERLKJA", "I found no SSH key", "keys-place-unknown"),
        ("a in ap-tokyo", "U2PINNED", "The policy does not allow this.", "not-granted-region"),
        ("a expires 31d", "U2PINNED", "The policy allows only a shorter lifetime", "not-granted-expiry"),
    ],
)
def test_refused_by_the_job(slack: Slack, text: str, user: str, said: str, reason: str) -> None:
    before = slack.chat.function.create_calls()
    assert slack.said(text, user).startswith(said)
    assert slack.chat.decisions() == [("slack", "refused", reason)]
    assert slack.chat.function.create_calls() == before


def test_who_is_not_registered_is_told_what_to_register(slack: Slack) -> None:
    answer = slack.chat.send(slack.command("a", "U9"))
    assert blocks(answer.json["text"]) == [f'platform = "slack"\ntenant = "{TEAM}"\nuser = "U9"']


def test_a_name_that_is_taken(slack: Slack) -> None:
    name = fresh_name()
    slack.said(name)
    assert slack.said(name) == "A key pair with this name already exists. Choose another name."


def test_a_caller_who_asks_too_often(slack: Slack) -> None:
    slack.said(fresh_name(), "U2SLOW")
    assert slack.said(fresh_name(), "U2SLOW").startswith("Too many requests.")
    assert slack.chat.decisions()[-1] == ("slack", "refused", "rate-caller")
    assert slack.said("help", "U2SLOW").startswith("Too many requests.")


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_forged_requests_are_refused(slack: Slack, attack: Attack) -> None:
    before = slack.chat.function.create_calls()
    answer = slack.chat.send(attack.event(slack))
    slack.chat.work()
    assert answer.status == attack.status
    assert slack.chat.decisions() == [("slack", "refused", attack.reason)]
    assert slack.chat.function.create_calls() == before
    assert slack.stand_in.requests == 0


def test_a_command_that_is_sent_again_makes_no_second_key_pair(slack: Slack) -> None:
    event = slack.command(fresh_name())
    before = slack.chat.function.create_calls()
    for pause in (0, 1, MAX_INVOCATION_SECONDS):
        slack.chat.function.clock.time += pause
        assert slack.chat.send(event).status == 200
        slack.chat.work()
    assert slack.chat.function.create_calls() == before + 1
    assert len(slack.stand_in.posted) == 1
    assert [decision for _, decision, _ in slack.chat.decisions()] == [
        "intent",
        "issued",
        "replayed",
    ]


def test_another_command_under_a_trigger_that_was_used(slack: Slack) -> None:
    fields = slack.fields(fresh_name())
    slack.chat.send(slack.event(urlencode(fields)))
    slack.chat.work()
    before = slack.chat.function.create_calls()
    slack.chat.send(slack.event(urlencode({**fields, "text": fresh_name()})))
    slack.chat.work()
    assert slack.chat.decisions()[-1] == ("slack", "refused", "idempotency-key-reused")
    assert slack.chat.function.create_calls() == before
    assert len(slack.stand_in.posted) == 1


def test_the_acknowledgement_does_not_wait_for_the_cloud(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """Slack's retries make no second key pair. In real time, with concurrent invocations."""
    with running_slack(emulator, tmp_path, clock=TrueClock(), instances=3) as slack:
        emulator.add_faults({"kind": "delay", "seconds": 5, "after": "before"})
        before = slack.chat.function.create_calls()
        name = fresh_name()
        event = slack.command(name)
        for _ in range(3):
            assert slack.chat.send(event).json["text"] == WORKING
        # The cloud had done nothing yet when all of them were answered.
        assert emulator.key_pairs() == []
        assert slack.stand_in.requests == 0
        slack.chat.work()
        assert [key_pair["KeyName"] for key_pair in emulator.key_pairs()] == [name]
        assert slack.chat.function.create_calls() == before + 1
        (posted,) = slack.stand_in.posted
        assert blocks(posted.payload["text"])[1].startswith("-----BEGIN AGE ENCRYPTED FILE-----")


@pytest.mark.parametrize("troubles", [[(500, b"")], [(429, b""), (503, b"")]])
def test_an_answer_that_slack_does_not_take_at_first(slack: Slack, troubles: list[tuple[int, bytes]]) -> None:
    slack.stand_in.troubles = list(troubles)
    assert "Here is your key pair" in slack.said(fresh_name())
    assert slack.stand_in.requests == len(troubles) + 1


@pytest.mark.parametrize("status", [404, 307, 410])
def test_an_answer_that_slack_does_not_take_at_all(slack: Slack, status: int) -> None:
    """The audit log names the key pair that nobody received."""
    event = slack.command(fresh_name())
    slack.stand_in.troubles = [(status, b"expired_url")] * 2
    slack.chat.send(event)
    slack.chat.work()
    assert slack.stand_in.requests == 2
    assert slack.stand_in.posted == []
    assert slack.chat.decisions() == [
        ("slack", "intent", None),
        ("slack", "issued", None),
        ("slack", "unknown", "reply-not-delivered"),
    ]
    slack.chat.function.clock.time += MAX_INVOCATION_SECONDS + 1
    slack.chat.send(event)
    slack.chat.work()
    assert len(slack.stand_in.posted) == 1


def test_the_vector_that_slack_publishes(slack: Slack) -> None:
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    body = (
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
        "%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    published = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    slack.chat.function.clock.time = 1531420618
    answer = slack.chat.send(slack.event(body, x_slack_signature=published))
    assert answer.status == 200
    assert answer.json["text"].startswith("I create SSH key pairs")
    changed = published[:-1] + "4"
    assert slack.chat.send(slack.event(body, x_slack_signature=changed)).status == 401


@pytest.mark.parametrize("offset", [-300, 300])
def test_a_signature_at_the_edge_of_its_time(slack: Slack, offset: int) -> None:
    timestamp = str(int(slack.chat.function.clock.time) + offset)
    assert slack.chat.send(slack.event(urlencode(slack.fields("help")), timestamp=timestamp)).status == 200


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded; charset=utf-8", "Application/X-WWW-Form-Urlencoded"]
)
def test_content_types_that_slack_may_write(slack: Slack, content_type: str) -> None:
    event = slack.event(urlencode(slack.fields("help")), content_type=content_type)
    assert slack.chat.send(event).status == 200


def test_what_slack_escapes_is_read_as_it_was_written(slack: Slack) -> None:
    """And what Slack would read as markup is escaped in the answer."""
    text = slack.said("a for &lt;b&gt; &amp;amp;")
    assert text.startswith("I cannot use this public key.")
    fields = slack.fields("help")
    assert slack.chat.send(slack.event(urlencode(fields))).json["text"].count("<") == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_other_methods(slack: Slack, method: str) -> None:
    answer = slack.chat.send({**slack.command("a"), "httpMethod": method})
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")


def test_without_its_secret_the_path_answers_404(emulator: EmulatorProcess, tmp_path: Path) -> None:
    with running_slack(emulator, tmp_path, settings={}) as slack:
        assert slack.chat.send(slack.command("a")).status == 404
        assert slack.chat.decisions() == []


def test_a_transcript(emulator: EmulatorProcess, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """`docs/chat-slack.txt` is up to date; `pytest --write-transcripts` rewrites it."""
    policy = chat_policy("slack", TEAM, USERS)
    policy["callers"]["caller-U2CERLKJA"]["grants"][0]["actions"] = ["create", "list", "delete"]
    with running_slack(emulator, tmp_path, policy=policy) as slack:
        said: list[str] = []
        for text, user in (
            ("help", "U2CERLKJA"),
            ("web-1", "U2CERLKJA"),
            ("web_1 for github:alice", "U2PINNED"),
            (f"web_1 for {RECIPIENT.to_public()} expires 30d", "U2CERLKJA"),
            ("web_1", "U2CERLKJA"),
            ("web_2 在 ap-guangzhou 有效期 12h", "U2CERLKJA"),
            ("list", "U2CERLKJA"),
            ("delete web_1", "U2CERLKJA"),
            ("", "U2CERLKJA"),  # the line that the bot has asked for
            ("web_3", "U2STRANGER"),
        ):
            text = text or blocks(said[-1])[0].removeprefix("/keypair ")  # noqa: PLW2901  # as above
            answer = slack.chat.send(slack.command(text, user)).json["text"]
            before = len(slack.stand_in.posted)
            slack.chat.work()
            said += [f"{user}: /keypair {text}", answer]
            said += [f"(a moment later)\n{post.payload['text']}" for post in slack.stand_in.posted[before:]]
    # As Slack shows it.
    check_transcript(pytestconfig, "slack", html.unescape("\n\n".join(said)) + "\n")


@pytest.mark.parametrize("signed", [True, False])
def test_a_check_of_the_certificate_gets_200(signed: bool, slack: Slack) -> None:  # noqa: FBT001  # a column
    event = slack.event("ssl_check=1&token=xyzz0WbapA4vBCDEFasx0q6G")
    if not signed:
        del event["headers"]["x-slack-signature"]
    answer = slack.chat.send(event)
    assert (answer.status, answer.body) == (200, "{}")
    assert slack.chat.function.audit_lines() == []


def test_govslack_has_its_own_address(slack: Slack) -> None:
    fields = slack.fields("help")
    fields["response_url"] = fields["response_url"].replace("slack.com", "slack-gov.com")
    assert slack.chat.send(slack.event(urlencode(fields))).status == 200
    fields["response_url"] = fields["response_url"].replace("slack-gov.com", "slack-gov.com.evil.example")
    assert slack.chat.send(slack.event(urlencode(fields))).status == 400
