"""Verifies the signature of the legacy API v2, HmacSHA256 or HmacSHA1.

https://cloud.tencent.com/document/product/215/1693 describes how a request is signed. The signed text is
METHOD, host, path and all parameters as `a=1&b=2`, without escapes, so one text can stand for several sets
of parameters. Ambiguous requests are refused: `&` in a value, anything but letters, digits, `_` and `.` in a
name, and two names that are signed as the same one. One weakness remains that no verifier can repair: a
client that signs `&` in a value has also signed the parameters after it. API v3 does not have this problem.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from handler.auth.master_secret import Purpose
from handler.auth.request_signatures import SignatureVerifier
from handler.errors import Unauthenticated
from handler.scf.events import BODY_LIMIT
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.http.messages import Request

PARAMETERS_LIMIT = 64

_DEFAULT_METHOD = "HmacSHA1"
_DIGESTS = {_DEFAULT_METHOD: hashlib.sha1, "HmacSHA256": hashlib.sha256}

# ASCII: otherwise U+017F is an 's' to IGNORECASE.
_FORM = re.compile(r"application/x-www-form-urlencoded(?:\s*;\s*charset=utf-8)?", re.ASCII | re.IGNORECASE)
_FORM_BODY = re.compile(rb"[!-~]+")
_NAME = re.compile(r"[A-Za-z0-9_.]{1,64}")
_AMBIGUOUS = re.compile(r"[&\ud800-\udfff]")  # a lone surrogate has no UTF-8
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{27}(?:[A-Za-z0-9+/]{16})?=")  # 20 or 32 bytes
_SECRET_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NONCE = re.compile(
    r"[1-9][0-9]{0,19}"
)  # up to 64 bits; a leading zero would make two spellings of one number


@dataclass(frozen=True)
class V2Signature:
    """A verified signature. Nobody can make it without the secret, so it identifies this request.

    `method` is HmacSHA256 or HmacSHA1. Whether the caller may use it, and whether the nonce was used before,
    remains to be checked.
    """

    caller_id: str
    method: str
    nonce: str
    signature: str


def parameters_of(request: Request) -> dict[str, str]:
    """Return the parameters of a request, under the names that are signed; raise Unauthenticated.

    For a GET, SCF parses the query. Which of two equal names it keeps is not documented, but does not
    matter: the one it keeps is the one that is verified here and read afterwards.
    """
    if request.method == "GET":
        if request.unverified_body:
            raise Unauthenticated("v2-two-places")
        pairs = list(request.query.items())
    elif request.method == "POST":
        if request.query:
            raise Unauthenticated("v2-two-places")
        pairs = _form(request)
    else:
        raise Unauthenticated("v2-method")
    if len(pairs) > PARAMETERS_LIMIT or sum(len(name) + len(value) for name, value in pairs) > BODY_LIMIT:
        raise Unauthenticated("v2-size")
    parameters: dict[str, str] = {}
    for name, value in pairs:
        # SECURITY BOUNDARY: a parameter a with the value `1&b=2` and two parameters a=1 and b=2 have the same
        # signed text. So have the names `a_b` and `a.b`. Whoever relays a request could exchange them.
        if not _NAME.fullmatch(name) or _AMBIGUOUS.search(value):
            raise Unauthenticated("v2-ambiguous")
        signed_name = name.replace("_", ".")
        if signed_name in parameters:
            raise Unauthenticated("v2-twice")
        parameters[signed_name] = value
    return parameters


def _form(request: Request) -> list[tuple[str, str]]:
    if not _FORM.fullmatch(request.headers.get("content-type", "").strip()):
        raise Unauthenticated("v2-content-type")
    if not _FORM_BODY.fullmatch(request.unverified_body):
        raise Unauthenticated("v2-form")
    try:
        return parse_qsl(
            request.unverified_body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=PARAMETERS_LIMIT,
        )
    except ValueError:  # too many, one without `=`, or escapes that are not UTF-8
        raise Unauthenticated("v2-form") from None


def sign(
    secret: str, parameters: Mapping[str, str], *, signature_method: str, method: str, host: str, path: str
) -> str:
    """Return the signature of `parameters` (all except Signature) in padded base64."""
    joined = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    text = f"{method}{host}{path}?{joined}"
    digest = hmac.new(secret.encode(), text.encode(), _DIGESTS[signature_method]).digest()
    return base64.b64encode(digest).decode()


class SignatureV2Verifier(SignatureVerifier):
    """Verifies HmacSHA256 and HmacSHA1."""

    scheme = "v2"
    purpose = Purpose.V2_SECRET

    def verify(self, request: Request) -> V2Signature:
        """Return who signed `request`; raise Unauthenticated."""
        parameters = parameters_of(request)
        signature = parameters.pop("Signature", "")
        if not _SIGNATURE.fullmatch(signature):
            raise Unauthenticated("v2-signature-form")
        caller_id = parameters.get("SecretId", "")
        if not _SECRET_ID.fullmatch(caller_id):
            raise Unauthenticated("v2-secret-id")
        # The cloud treats any other text as HmacSHA1 (213/4772). A caller who misspells the stronger method
        # would never find out.
        signature_method = parameters.get("SignatureMethod", _DEFAULT_METHOD)
        if signature_method not in _DIGESTS:
            raise Unauthenticated("v2-signature-method")
        nonce = parameters.get("Nonce", "")
        if not _NONCE.fullmatch(nonce):
            raise Unauthenticated("v2-nonce")
        self._timestamp(parameters.get("Timestamp", ""))
        expected = [
            sign(
                secret,
                parameters,
                signature_method=signature_method,
                method=request.method,
                host=host,
                path=request.path,
            )
            for secret in self._secrets(caller_id)
            for host in self.signed_hosts
        ]
        self._require_match(signature, expected)
        return V2Signature(caller_id, signature_method, nonce, signature)
