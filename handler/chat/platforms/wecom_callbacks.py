"""WeCom: what AI bots and self-built apps share, above all the verification of callbacks.

https://developer.work.weixin.qq.com/document/path/101033 and 90968 (signatures and encryption), 90930
(handshake)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import field
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from pydantic import StringConstraints

from handler.auth.time_window import SIGNATURE_WINDOW
from handler.chat.platforms.base import ImmediateResponse, Locale
from handler.errors import Unauthenticated
from handler.http.messages import Response
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.auth.nonces import Nonces
    from handler.scf.invocation import Clock

ORIGIN = "https://qyapi.weixin.qq.com"
"""The only origin that replies go to."""
BUSY = (-1, 45009, 45033)
"""Codes of temporary errors (90313): system busy, too many calls, too many concurrent calls."""

# https://developer.work.weixin.qq.com/document/path/90195: the form of a userid.
UserId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_@.-]{0,63}$")]

# The key in Base64, without its last character, "=".
EncodingAesKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{43}$")]

_DIGITS = 10
_TIMESTAMP = re.compile(rf"[0-9]{{{_DIGITS}}}")
_FAR_FUTURE = 10 * 366 * 24 * 3600
"""Seconds for which records of signatures are kept at most. Few nonces name a time before that."""
# SECURITY BOUNDARY: the signed parts are joined without separators, so characters could move from the
# ciphertext into the nonce. 64 of them are whole blocks, and the rest would still decrypt.
_NONCE = re.compile(r"[A-Za-z0-9]{1,32}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_RANDOM = 16
_LENGTH = 4
_PADDED_TO = 32  # bytes; the AES block itself has 16
_ENGLISH = re.compile(r"\b(?:help|for|in|expires|list|delete)\b", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Envelopes:
    """WeCom's encryption. It authenticates nothing: CBC can be modified, and only `signature` detects it.

    Each plaintext ends with `receive_id`, so a message for one receiver is not accepted by another.
    """

    token: bytes = field(repr=False)
    key: bytes = field(repr=False)
    """AES-256 key. Its first half is always the initialisation vector."""
    receive_id: bytes

    @classmethod
    def of(cls, token: str, aes_key: str, receive_id: str) -> Envelopes:
        """Return the envelopes for a Token and an EncodingAESKey of 43 characters."""
        return cls(token.encode(), base64.b64decode(aes_key + "="), receive_id.encode())

    def signature(self, timestamp: str, nonce: str, encrypted: str) -> str:
        """Return the SHA-1 signature in hexadecimal; all arguments are ASCII."""
        parts = sorted((self.token, timestamp.encode(), nonce.encode(), encrypted.encode()))
        return hashlib.sha1(b"".join(parts)).hexdigest()  # noqa: S324  # WeCom prescribes it

    def seal(self, message: bytes) -> str:
        """Encrypt `message` and return it in Base64."""
        length = len(message).to_bytes(_LENGTH, "big")
        padder = PKCS7(_PADDED_TO * 8).padder()
        plain = secrets.token_bytes(_RANDOM) + length + message + self.receive_id
        encryptor = self._cipher().encryptor()
        return base64.b64encode(
            encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
        ).decode()

    def open(self, encrypted: str) -> bytes | None:
        """Return the message, or None for every kind of invalid envelope."""
        decryptor = self._cipher().decryptor()
        unpadder = PKCS7(_PADDED_TO * 8).unpadder()
        try:
            padded = decryptor.update(base64.b64decode(encrypted, validate=True)) + decryptor.finalize()
            plain = unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            return None
        start = _RANDOM + _LENGTH
        end = start + int.from_bytes(plain[_RANDOM:start], "big")
        # Plaintexts without a length and truncated messages fail here as well.
        if len(plain) != end + len(self.receive_id) or plain[end:] != self.receive_id:
            return None
        return plain[start:end]

    def _cipher(self) -> Cipher[CBC]:
        return Cipher(AES(self.key), CBC(self.key[:16]))


@dataclass(frozen=True)
class Callbacks:
    """Verifies that WeCom sent a request. Reasons of refusals begin with `platform`."""

    platform: str
    envelopes: Envelopes
    nonces: Nonces
    clock: Clock

    def echo(self, query: Mapping[str, str]) -> ImmediateResponse:
        """Return the response to WeCom's check of the address; raise Unauthenticated."""
        # Base64 has no '%'. SCF does not document whether it decodes queries.
        echo = self.verify_and_decrypt("GET", query, unquote(query.get("echostr", "")))
        # SECURITY BOUNDARY: if the store failed to record a message's nonce, somebody who saw the message
        # could send it as a handshake and get this far. So the response never reveals JSON or XML.
        if echo.lstrip().startswith((b"{", b"<")):
            raise self._refused("echo")
        return ImmediateResponse(plain_text(echo.decode("utf-8", "replace")))

    def verify_and_decrypt(self, method: str, query: Mapping[str, str], encrypted: str) -> bytes:
        """Verify and decrypt `encrypted`, which came with this method and query.

        Raises Unauthenticated or StoreUnavailable.
        """
        timestamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise self._refused("timestamp")
        if not SIGNATURE_WINDOW.contains(int(timestamp), self.clock.now()):
            raise self._refused("time")
        if not _NONCE.fullmatch(nonce):
            raise self._refused("nonce")
        if not _BASE64.fullmatch(encrypted):
            raise self._refused("encrypted")
        own = self.envelopes.signature(timestamp, nonce, encrypted)
        given = query.get("msg_signature", "")
        if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), own.encode()):
            raise self._refused("signature")
        # SECURITY BOUNDARY: the method is not signed. Without it here, anybody who saw a message could send
        # it as a handshake, whose response is the decrypted text.
        use = hashlib.sha256(f"{method} {timestamp} {encrypted}".encode()).hexdigest()
        self.nonces.burn(self.platform, nonce, use=use, ttl=SIGNATURE_WINDOW.nonce_ttl)
        # SECURITY BOUNDARY: the signed parts are sorted, so nonce and time can change places. The signature
        # stays the same, so it is burned for as long as any reading of it is valid.
        longest = max(time - self.clock.now() for time in _readings(timestamp, nonce))
        self.nonces.burn(
            self.platform, "signed", own, use=use, ttl=max(longest, 0) + SIGNATURE_WINDOW.nonce_ttl
        )
        message = self.envelopes.open(encrypted)
        if message is None:
            raise self._refused("envelope")
        return message

    def _refused(self, cause: str) -> Unauthenticated:
        return Unauthenticated(f"{self.platform}-{cause}")


def _readings(timestamp: str, nonce: str) -> list[int]:
    """Return the times that the signed text can be read as naming, except those in the far future."""
    joined = [timestamp + nonce, nonce + timestamp]
    ends = [end for text in joined for end in (text[:_DIGITS], text[-_DIGITS:])]
    far = int(timestamp) + _FAR_FUTURE
    return [int(end) for end in ends if _TIMESTAMP.fullmatch(end) and int(end) <= far]


def locale_of(text: str) -> Locale:
    """Return the language of a command, because WeCom does not send the user's."""
    return Locale.EN if _ENGLISH.search(text) else Locale.ZH


def plain_text(body: str) -> Response:
    """Return a response that WeCom accepts. WeCom does not show an empty one to the user."""
    return Response(200, body, "text/plain; charset=utf-8")
