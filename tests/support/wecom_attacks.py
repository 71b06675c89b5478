"""What somebody else may send to the place of WeCom's callbacks."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from tests.support.wecom_stand_in import AES_KEY, ORIGIN, sealed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.wecom_stand_in import WeCom

OTHER_KEY = AES_KEY[::-1]
KEY = base64.b64decode(AES_KEY + "=")
RANDOM = b"sixteen letters."


@dataclass(frozen=True)
class Attack:
    name: str
    event: Callable[[WeCom], dict[str, Any]]
    status: int
    reason: str


def good(wecom: WeCom) -> str:
    return json.dumps(wecom.message("/keypair web_1"))


def changed(**fields: object) -> Callable[[WeCom], dict[str, Any]]:
    """Send a message with other fields."""
    return lambda wecom: wecom.event(sealed(json.dumps({**wecom.message("/keypair web_1"), **fields})))


def without(field: str) -> Callable[[WeCom], dict[str, Any]]:
    """Send a message that lacks a field."""

    def event(wecom: WeCom) -> dict[str, Any]:
        message = wecom.message("/keypair web_1")
        del message[field]
        return wecom.event(sealed(json.dumps(message)))

    return event


def queried(**parameters: str | None) -> Callable[[WeCom], dict[str, Any]]:
    """Set parameters after signing; None takes one away."""

    def event(wecom: WeCom) -> dict[str, Any]:
        signed = wecom.command("/keypair web_1")
        query = {**signed["queryString"], **parameters}
        return {**signed, "queryString": {name: value for name, value in query.items() if value is not None}}

    return event


def signed(**parameters: str) -> Callable[[WeCom], dict[str, Any]]:
    """Sign with other parameters, by WeCom's own token."""
    return lambda wecom: wecom.event(sealed(good(wecom)), **parameters)


def at(offset: int) -> Callable[[WeCom], dict[str, Any]]:
    """Sign for another time."""
    return lambda wecom: wecom.event(
        sealed(good(wecom)), timestamp=str(int(wecom.chat.function.clock.time) + offset)
    )


def bodied(body: str, *, encoded: bool = False) -> Callable[[WeCom], dict[str, Any]]:
    """Put another body under a signature; `encoded` is Base64 already."""
    return lambda wecom: {**wecom.command("/keypair web_1"), "body": body, "isBase64Encoded": encoded}


def message(text: str) -> Callable[[WeCom], dict[str, Any]]:
    """Send `text`, well signed and encrypted, where a JSON message should be."""
    return lambda wecom: wecom.event(sealed(text))


def forged(plain: Callable[[bytes], bytes], key: bytes = KEY) -> Callable[[WeCom], dict[str, Any]]:
    """Encrypt what becomes of a good message, padding and all, and sign it."""

    def event(wecom: WeCom) -> dict[str, Any]:
        encryptor = Cipher(AES(key), CBC(key[:16])).encryptor()
        padded = plain(good(wecom).encode())
        return wecom.event(base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode())

    return event


def padded(content: bytes, count: int | None = None, last: int | None = None) -> bytes:
    count = count or 32 - len(content) % 32
    return content + bytes([count]) * (count - 1) + bytes([last or count])


def framed(text: bytes, *, length: int | None = None, behind: bytes = b"") -> bytes:
    return RANDOM + (len(text) if length is None else length).to_bytes(4, "big") + text + behind


def whole(text: bytes) -> bytes:
    """Frame a message that fills blocks of 32 bytes."""
    return framed(text + b" " * (-(len(text) + 20) % 32))


def wandering(wecom: WeCom) -> dict[str, Any]:
    """Move the first three blocks of a ciphertext into the nonce. The signature stays the same."""
    timestamp = str(int(wecom.chat.function.clock.time))
    while True:
        encrypted = sealed(good(wecom))
        event = wecom.event(encrypted, nonce="263014780")
        nonce, rest = "263014780" + encrypted[:64], encrypted[64:]
        moved = wecom.event(rest, nonce=nonce, timestamp=timestamp)
        if moved["queryString"]["msg_signature"] == event["queryString"]["msg_signature"]:
            return moved


def other_body(wecom: WeCom) -> dict[str, Any]:
    return {**wecom.command("/keypair web_1"), "body": wecom.command("/keypair web_2")["body"]}


def flipped(wecom: WeCom) -> dict[str, Any]:
    """Change one bit of the ciphertext: CBC itself would not notice."""
    event = wecom.command("/keypair web_1")
    raw = bytearray(base64.b64decode(json.loads(event["body"])["encrypt"]))
    raw[20] ^= 1
    return {**event, "body": json.dumps({"encrypt": base64.b64encode(raw).decode()})}


def used_nonce(wecom: WeCom) -> dict[str, Any]:
    """Use the nonce of an event, which asks for nothing, again."""
    nonce = "4711"
    wecom.chat.send(wecom.event(sealed('{"msgtype":"event"}'), nonce=nonce))
    return wecom.event(sealed(good(wecom)), nonce=nonce)


def later(wecom: WeCom) -> dict[str, Any]:
    """Send what was captured, with the time of today."""
    event = wecom.command("/keypair web_1")
    wecom.chat.function.clock.time += 301
    query = {**event["queryString"], "timestamp": str(int(wecom.chat.function.clock.time))}
    return {**event, "queryString": query}


def handshake(**parameters: str | None) -> Callable[[WeCom], dict[str, Any]]:
    def event(wecom: WeCom) -> dict[str, Any]:
        event = wecom.handshake(sealed("1616140317555161061"))
        query = {**event["queryString"], **parameters}
        return {**event, "queryString": {name: value for name, value in query.items() if value is not None}}

    return event


def for_a_message(wecom: WeCom) -> dict[str, Any]:
    """Post a message with the parameters of a handshake."""
    query = handshake()(wecom)["queryString"]
    return {**wecom.command("/keypair web_1"), "queryString": query}


def forged_url(url: object) -> Attack:
    return Attack(f"response_url {url}"[:90], changed(response_url=url), 400, "wecom-fields")


def reason(code: str, *attacks: tuple[str, Callable[[WeCom], dict[str, Any]]]) -> list[Attack]:
    """Return attacks that end with 401 for one reason."""
    return [Attack(name, event, 401, f"wecom-{code}") for name, event in attacks]


PATH = "/cgi-bin/aibot/response?response_code="
ATTACKS = [
    *reason("time", ("too old", at(-301)), ("of the future", at(301))),
    *reason(
        "timestamp",
        ("no timestamp", queried(timestamp=None)),
        ("no number", queried(timestamp="soon")),
        ("of 1970", signed(timestamp="0")),
        ("negative", signed(timestamp="-795521600")),
        ("milliseconds", signed(timestamp="1795521600000")),
        ("other digits", queried(timestamp="\uff11" * 10)),
        ("half a character", queried(timestamp="\ud800")),
        ("with a line end", queried(timestamp="1795521600\n")),
    ),
    *reason(
        "nonce",
        ("no nonce", queried(nonce=None)),
        ("endless nonce", signed(nonce="1" * 33)),
        ("blocks that wander into the nonce", wandering),
        ("nonce of other letters", signed(nonce="263014780+")),
        ("nonce with a line end", signed(nonce="263014780\n")),
    ),
    *reason(
        "signature",
        ("no signature", queried(msg_signature=None)),
        ("empty signature", queried(msg_signature="")),
        ("made-up signature", queried(msg_signature="0" * 40)),
        ("signature of no ASCII", queried(msg_signature="ß" * 40)),
        ("half a character in the signature", queried(msg_signature="\ud800")),
        ("under another token", signed(token="QDG6eL")),
        ("timestamp of the next second", queried(timestamp="1795521601")),
        ("captured, with the time of today", later),
        ("other nonce", queried(nonce="1")),
        ("other body", other_body),
        ("other bit", flipped),
        ("handshake for a message", for_a_message),
        ("handshake with another text", handshake(echostr=sealed("1"))),
        ("handshake without a signature", handshake(msg_signature=None)),
    ),
    *reason(
        "encrypted",
        ("handshake without a text", handshake(echostr=None)),
        ("message by GET", lambda wecom: {**wecom.command("/keypair web_1"), "httpMethod": "GET"}),
        ("no Base64", lambda wecom: wecom.event("hello world")),
        ("Base64 for URLs", lambda wecom: wecom.event("_-_-")),
        ("nothing encrypted", lambda wecom: wecom.event("")),
    ),
    *reason(
        "body",
        ("no body", bodied("")),
        ("a list", bodied("[]")),
        ("no member", bodied("{}")),
        ("a number", bodied('{"encrypt":1}')),
        ("encrypt twice", bodied('{"encrypt":"AAAA","encrypt":"AAAA"}')),
        ("an app's XML", bodied("<xml><Encrypt><![CDATA[AAAA]]></Encrypt></xml>")),
        ("not UTF-8", bodied(base64.b64encode(b'{"encrypt":"\xff"}').decode(), encoded=True)),
        ("nested without end", bodied("[" * 60_000)),
    ),
    *reason(
        "envelope",
        ("under another key", lambda wecom: wecom.event(sealed(good(wecom), OTHER_KEY))),
        ("for a company's app", lambda wecom: wecom.event(sealed(good(wecom), receive_id="wx5823bf96d3"))),
        ("half a block", lambda wecom: wecom.event(sealed(good(wecom))[:-12])),
        ("one letter too few", lambda wecom: wecom.event(sealed(good(wecom)).rstrip("=")[:-1])),
        ("more behind the message", forged(lambda text: padded(framed(text, behind=b"x")))),
        ("longer than it is", forged(lambda text: padded(framed(text, length=len(text) + 1)))),
        ("shorter than it is", forged(lambda text: padded(framed(text, length=len(text) - 1)))),
        ("of endless length", forged(lambda text: padded(framed(text, length=2**32 - 1)))),
        ("no length", forged(lambda _: padded(RANDOM))),
        ("half a length", forged(lambda _: padded(RANDOM + b"\0\0"))),
        ("nothing but padding", forged(lambda _: padded(b""))),
        ("padding of zeros", forged(lambda text: padded(framed(text))[:-1] + b"\0")),
        ("padding of 33", forged(lambda text: padded(framed(text))[:-1] + b"\x21")),
        ("padding of 64", forged(lambda text: padded(whole(text), 64))),
        ("padding of two minds", forged(lambda text: padded(whole(text), last=2))),
        ("padded to 16, AES's own blocks", forged(lambda text: padded(whole(text), 16))),
    ),
    Attack("nonce used", used_nonce, 401, "nonce-used"),
    Attack("no JSON", message("hello"), 400, "json"),
    Attack("a list for a message", message("[]"), 400, "json-object"),
    Attack("a member twice", message('{"msgid":"1","msgid":"2"}'), 400, "json"),
    Attack("an empty message", message("{}"), 400, "wecom-fields"),
    Attack("a half character for a user", changed(**{"from": {"userid": "\ud800"}}), 400, "wecom-fields"),
    Attack("user with a line end", changed(**{"from": {"userid": "zhangsan\n"}}), 400, "wecom-fields"),
    Attack("no user", without("from"), 400, "wecom-fields"),
    Attack("a user that is a number", changed(**{"from": {"userid": 7}}), 400, "wecom-fields"),
    Attack("no bot", without("aibotid"), 400, "wecom-fields"),
    Attack("no message id", without("msgid"), 400, "wecom-fields"),
    Attack("message id of two lines", changed(msgid="1\n2"), 400, "wecom-fields"),
    Attack("no kind of chat", without("chattype"), 400, "wecom-fields"),
    Attack("another kind of chat", changed(chattype="Single"), 400, "wecom-fields"),
    Attack("a text that is none", changed(text="/keypair web_1"), 400, "wecom-fields"),
    Attack("other bot", changed(aibotid="aibOTHER"), 200, "unregistered"),
    Attack("other user", changed(**{"from": {"userid": "zhaoliu"}}), 200, "unregistered"),
    Attack("user in capitals", changed(**{"from": {"userid": "ZhangSan"}}), 200, "unregistered"),
    Attack("in a group", changed(chattype="group", chatid="wr1"), 200, "chat-not-private"),
    Attack("an endless text", changed(text={"content": "/keypair " * 4000}), 200, "command-long"),
    Attack("control characters", changed(text={"content": "/keypair web_1\0"}), 200, "command-name"),
    Attack("half a character in it", changed(text={"content": "/keypair \ud800"}), 200, "command-other"),
    Attack("no response_url", without("response_url"), 400, "wecom-fields"),
    *(
        forged_url(url)
        for url in (
            None,
            7,
            "",
            f"http://qyapi.weixin.qq.com{PATH}x",
            f"https://qyapi.weixin.qq.com.evil.example{PATH}x",
            f"https://qyapi.weixin.qq.com@evil.example{PATH}x",
            f"https://evil.example/{ORIGIN}{PATH}x",
            f"https://qyapi-weixin.qq.com{PATH}x",
            f"https://qyapi.weixin-qq.com{PATH}x",
            f"https://qyapi.weixin.qq.com:8443{PATH}x",
            f"https://QYAPI.weixin.qq.com{PATH}x",
            f"{ORIGIN}//evil.example{PATH}x",
            f"{ORIGIN}/cgi-bin/aibot/../message/send?response_code=x",
            f"{ORIGIN}/cgi-bin/message/send?access_token=x",
            f"{ORIGIN}{PATH}",
            f"{ORIGIN}{PATH}x&to=evil",
            f"{ORIGIN}{PATH}x#y",
            f"{ORIGIN}{PATH}x\r\nHost: evil.example",
            f"{ORIGIN}{PATH}{'x' * 2000}",
            "https://169.254.0.23/latest/meta-data",
        )
    ),
]  # fmt: skip
