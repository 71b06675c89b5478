"""What somebody else may send to the place of a WeCom app's callbacks."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from tests.support.wecom_attacks import KEY, OTHER_KEY, framed, padded, whole
from tests.support.wecom_stand_in import sealed
from tests.support.wecomapp_stand_in import CORP_ID, closed, enveloped, xml

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.wecomapp_stand_in import WeComApp

BOMB = """<!DOCTYPE xml [
 <!ENTITY a "aaaaaaaaaaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">
 <!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;">
]>"""
OUTSIDE = '<!DOCTYPE xml [ <!ENTITY e SYSTEM "file:///etc/passwd"> ]>'


@dataclass(frozen=True)
class Attack:
    name: str
    event: Callable[[WeComApp], dict[str, Any]]
    status: int
    reason: str


def good(app: WeComApp) -> str:
    return xml(app.message("/keypair web_1"))


def changed(**elements: object) -> Callable[[WeComApp], dict[str, Any]]:
    """Send a message with other elements; None takes one away."""

    def event(app: WeComApp) -> dict[str, Any]:
        message = {**app.message("/keypair web_1"), **elements}
        return app.event(closed(xml({name: value for name, value in message.items() if value is not None})))

    return event


def queried(**parameters: str | None) -> Callable[[WeComApp], dict[str, Any]]:
    """Set parameters after signing; None takes one away."""
    return lambda app: with_query(app.command("/keypair web_1"), **parameters)


def handshake(**parameters: str | None) -> Callable[[WeComApp], dict[str, Any]]:
    return lambda app: with_query(app.handshake(closed("1616140317555161061")), **parameters)


def with_query(event: dict[str, Any], **parameters: str | None) -> dict[str, Any]:
    query = {**event["queryString"], **parameters}
    return {**event, "queryString": {name: value for name, value in query.items() if value is not None}}


def signed(**parameters: str) -> Callable[[WeComApp], dict[str, Any]]:
    """Sign with other parameters, by the app's own token."""
    return lambda app: app.event(closed(good(app)), **parameters)


def at(offset: int) -> Callable[[WeComApp], dict[str, Any]]:
    """Sign for another time."""
    return lambda app: app.event(closed(good(app)), timestamp=str(int(app.chat.function.clock.time) + offset))


def bodied(body: str, *, encoded: bool = False) -> Callable[[WeComApp], dict[str, Any]]:
    """Put another body under a signature; `encoded` is Base64 already."""
    return lambda app: {**app.command("/keypair web_1"), "body": body, "isBase64Encoded": encoded}


def around(before: str, after: str = "") -> Callable[[WeComApp], dict[str, Any]]:
    """Encrypt a good message with more around it."""
    return lambda app: app.event(closed(before + good(app) + after))


def inside(text: str) -> Callable[[WeComApp], dict[str, Any]]:
    """Encrypt `text` well, where a message should be."""
    return lambda app: app.event(closed(text))


def written(text: str) -> Callable[[WeComApp], dict[str, Any]]:
    """Send what somebody wrote as it would be if WeCom did not mark its end."""
    mark = "what-was-written"

    def event(app: WeComApp) -> dict[str, Any]:
        return app.event(closed(xml(app.message(mark)).replace(mark, text)))

    return event


def forged(plain: Callable[[bytes], bytes]) -> Callable[[WeComApp], dict[str, Any]]:
    """Encrypt what becomes of a good message, padding and all, and sign it."""

    def event(app: WeComApp) -> dict[str, Any]:
        encryptor = Cipher(AES(KEY), CBC(KEY[:16])).encryptor()
        text = plain(good(app).encode())
        return app.event(base64.b64encode(encryptor.update(text) + encryptor.finalize()).decode())

    return event


def ours(text: bytes) -> bytes:
    return framed(text, behind=CORP_ID.encode())


def wandering(app: WeComApp) -> dict[str, Any]:
    """Move the first three blocks of a ciphertext into the nonce. The signature stays the same."""
    timestamp = str(int(app.chat.function.clock.time))
    while True:
        encrypted = closed(good(app))
        event = app.event(encrypted, nonce="263014780", timestamp=timestamp)
        moved = app.event(encrypted[64:], nonce="263014780" + encrypted[:64], timestamp=timestamp)
        if moved["queryString"]["msg_signature"] == event["queryString"]["msg_signature"]:
            return moved


def other_body(app: WeComApp) -> dict[str, Any]:
    return {**app.command("/keypair web_1"), "body": app.command("/keypair web_2")["body"]}


def flipped(app: WeComApp) -> dict[str, Any]:
    """Change one bit of the ciphertext: CBC itself would not notice."""
    encrypted = closed(good(app))
    raw = bytearray(base64.b64decode(encrypted))
    raw[20] ^= 1
    return {**app.event(encrypted), "body": enveloped(base64.b64encode(raw).decode())}


def used_nonce(app: WeComApp) -> dict[str, Any]:
    """Use the nonce of an event, which asks for nothing, again."""
    app.chat.send(app.event(closed("<xml><MsgType>event</MsgType></xml>"), nonce="4711"))
    return app.event(closed(good(app)), nonce="4711")


def later(app: WeComApp) -> dict[str, Any]:
    """Send what was captured, with the time of today."""
    event = app.command("/keypair web_1")
    app.chat.function.clock.time += 301
    return with_query(event, timestamp=str(int(app.chat.function.clock.time)))


def handshake_as_message(app: WeComApp) -> dict[str, Any]:
    """Post what was sent as a handshake."""
    encrypted = closed("1616140317555161061")
    event = app.handshake(encrypted)
    app.chat.send(event)
    return {**event, "httpMethod": "POST", "body": enveloped(encrypted)}


def message_as_handshake(app: WeComApp) -> dict[str, Any]:
    """Ask for what stands in an event that was sent."""
    encrypted = closed("<xml><MsgType>event</MsgType></xml>")
    event = app.event(encrypted)
    app.chat.send(event)
    return {**with_query(event, echostr=encrypted), "httpMethod": "GET", "body": ""}


def reason(
    code: str, *attacks: tuple[str, Callable[[WeComApp], dict[str, Any]]], status: int = 401
) -> list[Attack]:
    return [Attack(name, event, status, code) for name, event in attacks]


ATTACKS = [
    *reason("wecomapp-time", ("too old", at(-301)), ("of the future", at(301))),
    *reason(
        "wecomapp-timestamp",
        ("no timestamp", queried(timestamp=None)),
        ("milliseconds", signed(timestamp="1795521600000")),
        ("other digits", queried(timestamp="\uff11" * 10)),
    ),
    *reason(
        "wecomapp-nonce",
        ("no nonce", queried(nonce=None)),
        ("blocks that wander into the nonce", wandering),
        ("nonce with a line end", signed(nonce="263014780\n")),
    ),
    *reason(
        "wecomapp-signature",
        ("no signature", queried(msg_signature=None)),
        ("made-up signature", queried(msg_signature="0" * 40)),
        ("signature of no ASCII", queried(msg_signature="ß" * 40)),
        ("under another token", signed(token="QDG6eL")),
        ("of another nonce", queried(nonce="1")),
        ("of another second", queried(timestamp="1795521601")),
        ("captured, with the time of today", later),
        ("of another body", other_body),
        ("of another bit", flipped),
        ("of another handshake", handshake(echostr=closed("1"))),
        ("a message with the parameters of a handshake", lambda app: {
            **app.command("/keypair web_1"), "queryString": handshake()(app)["queryString"]
        }),
    ),
    *reason(
        "wecomapp-encrypted",
        ("handshake without a text", handshake(echostr=None)),
        ("message by GET", lambda app: {**app.command("/keypair web_1"), "httpMethod": "GET"}),
        ("nothing encrypted", bodied(enveloped(""))),
        ("padding in between", bodied(enveloped("A=A="))),
    ),
    *reason(
        "wecomapp-body",
        ("no body", bodied("")),
        ("an AI bot's JSON", lambda app: {
            **app.command("/keypair web_1"), "body": '{"encrypt":"AAAA"}'
        }),
        ("no element", bodied("<xml></xml>")),
        ("not closed", bodied("<xml><Encrypt><![CDATA[AAAA]]>")),
        ("no section", bodied("<xml><Encrypt>AAAA</Encrypt></xml>")),
        ("two of them", lambda app: {**app.command("/keypair web_1"), "body": enveloped("AAAA") * 2}),
        ("other letters", bodied(enveloped("AA AA"))),
        ("Base64 for URLs", bodied(enveloped("_-_-"))),
        ("an entity for it", bodied(BOMB + "<xml><Encrypt>&e;</Encrypt></xml>")),
        ("a file for it", bodied(OUTSIDE + "<xml><Encrypt><![CDATA[&e;]]></Encrypt></xml>")),
        ("UTF-16", bodied(base64.b64encode(enveloped("AAAA").encode("utf-16")).decode(), encoded=True)),
        ("not UTF-8", bodied(base64.b64encode(enveloped("ß").encode("latin-1")).decode(), encoded=True)),
        ("as long as may be, and never an end", bodied("<Encrypt><![CDATA[" * 3600)),
        ("nested without end", bodied("<xml>" * 13_000)),
    ),
    *reason(
        "wecomapp-envelope",
        ("under another key", lambda app: app.event(closed(good(app), key=OTHER_KEY))),
        ("for another company", lambda app: app.event(closed(good(app), "ww5823bf96d3bd56c7"))),
        ("for an AI bot", lambda app: app.event(sealed(good(app)))),
        ("for more than this company", lambda app: app.event(closed(good(app), CORP_ID + "x"))),
        ("for less than this company", lambda app: app.event(closed(good(app), CORP_ID[:-1]))),
        ("a handshake for another company", lambda app: app.handshake(closed("1", "ww5823bf96d3bd56c7"))),
        ("half a block", lambda app: app.event(closed(good(app))[:-12])),
        ("of endless length", forged(lambda text: padded(framed(text, length=2**32 - 1)))),
        ("no length", forged(lambda _: padded(b"sixteen letters."))),
        ("padding of zeros", forged(lambda text: padded(ours(text))[:-1] + b"\0")),
        ("padding of 64", forged(lambda text: padded(whole(text), 64))),
    ),
    *reason(
        "nonce-used",
        ("nonce used", used_nonce),
        ("a handshake as a message", handshake_as_message),
        ("a message as a handshake", message_as_handshake),
    ),
    *reason(
        "wecomapp-echo",
        ("a message that never arrived as a handshake", lambda app: app.handshake(closed(good(app)))),
        ("another of JSON", lambda app: app.handshake(closed('{"msgtype":"text"}'))),
        ("another that begins with blanks", lambda app: app.handshake(closed("\n <xml></xml>"))),
    ),
    *reason(
        "wecomapp-app",
        ("of another company's", changed(ToUserName="ww5823bf96d3bd56c7")),
        ("of another app", changed(AgentID="1000003")),
        ("an app's id with a zero", changed(AgentID="01000002")),
    ),
    *reason(
        "wecomapp-xml",
        ("JSON inside", inside('{"msgtype":"text"}')),
        ("nothing inside", inside("")),
        ("not UTF-8 inside", forged(lambda text: padded(ours(text.replace(b"web_1", b"\xff"))))),
        ("half of it", inside("<xml><MsgType>text</MsgType>")),
        ("two roots", around("", "<xml/>")),
        ("a document type", around("<!DOCTYPE xml>")),
        ("entities", around(BOMB)),
        ("an external entity", around(OUTSIDE)),
        ("an entity that is not there", inside("<xml><MsgType>text</MsgType><Content>&e;</Content></xml>")),
        ("a document type within", inside(f"<xml>{BOMB}<MsgType>text</MsgType></xml>")),
        ("a NUL", written("/keypair \0")),
        status=400,
    ),
    *reason(
        "wecomapp-twice",
        ("written so as to be two", written("/keypair a]]></Content><Content><![CDATA[/keypair b")),
        ("written so as to be somebody else", written(
            "]]></Content><FromUserName>lisi</FromUserName><A><![CDATA[]]></A><Content><![CDATA[/keypair b"
        )),
        status=400,
    ),
    *reason(
        "wecomapp-fields",
        ("no user", changed(FromUserName=None)),
        ("everybody", changed(FromUserName="@all")),
        ("two users", changed(FromUserName="zhangsan|lisi")),
        ("of a linked company", changed(FromUserName="ww1/zhangsan")),
        ("user with a line end", changed(FromUserName="zhangsan\n")),
        ("no message id", changed(MsgId=None)),
        ("message id of letters", changed(MsgId="x")),
        ("endless message id", changed(MsgId="1" * 21)),
        ("no text", changed(Content=None)),
        ("no company", changed(ToUserName=None)),
        ("no app", changed(AgentID=None)),
        status=400,
    ),
    *reason(
        "unregistered",
        ("other user", changed(FromUserName="zhaoliu")),
        ("user in capitals", changed(FromUserName="ZhangSan")),
        status=200,
    ),
]  # fmt: skip
