"""The parsers that read what strangers send, each as a function of bytes, for fuzzing.

A parser may return or raise an error of `handler.errors`. Anything else that it raises is a defect.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from handler.auth.bearer import BearerVerifier
from handler.auth.master_secret import MasterSecrets
from handler.auth.nonces import Nonces
from handler.auth.signature_v2 import SignatureV2Verifier
from handler.auth.tc3 import Tc3Verifier
from handler.chat.http_client import HttpClient
from handler.chat.platforms.registry import PLATFORMS, PlatformContext
from handler.chat.platforms.wecom_callbacks import Envelopes
from handler.errors import KeyPairFunctionError
from handler.policy.model import Policy
from handler.scf.events import parse_event
from handler.sealing import prepare_sealer
from tests.support import (
    dingtalk_stand_in,
    feishu_stand_in,
    slack_stand_in,
    wecom_stand_in,
    wecomapp_stand_in,
)
from tests.support.bearer_function import SERVICE
from tests.support.function_under_test import HOST, MASTER, NOON, RECIPIENT, REGION, TestClock
from tests.support.hostile_keys import good_keys
from tests.support.token_issuer import jwk, token, unsigned

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from handler.chat.platforms.base import Platform
    from handler.http.messages import Request


@dataclass(frozen=True)
class Target:
    """A parser, and inputs to begin with."""

    seeds: tuple[bytes, ...]
    parse: Callable[[bytes], object]

    def __call__(self, data: bytes) -> None:
        """Parse; raise only what is a defect."""
        with suppress(KeyPairFunctionError):
            self.parse(data)


SEPARATOR = b"\x1f"
"""Between the parts of an input that has several."""
_CLOCK = TestClock().clock()
_NOW = str(NOON)


class Forgetful:
    """A store that has room for any number of nonces."""

    shared = True

    def get(self, key: str) -> str | None:
        del key
        return None

    def add(self, key: str, value: str, ttl: float) -> bool:
        del key, value, ttl
        return True

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        del key, expected, value, ttl
        return True


_NONCES = Nonces(Forgetful())


def _text(data: bytes) -> str:
    # What is not UTF-8 becomes lone surrogates, which JSON can hold too.
    return data.decode("utf-8", "surrogateescape")


def _parts(data: bytes, count: int) -> list[str]:
    parts = [_text(part) for part in data.split(SEPARATOR, count - 1)]
    return parts + [""] * (count - len(parts))


def _request(
    body: bytes, method: str = "POST", query: Mapping[str, str] | None = None, **headers: str
) -> Request:
    """Return the request as it gets to a parser: some inputs end here."""
    return parse_event(
        {
            "httpMethod": method,
            "path": "/",
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "queryString": query or {},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
    )


# ---------------------------------------------------------------- events


def _event(data: bytes) -> object:
    if data.startswith(b"{"):
        with suppress(ValueError, RecursionError):
            return parse_event(json.loads(data))
        return None
    method, path, name, value, query, encoded, body = _parts(data, 7)
    flags: dict[str, object] = {"": None, "0": False, "1": True}
    event: dict[str, object] = {
        "httpMethod": method,
        "path": path,
        "headers": {name: value, "X-Scf-Remote-Addr": value},
        "queryString": {query: value},
        "isBase64Encoded": flags.get(encoded, encoded),
        "body": body,
    }
    return parse_event(event)


_EVENTS = (
    b'{"httpMethod":"POST","path":"/v1/key-pairs","headers":{"A":"b"},"queryString":{},"body":"{}"}',
    b'{"Type":"Timer","TriggerName":"sweep","Time":"2026-11-24T12:00:00Z","Message":""}',
    SEPARATOR.join([b"POST", b"/v1/key-pairs", b"authorization", b"TC3", b"a", b"1", b"e30="]),
    SEPARATOR.join([b"GET", b"/", b"origin", b"https://example.com", b"", b"false", b""]),
)


# ---------------------------------------------------------------- signatures and tokens

_SIGNING: tuple[Any, ...] = (MasterSecrets((MASTER,)), [HOST], _CLOCK)


def _tc3(data: bytes) -> object:
    authorization, timestamp, content_type, body = _parts(data, 4)
    request = _request(
        body.encode("utf-8", "surrogateescape"),
        authorization=authorization,
        x_tc_timestamp=timestamp,
        content_type=content_type,
        host=HOST,
    )
    return Tc3Verifier(*_SIGNING).verify(request)


_TC3 = SEPARATOR.join(
    [
        b"TC3-HMAC-SHA256 Credential=demo/2026-11-24/cvm/tc3_request, SignedHeaders=content-type;host, "
        b"Signature=" + b"0" * 64,
        _NOW.encode(),
        b"application/json",
        b"{}",
    ]
)


def _v2(data: bytes) -> object:
    verifier = SignatureV2Verifier(*_SIGNING)
    if data[:1] == b"?":
        query = dict(parse_qsl(_text(data[1:]), keep_blank_values=True))
        return verifier.verify(_request(b"", "GET", query))
    return verifier.verify(_request(data, content_type="application/x-www-form-urlencoded"))


_V2 = urlencode(
    {
        "Action": "CreateKeyPair",
        "Nonce": "11886",
        "Timestamp": _NOW,
        "SecretId": "demo",
        "SignatureMethod": "HmacSHA256",
        "KeyName": "a",
        "Signature": "A" * 43 + "=",
    }
).encode()


@functools.cache
def _issuer() -> tuple[BearerVerifier, Any]:
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    policy = Policy.parse(
        {
            "issuers": {
                "service": {
                    "issuer": SERVICE,
                    "audience": HOST,
                    "algorithms": ["ES256"],
                    "jwks": {"keys": [jwk(key)]},
                }
            },
            "callers": {
                "ci": {
                    "recipients": [str(RECIPIENT.to_public())],
                    "jwt": [{"issuer": "service", "claims": {"sub": "ci"}}],
                    "grants": [{"names": ["*"], "regions": [REGION]}],
                }
            },
        }
    )
    return BearerVerifier(policy, _NONCES, _CLOCK), key


def _bearer(data: bytes) -> object:
    """Parse a header as it is, or header and claims of a token that is then signed."""
    verifier, key = _issuer()
    if SEPARATOR in data:
        header, claims = data.split(SEPARATOR, 1)
        authorization = f"Bearer {token(key, claims, alg='ES256', header=header)}"
    else:
        authorization = _text(data)
    return verifier.authenticate(_request(b"{}", authorization=authorization))


def _tokens() -> tuple[bytes, ...]:
    claims = {"iss": SERVICE, "aud": HOST, "sub": "ci", "iat": NOON, "exp": NOON + 60, "jti": "1"}
    header = b'{"alg":"ES256","typ":"JWT"}'
    whole = f"Bearer {unsigned(header, claims)}.AAAA".encode()
    return header + SEPARATOR + json.dumps(claims).encode(), whole


# ---------------------------------------------------------------- recipients


def _recipient(data: bytes) -> object:
    return prepare_sealer([_text(data)], now=NOON)


def _keys(*kinds: str) -> tuple[bytes, ...]:
    return tuple(text.encode() for title, text in good_keys() if title.startswith(kinds))


# ---------------------------------------------------------------- chat


def _platform(name: str, **settings: str) -> Platform:
    platform = PLATFORMS[name](settings, PlatformContext(HttpClient(), _NONCES, _CLOCK))
    assert platform is not None
    return platform


def _slack(data: bytes) -> object:
    platform = _platform("slack", KEYPAIR_SLACK_SIGNING_SECRET=slack_stand_in.SECRET)
    signed = b"v0:" + _NOW.encode() + b":" + data
    digest = hmac.new(slack_stand_in.SECRET.encode(), signed, hashlib.sha256).hexdigest()
    request = _request(
        data,
        content_type="application/x-www-form-urlencoded",
        x_slack_request_timestamp=_NOW,
        x_slack_signature=f"v0={digest}",
    )
    return platform.parse_webhook(request)


def _feishu(data: bytes) -> object:
    """Parse a body as it is, without a signature; or what was encrypted, and signed."""
    platform = _platform("feishu", **feishu_stand_in.SETTINGS)
    if data[:1] == SEPARATOR:
        return platform.parse_webhook(_request(data[1:], content_type="application/json"))
    body = json.dumps({"encrypt": feishu_stand_in.encrypted(data)})
    request = _request(
        body.encode(),
        content_type="application/json",
        x_lark_request_timestamp=_NOW,
        x_lark_request_nonce="1",
        x_lark_signature=feishu_stand_in.signature(_NOW, "1", body),
    )
    return platform.parse_webhook(request)


def _dingtalk(data: bytes) -> object:
    platform = _platform("dingtalk", KEYPAIR_DINGTALK_APP_SECRET=dingtalk_stand_in.SECRET)
    timestamp = f"{NOON}000"
    request = _request(
        data, content_type="application/json", timestamp=timestamp, sign=_dingtalk_signature(timestamp)
    )
    return platform.parse_webhook(request)


_dingtalk_signature = functools.cache(dingtalk_stand_in.sign)


def _wecom(data: bytes) -> object:
    platform = _platform("wecom", **wecom_stand_in.SETTINGS)
    envelopes = Envelopes.of(wecom_stand_in.TOKEN, wecom_stand_in.AES_KEY, "")
    return _callback(platform, envelopes, data, lambda encrypted: json.dumps({"encrypt": encrypted}))


def _wecomapp(data: bytes) -> object:
    platform = _platform("wecomapp", **wecomapp_stand_in.SETTINGS)
    envelopes = Envelopes.of(wecom_stand_in.TOKEN, wecom_stand_in.AES_KEY, wecomapp_stand_in.CORP_ID)
    return _callback(platform, envelopes, data, wecomapp_stand_in.enveloped)


def _callback(platform: Platform, envelopes: Envelopes, data: bytes, body: Callable[[str], str]) -> object:
    """Parse a query and a body as they are; or what was encrypted and signed."""
    if data[:1] == SEPARATOR:
        timestamp, nonce, signature, rest = _parts(data[1:], 4)
        query = {"timestamp": timestamp, "nonce": nonce, "msg_signature": signature, "echostr": rest}
        method = "GET" if len(data) % 2 else "POST"
        return platform.parse_webhook(_request(rest.encode("utf-8", "surrogateescape"), method, query))
    encrypted = envelopes.seal(data)
    query = {
        "timestamp": _NOW,
        "nonce": "1",
        "msg_signature": envelopes.signature(_NOW, "1", encrypted),
        "echostr": encrypted,
    }
    if data[:1] not in (b"{", b"<"):
        return platform.parse_webhook(_request(b"", "GET", query))
    return platform.parse_webhook(_request(body(encrypted).encode(), "POST", query))


def _json(**members: object) -> bytes:
    return json.dumps(members).encode()


_CALLBACK = SEPARATOR + SEPARATOR.join([_NOW.encode(), b"1", b"0" * 40, b'{"encrypt":"AAAA"}'])
_SLACK = urlencode(
    {
        "team_id": "T1",
        "user_id": "U1",
        "command": "/keypair",
        "text": "deploy &amp; age1",
        "trigger_id": "1.2.a",
        "response_url": "https://hooks.slack.com/commands/T1/1/a",
    }
).encode()
_FEISHU = _json(
    schema="2.0",
    header={
        "event_id": "1",
        "token": feishu_stand_in.VERIFICATION_TOKEN,
        "create_time": "1795521599000",
        "event_type": "im.message.receive_v1",
        "tenant_key": "t",
        "app_id": feishu_stand_in.APP_ID,
    },
    event={
        "sender": {"sender_id": {"open_id": "ou_1"}, "sender_type": "user", "tenant_key": "t"},
        "message": {
            "message_id": "om_1",
            "chat_type": "p2p",
            "message_type": "text",
            "content": '{"text":"/keypair deploy"}',
        },
    },
)
_POST = _FEISHU.replace(b'"text", "content"', b'"post", "content"').replace(
    rb"{\"text\":\"/keypair deploy\"}",
    rb"{\"title\":\"\",\"content\":[[{\"tag\":\"text\",\"text\":\"/keypair deploy\"}]]}",
)
_DINGTALK = _json(
    senderCorpId="ding1",
    senderStaffId="1",
    msgId="msg1",
    conversationType="1",
    msgtype="text",
    sessionWebhook=dingtalk_stand_in.WEBHOOK + "0" * 32,
    sessionWebhookExpiredTime=(NOON + 5400) * 1000,
    text={"content": " /keypair deploy"},
)
_WECOM = _json(
    msgid="1",
    aibotid="b",
    chattype="single",
    msgtype="text",
    text={"content": "/keypair deploy"},
    **{"from": {"userid": "u"}},
    response_url=f"{wecom_stand_in.ORIGIN}/cgi-bin/aibot/response?response_code=R",
)
_WECOMAPP = wecomapp_stand_in.xml(
    {
        "ToUserName": wecomapp_stand_in.CORP_ID,
        "FromUserName": "u",
        "CreateTime": NOON,
        "MsgType": "text",
        "Content": "/keypair deploy",
        "MsgId": 1,
        "AgentID": wecomapp_stand_in.AGENT_ID,
    }
).encode()


TARGETS: Mapping[str, Target] = {
    "event": Target(_EVENTS, _event),
    "signature-tc3": Target((_TC3,), _tc3),
    "signature-v2": Target((_V2, b"?" + _V2), _v2),
    "bearer": Target(_tokens(), _bearer),
    "recipient-age": Target(_keys("age"), _recipient),
    "recipient-ssh": Target(_keys("ssh-", "ecdsa-"), _recipient),
    "recipient-jwk": Target(_keys("JWK"), _recipient),
    "recipient-pem": Target(_keys("PEM", "PKCS#1", "X.509"), _recipient),
    "recipient-pgp": Target(_keys("PGP"), _recipient),
    "chat-slack": Target((_SLACK,), _slack),
    "chat-feishu": Target((_FEISHU, _POST, SEPARATOR + _json(**feishu_stand_in.challenge())), _feishu),
    "chat-dingtalk": Target((_DINGTALK,), _dingtalk),
    "chat-wecom": Target((_WECOM, b"echo", _CALLBACK), _wecom),
    "chat-wecomapp": Target((_WECOMAPP, b"echo", _CALLBACK), _wecomapp),
}


def mutations(seeds: Sequence[bytes], count: int, chance: random.Random) -> Iterator[bytes]:
    """Yield inputs that differ from the seeds in a few places."""
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 2, 4))):
            _change(data, seeds, chance)
        yield bytes(data)


_WORDS = (
    b"\x00",
    b"\n",
    b"\r\n",
    SEPARATOR,
    b"{",
    b"}",
    b"[",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"-1",
    b"1e999",
    b"9" * 40,
    b"=",
    b"==",
    b"&",
    b"%",
    b"%00",
    b".",
    b"<",
    b"]]>",
    b"\xff\xfe",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
)


def _change(data: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    start = chance.randrange(len(data) + 1)
    end = min(len(data), start + chance.choice((0, 1, 1, 2, 8, 64)))
    kind = chance.randrange(5)
    if kind == 0 and start < len(data):
        data[start] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del data[start:end]
    elif kind == 2:
        data[start:start] = data[start:end] * chance.choice((1, 1, 2, 100))
    elif kind == 3:
        other = chance.choice(seeds)
        data[start:end] = other[chance.randrange(len(other) + 1) :][:64]
    else:
        data[start:end] = chance.choice(_WORDS)
