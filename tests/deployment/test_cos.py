"""COS by signed requests: the documented signature, and what happens where COS says no."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import pytest

from scripts.deployment.cloud import Identity
from scripts.deployment.cos import Bucket, authorization
from scripts.deployment.errors import CallFailed

if TYPE_CHECKING:
    from tests.deployment.conftest import CloudStandIn, Deployer

# The example of https://cloud.tencent.com/document/product/436/7778.
EXAMPLE = Identity("AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q", "BQYIM75p8x0iWVFSIgqEKwFprpRSVHlz")


def test_the_signature_is_the_documented_one() -> None:
    headers = {
        "Date": "Thu, 16 May 2019 06:45:51 GMT",
        "Host": "examplebucket-1250000000.cos.ap-beijing.myqcloud.com",
        "Content-Type": "text/plain",
        "Content-Length": "13",
        "Content-MD5": "mQ/fVh815F3k6TAUm8m0eg==",
        "x-cos-acl": "private",
        "x-cos-grant-read": 'uin="100000000011"',
    }
    made = authorization(
        EXAMPLE, "PUT", "/exampleobject(腾讯云)", headers, begins=1557989151, ends=1557996351
    )
    assert made == (
        "q-sign-algorithm=sha1&q-ak=AKIDQjz3ltompVjBni5LitkWHFlFpwkn9U5q"
        "&q-sign-time=1557989151;1557996351&q-key-time=1557989151;1557996351"
        "&q-header-list=content-length;content-md5;content-type;date;host;x-cos-acl;x-cos-grant-read"
        "&q-url-param-list=&q-signature=3b8851a11a569213c17ba8fa7dcf2abec6935172"
    )


@pytest.fixture
def bucket(cloud: CloudStandIn) -> Bucket:
    identity = Identity(cloud.info["secretId"], cloud.info["secretKey"])
    bucket = Bucket("code-1250000000", "ap-guangzhou", identity, cloud.url)
    bucket.create()
    return bucket


def test_an_object_is_recognised_by_its_content(bucket: Bucket) -> None:
    sent: list[int] = []
    content = bytes(600_000)
    bucket.put("a/key.zip", content, sent.append)
    assert sent == [262_144, 524_288, 600_000]
    md5 = hashlib.md5(content).digest()  # noqa: S324  # what COS compares
    assert bucket.has("a/key.zip", md5)
    assert not bucket.has("a/key.zip", md5[::-1])
    bucket.delete("a/key.zip")
    bucket.delete("a/key.zip")  # what is gone already is no error
    assert bucket.exists()


def test_what_arrives_changed_is_not_stored(bucket: Bucket, cloud: CloudStandIn) -> None:
    cloud.control("set", flips_a_byte=True)
    with pytest.raises(CallFailed, match="BadDigest"):
        bucket.put("key.zip", b"content", lambda _: None)
    assert cloud.state["buckets"] == {"code-1250000000": []}


def test_a_wrong_key_and_somebody_else_s_bucket_are_refused(bucket: Bucket) -> None:
    forged = dataclasses.replace(bucket, identity=Identity(bucket.identity.secret_id, "x" * 32))
    with pytest.raises(CallFailed, match="403"):
        forged.exists()
    with pytest.raises(CallFailed, match="AccessDenied"):
        dataclasses.replace(bucket, name="code-1250000001").create()
    with pytest.raises(CallFailed, match="NoSuchBucket"):
        dataclasses.replace(bucket, name="other-1250000000").put("key", b"", lambda _: None)


def test_a_bucket_s_refusal_is_explained(deployer: Deployer) -> None:
    assert deployer.apply("--bucket", "code", "--yes", TENCENTCLOUD_SECRET_KEY="y" * 32) == 1
    assert "AuthFailure" in deployer.error
