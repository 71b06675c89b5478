"""What somebody else may send to the place of DingTalk's messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.dingtalk_stand_in import CORP, FREE, WEBHOOK, sign
from tests.support.function_under_test import RECIPIENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.dingtalk_stand_in import DingTalk

OTHER_SECRET = "Jf6hGx0nA1bT9-wQ2eR5yU8iO3pL7kDsZ_cVvXmM4NqBtHrY6gWjKuEoPaSdF1lD"


@dataclass(frozen=True)
class Attack:
    name: str
    event: Callable[[DingTalk], dict[str, Any]]
    status: int
    reason: str


def headed(**headers: str | None) -> Callable[[DingTalk], dict[str, Any]]:
    """Set headers after signing; None takes one away."""

    def event(dingtalk: DingTalk) -> dict[str, Any]:
        signed = dingtalk.command("/keypair web_1")
        sent = {**signed["headers"], **{name.replace("_", "-"): value for name, value in headers.items()}}
        return {**signed, "headers": {name: value for name, value in sent.items() if value is not None}}

    return event


def at(offset: int) -> Callable[[DingTalk], dict[str, Any]]:
    """Sign for a time so many milliseconds from now."""
    return lambda dingtalk: {
        **(event := dingtalk.command("/keypair web_1")),
        "headers": {**event["headers"], **dingtalk.pair(offset)},
    }


def timed(timestamp: str) -> Callable[[DingTalk], dict[str, Any]]:
    """Sign for whatever stands for a time."""

    def event(dingtalk: DingTalk) -> dict[str, Any]:
        signed = dingtalk.command("/keypair web_1")
        pair = {"timestamp": timestamp, "sign": sign(timestamp)}
        return {**signed, "headers": {**signed["headers"], **pair}}

    return event


def changed(**members: object) -> Callable[[DingTalk], dict[str, Any]]:
    """Exchange members of the message; None takes one away."""
    return lambda dingtalk: dingtalk.event(json.dumps(dingtalk.message("/keypair web_1", FREE, **members)))


def saying(text: str) -> Callable[[DingTalk], dict[str, Any]]:
    """Say something else."""
    return changed(text={"content": text})


def written(
    body: Callable[[str], str], content_type: str | None = None
) -> Callable[[DingTalk], dict[str, Any]]:
    """Change the text of the message."""
    return lambda dingtalk: dingtalk.event(
        body(json.dumps(dingtalk.message("/keypair web_1"))), content_type=content_type
    )


def by_another(dingtalk: DingTalk) -> dict[str, Any]:
    timestamp = str(dingtalk.now())
    event = dingtalk.command("/keypair web_1")
    return {
        **event,
        "headers": {**event["headers"], "timestamp": timestamp, "sign": sign(timestamp, OTHER_SECRET)},
    }


def of_another_time(dingtalk: DingTalk) -> dict[str, Any]:
    event = dingtalk.command("/keypair web_1")
    return {**event, "headers": {**event["headers"], "timestamp": str(dingtalk.now() + 1)}}


def half_signed(dingtalk: DingTalk) -> dict[str, Any]:
    event = dingtalk.command("/keypair web_1")
    return {**event, "headers": {**event["headers"], "sign": event["headers"]["sign"][:22]}}


def signed_in_lower_case(dingtalk: DingTalk) -> dict[str, Any]:
    event = dingtalk.command("/keypair web_1")
    return {**event, "headers": {**event["headers"], "sign": event["headers"]["sign"].lower()}}


def not_utf8(dingtalk: DingTalk) -> dict[str, Any]:
    return {**dingtalk.event("/w=="), "isBase64Encoded": True}


def ended(left: int) -> Callable[[DingTalk], dict[str, Any]]:
    """Send a message whose webhook is good for so many milliseconds."""
    return lambda dingtalk: dingtalk.command(
        "/keypair web_1", sessionWebhookExpiredTime=dingtalk.now() + left
    )


ATTACKS = [
    Attack("too old", at(-300_001), 401, "dingtalk-time"),
    Attack("within the hour of the platform", at(-3_000_000), 401, "dingtalk-time"),
    Attack("of the future", at(300_001), 401, "dingtalk-time"),
    Attack("of 1970", timed("0"), 401, "dingtalk-time"),
    Attack("time in seconds", timed("1795521600"), 401, "dingtalk-time"),
    Attack("no time", headed(timestamp=None), 401, "dingtalk-timestamp"),
    Attack("time no number", timed("soon"), 401, "dingtalk-timestamp"),
    Attack("time negative", timed("-1795521600000"), 401, "dingtalk-timestamp"),
    Attack("time with a fraction", timed("1795521600000.0"), 401, "dingtalk-timestamp"),
    Attack("time with blanks", timed(" 1795521600000"), 401, "dingtalk-timestamp"),
    Attack("time in other digits", timed("\uff11" * 13), 401, "dingtalk-timestamp"),
    Attack("time endless", headed(timestamp="1" * 5000), 401, "dingtalk-timestamp"),
    Attack("time of the next millisecond", of_another_time, 401, "dingtalk-sign"),
    Attack("time with a zero before it", headed(timestamp="01795521600000"), 401, "dingtalk-sign"),
    Attack("no signature", headed(sign=None), 401, "dingtalk-sign"),
    Attack("empty signature", headed(sign=""), 401, "dingtalk-sign"),
    Attack("made-up signature", headed(sign="A" * 43 + "="), 401, "dingtalk-sign"),
    Attack("signature of no ASCII", headed(sign="ß" * 22), 401, "dingtalk-sign"),
    Attack("half a signature", half_signed, 401, "dingtalk-sign"),
    Attack("signature in lower case", signed_in_lower_case, 401, "dingtalk-sign"),
    Attack("signature endless", headed(sign="A" * 10_000), 401, "dingtalk-sign"),
    Attack("under another secret", by_another, 401, "dingtalk-sign"),
    Attack("other company", changed(senderCorpId="ding0000"), 200, "unregistered"),
    Attack("other user", changed(senderStaffId="nobody"), 200, "unregistered"),
    Attack("company and user exchanged", changed(senderCorpId=FREE, senderStaffId=CORP), 200, "unregistered"),
    Attack("user in other letters", changed(senderStaffId="MANAGER4220"), 200, "unregistered"),
    Attack("by nickname", changed(senderStaffId=None, senderNick=FREE), 400, "dingtalk-fields"),
    Attack("company with a line end", changed(senderCorpId=CORP + "\n"), 400, "dingtalk-fields"),
    Attack("user with half a character", changed(senderStaffId="\ud800"), 400, "dingtalk-fields"),
    Attack("user a list", changed(senderStaffId=[FREE]), 400, "dingtalk-fields"),
    Attack("user a number", changed(senderStaffId=int(FREE)), 400, "dingtalk-fields"),
    Attack("no company", changed(senderCorpId=None), 400, "dingtalk-fields"),
    Attack("no message id", changed(msgId=None), 400, "dingtalk-fields"),
    Attack("message id endless", changed(msgId="x" * 129), 400, "dingtalk-fields"),
    Attack("group", changed(conversationType="2"), 200, "chat-not-private"),
    Attack("other conversation", changed(conversationType="3"), 400, "dingtalk-fields"),
    Attack("conversation a number", changed(conversationType=1), 400, "dingtalk-fields"),
    Attack("no conversation", changed(conversationType=None), 400, "dingtalk-fields"),
    Attack("text a number", changed(text={"content": 1}), 400, "dingtalk-fields"),
    Attack("text without content", changed(text={}), 400, "dingtalk-fields"),
    Attack("picture", changed(text=None, msgtype="picture"), 200, "command-other"),
    Attack("no webhook", changed(sessionWebhook=None), 400, "dingtalk-fields"),
    *(
        Attack(f"webhook {url}", changed(sessionWebhook=url), 400, "dingtalk-fields")
        for url in (
            "",
            "http://oapi.dingtalk.com/robot/sendBySession?session=x",
            "https://oapi.dingtalk.com.evil.example/robot/sendBySession?session=x",
            "https://oapi.dingtalk.com@evil.example/robot/sendBySession?session=x",
            "https://evil.example/?https://oapi.dingtalk.com/robot/sendBySession?session=x",
            "https://oapi.dingtalk.com:8443/robot/sendBySession?session=x",
            "https://OAPI.dingtalk.com/robot/sendBySession?session=x",
            "https://oapi.dingtalk.com//evil.example/robot/sendBySession?session=x",
            "https://oapi.dingtalk.com/robot/send?access_token=x",
            "https://oapi.dingtalk.com/robot/../topapi/x?session=x",
            WEBHOOK,
            WEBHOOK + "x&access_token=y",
            WEBHOOK + "x#y",
            WEBHOOK + "x y",
            WEBHOOK + "x\r\nHost: evil.example",
            WEBHOOK + "x\n",
            WEBHOOK + "x" * 257,
            "https://169.254.0.23/robot/sendBySession?session=x",
        )
    ),
    Attack("webhook that has ended", ended(0), 400, "dingtalk-session-ended"),
    Attack("webhook that ends too soon", ended(59_999), 400, "dingtalk-session-ended"),
    Attack("no end", changed(sessionWebhookExpiredTime=None), 400, "dingtalk-fields"),
    Attack("end in words", changed(sessionWebhookExpiredTime="soon"), 400, "dingtalk-fields"),
    Attack("end before 1970", changed(sessionWebhookExpiredTime=-1), 400, "dingtalk-fields"),
    Attack("endless end", changed(sessionWebhookExpiredTime=10**14), 400, "dingtalk-fields"),
    Attack(
        "form",
        written(lambda _: "text=x", "application/x-www-form-urlencoded"),
        415,
        "unsupported-media-type",
    ),
    Attack("no content type", headed(content_type=None), 415, "unsupported-media-type"),
    Attack("no body", written(lambda _: ""), 400, "json"),
    Attack("no JSON", written(lambda _: "hello"), 400, "json"),
    Attack("not UTF-8", not_utf8, 400, "json"),
    Attack("a list", written(lambda _: "[]"), 400, "json-object"),
    Attack("nested deeply", written(lambda _: "[" * 30_000), 400, "json"),
    Attack("a member twice", written(lambda body: body[:-1] + f', "senderStaffId": "{FREE}"}}'), 400, "json"),
    Attack("an endless text", saying("/keypair " + "web_1 " * 4000), 200, "command-long"),
    Attack("half a character", saying("/keypair \ud800"), 200, "command-other"),
    Attack("control characters", saying("/keypair web_1\x00"), 200, "command-name"),
    Attack("a private key", saying("/keypair web_1 for AGE-SECRET-KEY-1X"), 200, "recipient-private-key"),
]
"""Refused at once."""

FORGED_RECIPIENTS = [
    str(RECIPIENT.to_public()),
    "github:alice",
    "hello",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==",
]
"""Whatever stands there, it is taken from nobody."""
