"""COS, the object storage, by signed HTTP requests: buckets, and the one object that holds the code.

The signature is that of https://cloud.tencent.com/document/product/436/7778.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from scripts.deployment.errors import CallFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scripts.deployment.cloud import Identity

_LIFE = 900
"""Seconds that a signature is good for: an upload over a slow line has to begin within them."""
_CHUNK = 256 * 1024
_TIMEOUT = 60
_NOT_FOUND = 404
_ERROR = 300


def authorization(
    identity: Identity,
    method: str,
    path: str,
    headers: Mapping[str, str],
    *,
    begins: int,
    ends: int,
) -> str:
    """Return the header Authorization for a request without query; all `headers` are signed."""
    key_time = f"{begins};{ends}"
    sign_key = _hmac(identity.secret_key, key_time)
    signed = sorted((quote(name.lower(), safe=""), quote(value, safe="")) for name, value in headers.items())
    http_string = "\n".join(
        [method.lower(), path, "", "&".join(f"{name}={value}" for name, value in signed), ""]
    )
    digest = hashlib.sha1(http_string.encode()).hexdigest()  # noqa: S324  # the algorithm is COS's choice
    signature = _hmac(sign_key, f"sha1\n{key_time}\n{digest}\n")
    names = ";".join(name for name, _ in signed)
    return (
        f"q-sign-algorithm=sha1&q-ak={identity.secret_id}&q-sign-time={key_time}&q-key-time={key_time}"
        f"&q-header-list={names}&q-url-param-list=&q-signature={signature}"
    )


def _hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha1).hexdigest()


@dataclass(frozen=True)
class Bucket:
    """A bucket in a region; `name` ends in the account's AppId."""

    name: str
    region: str
    identity: Identity
    endpoint: str | None = None
    """An imitation of COS, else COS itself."""

    @property
    def host(self) -> str:
        """The host that requests are signed for."""
        return f"{self.name}.cos.{self.region}.myqcloud.com"

    def exists(self) -> bool:
        """Tell whether the bucket is there; raise CallFailed if it belongs to somebody else."""
        return self._request("HEAD", "/") is not None

    def create(self) -> None:
        """Make the bucket, private; raise CallFailed."""
        self._request("PUT", "/", {"x-cos-acl": "private"})

    def has(self, key: str, md5: bytes) -> bool:
        """Tell whether the object is there with this content."""
        headers = self._request("HEAD", "/" + key)
        # The ETag of an object that came in one PUT is its MD5.
        return headers is not None and headers.get("etag", "").strip('"') == md5.hex()

    def put(self, key: str, content: bytes, progress: Callable[[int], None]) -> None:
        """Store the object; tell `progress` how many bytes are sent. Raises CallFailed.

        COS checks the content against its MD5 and stores nothing that differs.
        """
        md5 = hashlib.md5(content).digest()  # noqa: S324  # a checksum, as Content-MD5 asks for
        headers = {
            "Content-MD5": base64.b64encode(md5).decode(),
            "Content-Type": "application/zip",
            "Content-Length": str(len(content)),
        }
        stored = self._request("PUT", "/" + key, headers, _chunks(content, progress)) or {}
        if stored.get("etag", "").strip('"') != md5.hex():
            raise CallFailed("cos PUT Object", "BadDigest", "COS stored something else than was sent")

    def delete(self, key: str) -> None:
        """Remove the object; it is no error if there is none. Raises CallFailed."""
        self._request("DELETE", "/" + key)

    def _request(
        self,
        method: str,
        path: str,
        extra: Mapping[str, str] | None = None,
        body: Iterator[bytes] | None = None,
    ) -> dict[str, str] | None:
        """Return the answer's headers; None for 404."""
        what = f"cos {method} {'Bucket' if path == '/' else 'Object'}"
        headers = {"Host": self.host, **(extra or {})}
        if method == "PUT":
            headers.setdefault("Content-Length", "0")
        if self.identity.token:
            headers["x-cos-security-token"] = self.identity.token
        now = int(time.time())
        headers["Authorization"] = authorization(
            self.identity, method, path, headers, begins=now - 60, ends=now + _LIFE
        )
        connection = self._connection()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise CallFailed(what, "", f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if answer.status == _NOT_FOUND and method in {"HEAD", "DELETE"}:
            return None
        if answer.status >= _ERROR:
            raise CallFailed(what, _tag(content, "Code") or str(answer.status), _tag(content, "Message"))
        return {name.lower(): value for name, value in answer.getheaders()}

    def _connection(self) -> http.client.HTTPConnection:
        if self.endpoint is None:
            return http.client.HTTPSConnection(self.host, timeout=_TIMEOUT)
        address = urlsplit(self.endpoint)
        return http.client.HTTPConnection(str(address.hostname), address.port, timeout=_TIMEOUT)


def _chunks(content: bytes, progress: Callable[[int], None]) -> Iterator[bytes]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]
        progress(min(start + _CHUNK, len(content)))


def _tag(content: bytes, name: str) -> str:
    """Return the text of an element of COS's error document, which is flat; a parser of XML is not needed."""
    text = content.decode("utf-8", "replace")
    return text.partition(f"<{name}>")[2].partition(f"</{name}>")[0][:500]
