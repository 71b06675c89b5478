"""What somebody else may send to the place of Feishu's events."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.feishu_length_extension import extended
from tests.support.feishu_stand_in import (
    APP_ID,
    ENCRYPT_KEY,
    FREE,
    PINNED,
    TENANT,
    challenge,
    encrypted,
    encrypted_blocks,
    signature,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.feishu_stand_in import Feishu

OTHER_KEY = "another-encrypt-key"
_GONE = object()


@dataclass(frozen=True)
class Attack:
    name: str
    event: Callable[[Feishu], dict[str, Any]]
    status: int
    reason: str


def changed(path: str, value: object = _GONE) -> Callable[[Feishu], dict[str, Any]]:
    """Sign an event with another value, or none, at a place such as `header.app_id`."""

    def event(feishu: Feishu) -> dict[str, Any]:
        push = copy.deepcopy(feishu.push("/keypair web_1"))
        *parents, name = path.split(".")
        place = push
        for parent in parents:
            place = place[parent]
        if value is _GONE:
            del place[name]
        else:
            place[name] = value
        return feishu.pushed(push)

    return event


def headed(**headers: str | None) -> Callable[[Feishu], dict[str, Any]]:
    """Set headers after signing; None takes one away."""
    return lambda feishu: feishu.pushed(feishu.push("/keypair web_1"), **headers)


def at(offset: int) -> Callable[[Feishu], dict[str, Any]]:
    """Sign for another time."""
    return lambda feishu: feishu.pushed(
        feishu.push("/keypair web_1"), timestamp=str(int(feishu.chat.function.clock.time) + offset)
    )


def signed(body: str) -> Callable[[Feishu], dict[str, Any]]:
    return lambda feishu: feishu.event(body)


def sealed(plaintext: str) -> Callable[[Feishu], dict[str, Any]]:
    """Encrypt and sign."""
    return signed(json.dumps({"encrypt": encrypted(plaintext.encode())}))


def unsigned(body: str) -> Callable[[Feishu], dict[str, Any]]:
    return lambda feishu: feishu.unsigned(body)


def afterwards(**parts: object) -> Callable[[Feishu], dict[str, Any]]:
    """Change the event of a signed message."""
    return lambda feishu: {**feishu.message("/keypair web_1"), **parts}


def captured_headers(feishu: Feishu) -> dict[str, Any]:
    """Put the headers of one message on another."""
    return {**feishu.message("/keypair web_2"), "headers": feishu.message("/keypair web_1")["headers"]}


def by_another(feishu: Feishu) -> dict[str, Any]:
    push = json.dumps(feishu.push("/keypair web_1")).encode()
    return feishu.event(json.dumps({"encrypt": encrypted(push, OTHER_KEY)}), key=OTHER_KEY)


def otherwise_encrypted(feishu: Feishu) -> dict[str, Any]:
    push = json.dumps(feishu.push("/keypair web_1")).encode()
    return feishu.event(json.dumps({"encrypt": encrypted(push, OTHER_KEY)}))


def unsigned_message(feishu: Feishu) -> dict[str, Any]:
    return feishu.unsigned(feishu.message("/keypair web_1")["body"])


def plain_unsigned_message(feishu: Feishu) -> dict[str, Any]:
    return feishu.unsigned(json.dumps(feishu.push("/keypair web_1")))


def moved(digits: int) -> Callable[[Feishu], dict[str, Any]]:
    """Move the border between timestamp and nonce, over which nothing is signed."""

    def event(feishu: Feishu) -> dict[str, Any]:
        time = str(int(feishu.chat.function.clock.time))
        both = time + "123456789"
        length = len(time) + digits
        body = feishu.message("/keypair web_1")["body"]
        forged = signature(time, "123456789", body)
        return feishu.event(body, timestamp=both[:length], nonce=both[length:], x_lark_signature=forged)

    return event


def appended(feishu: Feishu) -> dict[str, Any]:
    """Append to a signed body without knowing the key (length extension)."""
    event = feishu.message("/keypair web_1")
    headers = event["headers"]
    known = headers["x-lark-request-timestamp"] + headers["x-lark-request-nonce"] + event["body"]
    more, digest = extended(
        headers["x-lark-signature"],
        len(known) + len(ENCRYPT_KEY),
        b',"encrypt":"' + encrypted(b"{}", OTHER_KEY).encode() + b'"}',
    )
    return {
        **event,
        "headers": {**headers, "x-lark-signature": digest},
        "body": base64.b64encode(event["body"].encode() + more).decode(),
        "isBase64Encoded": True,
    }


def flipped(feishu: Feishu) -> dict[str, Any]:
    """Turn one bit of the vector, and so one of the first block; nothing but the signature shows it."""
    event = feishu.message("/keypair web_1")
    raw = bytearray(base64.b64decode(json.loads(event["body"])["encrypt"]))
    raw[0] ^= 1
    return {**event, "body": json.dumps({"encrypt": base64.b64encode(raw).decode()})}


def written(content: str) -> Callable[[Feishu], dict[str, Any]]:
    return changed("event.message.content", content)


def with_a_line_end(feishu: Feishu) -> dict[str, Any]:
    """Write the base64 as two lines; another reader might take the first alone."""
    text = encrypted(json.dumps(feishu.push("/keypair web_1")).encode())
    return feishu.event(json.dumps({"encrypt": f"{text[:64]}\n{text[64:]}"}))


LONG = base64.b64encode(bytes(48)).decode()
ATTACKS = [
    Attack("too old", at(-301), 401, "feishu-time"),
    Attack("of the future", at(301), 401, "feishu-time"),
    Attack("no timestamp", headed(x_lark_request_timestamp=None), 401, "feishu-timestamp"),
    Attack("timestamp no number", headed(x_lark_request_timestamp="soon"), 401, "feishu-timestamp"),
    Attack("timestamp in ms", headed(x_lark_request_timestamp="1795521600000"), 401, "feishu-timestamp"),
    Attack("timestamp with a sign", headed(x_lark_request_timestamp="+179552160"), 401, "feishu-timestamp"),
    Attack("timestamp with zeros", headed(x_lark_request_timestamp="0179552160"), 401, "feishu-timestamp"),
    Attack(
        "timestamp in other digits", headed(x_lark_request_timestamp="\uff11" * 10), 401, "feishu-timestamp"
    ),
    Attack("timestamp endless", headed(x_lark_request_timestamp="1" * 5000), 401, "feishu-timestamp"),
    Attack("the next second", headed(x_lark_request_timestamp="1795521601"), 401, "feishu-signature"),
    Attack("no nonce", headed(x_lark_request_nonce=None), 401, "feishu-nonce"),
    Attack("nonce endless", headed(x_lark_request_nonce="1" * 129), 401, "feishu-nonce"),
    Attack("nonce of no ASCII", headed(x_lark_request_nonce="ß"), 401, "feishu-nonce"),
    Attack("another nonce", headed(x_lark_request_nonce="1"), 401, "feishu-signature"),
    Attack("a digit from nonce to timestamp", moved(1), 401, "feishu-timestamp"),
    Attack("a digit from timestamp to nonce", moved(-1), 401, "feishu-timestamp"),
    Attack("empty signature", headed(x_lark_signature=""), 401, "feishu-signature"),
    Attack("made-up signature", headed(x_lark_signature="0" * 64), 401, "feishu-signature"),
    Attack("signature of no ASCII", headed(x_lark_signature="ß" * 64), 401, "feishu-signature"),
    Attack("under another key", by_another, 401, "feishu-signature"),
    Attack("one bit of the vector", flipped, 401, "feishu-signature"),
    Attack("no body", afterwards(body=""), 401, "feishu-signature"),
    Attack("captured headers on another message", captured_headers, 401, "feishu-signature"),
    Attack("a message without signature", unsigned_message, 401, "feishu-unsigned"),
    Attack("a plain message without signature", plain_unsigned_message, 401, "feishu-unsigned"),
    Attack("appended to a signed body", appended, 400, "json"),
    # Challenges: whatever is wrong looks the same.
    Attack("challenge, other token", unsigned(json.dumps(challenge(token="x"))), 401, "feishu-unsigned"),
    Attack(
        "challenge, token of no ASCII",
        unsigned(json.dumps(challenge(token="\ud800"))),
        401,
        "feishu-unsigned",
    ),
    Attack("challenge, no token", unsigned(json.dumps(challenge(token=None))), 401, "feishu-unsigned"),
    Attack("challenge, no text", unsigned(json.dumps(challenge(challenge={}))), 401, "feishu-unsigned"),
    Attack("challenge, a page", unsigned(json.dumps(challenge(challenge="x" * 513))), 401, "feishu-unsigned"),
    Attack("challenge, other type", unsigned(json.dumps(challenge(type="event"))), 401, "feishu-unsigned"),
    Attack("challenge, no JSON", unsigned("hello"), 401, "feishu-unsigned"),
    Attack("challenge, no body", unsigned(""), 401, "feishu-unsigned"),
    Attack("challenge, no base64", unsigned('{"encrypt":"!"}'), 401, "feishu-unsigned"),
    Attack("challenge, wrong padding", unsigned(json.dumps({"encrypt": LONG})), 401, "feishu-unsigned"),
    Attack(
        "challenge, right padding", unsigned(json.dumps({"encrypt": encrypted(b"x")})), 401, "feishu-unsigned"
    ),
    Attack(
        "challenge, another's",
        unsigned(json.dumps({"encrypt": encrypted(json.dumps(challenge(token="x")).encode())})),
        401,
        "feishu-unsigned",
    ),
    # Signed by somebody who has the key: another app, or a fault.
    Attack("otherwise encrypted", otherwise_encrypted, 400, "feishu-encrypt"),
    Attack("no base64", signed('{"encrypt":"a b="}'), 400, "feishu-encrypt"),
    Attack("base64 in lines", with_a_line_end, 400, "feishu-encrypt"),
    Attack("base64 of no ASCII", signed('{"encrypt":"ßßßß"}'), 400, "feishu-encrypt"),
    Attack("nothing encrypted", signed('{"encrypt":""}'), 400, "feishu-encrypt"),
    Attack("a vector alone", signed(json.dumps({"encrypt": LONG[:22] + "=="})), 400, "feishu-encrypt"),
    Attack("half a block", signed(json.dumps({"encrypt": LONG[:32]})), 400, "feishu-encrypt"),
    *(
        Attack(
            f"padding {end.hex()}",
            signed(json.dumps({"encrypt": encrypted_blocks(b"{}".ljust(16 - len(end)) + end)})),
            400,
            "feishu-encrypt",
        )
        for end in (b"\x00", b"\x11", b"\x01\x02", b"\x02\x03\x03", b"\xff")
    ),
    Attack("no object within", sealed("[]"), 400, "json-object"),
    Attack("no JSON within", sealed("hello"), 400, "json"),
    Attack("a member twice", sealed('{"schema":"2.0","schema":"2.0"}'), 400, "json"),
    Attack("nested without end", sealed("[" * 9000), 400, "json"),
    Attack("encrypted twice", sealed(json.dumps({"encrypt": encrypted(b"{}")})), 400, "feishu-event"),
    Attack("encrypt is no text", signed('{"encrypt":1}'), 400, "feishu-event"),
    Attack("nothing", signed("{}"), 400, "feishu-event"),
    Attack("not UTF-8", afterwards(body="eyJ4Ijoi/yJ9", isBase64Encoded=True), 401, "feishu-signature"),
    Attack("a form", headed(content_type="application/x-www-form-urlencoded"), 415, "unsupported-media-type"),
    Attack("no content type", headed(content_type=None), 415, "unsupported-media-type"),
    Attack("a signed challenge", sealed(json.dumps(challenge())), 400, "feishu-event"),
    Attack("an event of version 1", changed("schema"), 400, "feishu-event"),
    Attack("another event", changed("header.event_type", "im.message.message_read_v1"), 400, "feishu-event"),
    Attack("other token", changed("header.token", "x"), 401, "feishu-token"),
    Attack("no token", changed("header.token"), 400, "feishu-event"),
    Attack("other app", changed("header.app_id", APP_ID + "0"), 401, "feishu-app"),
    Attack("no app", changed("header.app_id"), 400, "feishu-event"),
    Attack("other tenant", changed("event.sender.tenant_key", "2ca1d211f64f6438"), 200, "unregistered"),
    Attack("tenant with a line end", changed("event.sender.tenant_key", TENANT + "\n"), 400, "feishu-event"),
    Attack("no tenant", changed("event.sender.tenant_key"), 400, "feishu-event"),
    Attack("other user", changed("event.sender.sender_id.open_id", "ou_other"), 200, "unregistered"),
    Attack(
        "user in capitals",
        changed("event.sender.sender_id.open_id", "ou_" + FREE[3:].upper()),
        200,
        "unregistered",
    ),
    Attack("user id for open id", changed("event.sender.sender_id", {"user_id": FREE}), 400, "feishu-event"),
    Attack("user with a path", changed("event.sender.sender_id.open_id", "ou_/../x"), 400, "feishu-event"),
    Attack("users in a list", changed("event.sender.sender_id.open_id", [FREE, PINNED]), 400, "feishu-event"),
    Attack("a bot", changed("event.sender.sender_type", "app"), 400, "feishu-event"),
    Attack("no message id", changed("event.message.message_id"), 400, "feishu-event"),
    Attack("endless message id", changed("event.message.message_id", "om_" + "x" * 126), 400, "feishu-event"),
    Attack("no chat type", changed("event.message.chat_type"), 400, "feishu-event"),
    Attack("a group", changed("event.message.chat_type", "group"), 200, "chat-not-private"),
    Attack("some new chat type", changed("event.message.chat_type", "P2P"), 200, "chat-not-private"),
    Attack("a picture", changed("event.message.message_type", "image"), 200, "command-other"),
    Attack("content is no JSON", written("/keypair web_1"), 400, "json"),
    Attack("content without text", written('{"title":"/keypair web_1"}'), 400, "feishu-content"),
    Attack("content of a half character", written("\ud800"), 400, "json"),
    Attack("text of a half character", written('{"text":"/keypair web_1 \\ud800"}'), 200, "command-other"),
    Attack("an endless text", written(json.dumps({"text": "/keypair web_1 " * 1400})), 200, "command-long"),
    Attack("control characters", written('{"text":"/keypair web_1\\u0000"}'), 200, "command-name"),
]
