"""COS: signed requests for buckets and objects, https://cloud.tencent.com/document/product/436/7778."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from tests.support.cloud_stand_in.account import APP_ID, REGION

if TYPE_CHECKING:
    from email.message import Message

    from scripts.cvm_emulator.signature import Credential
    from tests.support.cloud_stand_in.account import Account

_SUFFIX = f".cos.{REGION}.myqcloud.com"


@dataclass(frozen=True)
class CosReply:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


def is_cos(headers: Message) -> bool:
    """Tell whether a request is for COS."""
    return headers.get("Host", "").endswith(".myqcloud.com")


def bucket_of(headers: Message) -> str:
    """Return the bucket's name, its AppId included."""
    return headers.get("Host", "").removesuffix(_SUFFIX)


def answer(account: Account, method: str, path: str, headers: Message, body: bytes) -> CosReply:
    """Answer one request whose signature was checked."""
    bucket, key = bucket_of(headers), path[1:]
    if not bucket.endswith(f"-{APP_ID}"):
        return _error(403, "AccessDenied")
    if not key:
        return _bucket(account, method, bucket)
    objects = account.buckets.get(bucket)
    if objects is None:
        return _error(404, "NoSuchBucket")
    if method == "PUT":
        if account.flips_a_byte:
            body = bytes([body[0] ^ 1]) + body[1:]
        md5 = hashlib.md5(body).digest()  # noqa: S324  # as Content-MD5 asks for
        if headers.get("Content-MD5") != base64.b64encode(md5).decode():
            return _error(400, "BadDigest")
        objects[key] = body
    elif method == "DELETE":
        return CosReply(204 if objects.pop(key, None) is not None else 404, {})
    if key not in objects:
        return CosReply(404, {})
    etag = hashlib.md5(objects[key]).hexdigest()  # noqa: S324  # as above
    return CosReply(200, {"ETag": f'"{etag}"'})


def _bucket(account: Account, method: str, bucket: str) -> CosReply:
    if method == "PUT":
        if bucket in account.buckets:
            return _error(409, "BucketAlreadyOwnedByYou")
        account.buckets[bucket] = {}
    return CosReply(200 if bucket in account.buckets else 404, {})


def is_signed(credential: Credential, method: str, path: str, headers: Message) -> bool:
    given = dict(parse_qsl(headers.get("Authorization", ""), keep_blank_values=True, separator="&"))
    begins, _, ends = given.get("q-sign-time", "").partition(";")
    if not (begins.isdecimal() and ends.isdecimal() and int(begins) <= time.time() <= int(ends)):
        return False
    names = given["q-header-list"].split(";")
    if "host" not in names or (headers.get("Content-MD5") and "content-md5" not in names):
        return False
    signed = "&".join(f"{name}={quote(headers[name], safe='')}" for name in names)
    http_string = f"{method.lower()}\n{path}\n\n{signed}\n"
    digest = hashlib.sha1(http_string.encode()).hexdigest()  # noqa: S324  # COS's choice
    key = hmac.new(credential.secret_key.encode(), given["q-key-time"].encode(), "sha1").hexdigest()
    text = f"sha1\n{given['q-sign-time']}\n{digest}\n"
    expected = hmac.new(key.encode(), text.encode(), "sha1").hexdigest()
    return given["q-ak"] == credential.secret_id and hmac.compare_digest(given["q-signature"], expected)


def refusal() -> CosReply:
    """Return the answer to a request whose signature is wrong."""
    return _error(403, "SignatureDoesNotMatch")


def _error(status: int, code: str) -> CosReply:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return CosReply(status, {"Content-Type": "application/xml"}, body.encode())
