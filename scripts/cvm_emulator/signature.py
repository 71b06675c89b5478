"""TC3-HMAC-SHA256, as https://cloud.tencent.com/document/product/213/15692 describes it.

The official SDK computes the signature, so this check is independent of the function under test.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.message import Message

from tencentcloud.common.sign import Sign

from .errors import ApiError

_ALGORITHM = "TC3-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    rf"{_ALGORITHM} "
    r"Credential=(?P<secret_id>[^/,\s]+)/(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"/(?P<service>[a-z]+)/tc3_request, ?"
    r"SignedHeaders=(?P<signed_headers>[a-z0-9-]+(?:;[a-z0-9-]+)*), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_WINDOW_SECONDS = 300
_MUST_BE_SIGNED = {"content-type", "host"}


@dataclass(frozen=True)
class Credential:
    """The one key that the emulator accepts. With a token it is a temporary key."""

    secret_id: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)


def authenticate(
    headers: Message, body: bytes, credential: Credential, now: float, service: str = "cvm"
) -> None:
    """Check a `POST /` to a service against the credential.

    Raises ApiError with one of the AuthFailure codes, or MissingParameter.
    """
    authorization = _AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
    if authorization is None:
        raise ApiError(
            "AuthFailure.InvalidAuthorization", "The Authorization header is missing or malformed."
        )
    signed_headers = authorization["signed_headers"].split(";")
    if not set(signed_headers) >= _MUST_BE_SIGNED or signed_headers != sorted(set(signed_headers)):
        raise ApiError(
            "AuthFailure.InvalidAuthorization", "SignedHeaders must be sorted and hold content-type and host."
        )
    timestamp = _timestamp(headers, now)
    if not hmac.compare_digest(authorization["secret_id"].encode(), credential.secret_id.encode()):
        raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
    expected = _signature(headers, signed_headers, body, timestamp, credential, service=service)
    date_and_service = f"{authorization['date']}/{authorization['service']}"
    if not (
        date_and_service == f"{_utc_date(timestamp)}/{service}"
        and hmac.compare_digest(authorization["signature"], expected)
    ):
        raise ApiError("AuthFailure.SignatureFailure", "The provided credentials could not be validated.")
    if not hmac.compare_digest(headers.get("X-TC-Token", "").encode(), credential.token.encode()):
        raise ApiError("AuthFailure.TokenFailure", "The token is not the one of this SecretId.")


def _timestamp(headers: Message, now: float) -> int:
    text = headers.get("X-TC-Timestamp")
    if text is None:
        raise ApiError("MissingParameter", "The request is missing the header `X-TC-Timestamp`.")
    if re.fullmatch(r"[0-9]{1,10}", text) is None:
        raise ApiError("InvalidParameterValue", "The header `X-TC-Timestamp` is not a number of seconds.")
    if abs(now - int(text)) > _WINDOW_SECONDS:
        raise ApiError("AuthFailure.SignatureExpire", "X-TC-Timestamp is more than five minutes off.")
    return int(text)


def _signature(
    headers: Message,
    signed_headers: list[str],
    body: bytes,
    timestamp: int,
    credential: Credential,
    *,
    service: str,
) -> str:
    canonical_headers = "".join(
        f"{name}:{_signed_value(name, headers.get(name, ''))}\n" for name in signed_headers
    )
    canonical_request = "\n".join(
        ["POST", "/", "", canonical_headers, ";".join(signed_headers), hashlib.sha256(body).hexdigest()]
    )
    date = _utc_date(timestamp)
    string_to_sign = "\n".join(
        [
            _ALGORITHM,
            str(timestamp),
            f"{date}/{service}/tc3_request",
            hashlib.sha256(canonical_request.encode()).hexdigest(),
        ]
    )
    return str(Sign.sign_tc3(credential.secret_key, date, service, string_to_sign))


def _signed_value(name: str, value: str) -> str:
    value = value.strip()
    # The documented example signs `x-tc-action:describeinstances` for `X-TC-Action: DescribeInstances`.
    return value.lower() if name == "x-tc-action" else value


def _utc_date(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, tz=timezone.utc).strftime("%Y-%m-%d")
