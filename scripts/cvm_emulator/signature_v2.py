"""The signature of the legacy API, as https://cloud.tencent.com/document/product/215/1693 describes it."""

import base64
import hmac
import re
import threading
from collections.abc import Mapping

from .errors import ApiError
from .signature import Credential

PATH = "/v2/index.php"

_WINDOW_SECONDS = 300
_REQUIRED = ("Action", "SecretId", "Timestamp", "Nonce", "Signature")


class SignatureV2:
    """Checks requests against the one credential, and remembers the nonces of valid ones."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}

    def authenticate(self, method: str, host: str, parameters: Mapping[str, str], now: float) -> None:
        """Check a request by its method, its Host header and its parameters.

        Raises ApiError with a common code of the legacy API's later shape, or MissingParameter.
        """
        for name in _REQUIRED:
            if not parameters.get(name):
                raise ApiError("MissingParameter", f"The request is missing the parameter `{name}`.")
        if not hmac.compare_digest(parameters["SecretId"].encode(), self._credential.secret_id.encode()):
            raise ApiError("InvalidParameter.SecretIdNotFound", "The SecretId is not found.")
        expected = signature(self._credential.secret_key, method, host, parameters)
        if not hmac.compare_digest(parameters["Signature"].encode(), expected.encode()):
            raise ApiError("InvalidParameter.SignatureFailure", "The signature is not right.")
        if parameters.get("Token", "") != self._credential.token:
            raise ApiError("InvalidRequest.TokenCheckFailed", "The token is not the one of this SecretId.")
        self._refuse_replay(parameters["Nonce"], parameters["Timestamp"], now)

    def _refuse_replay(self, nonce: str, timestamp: str, now: float) -> None:
        if re.fullmatch(r"[1-9][0-9]*", nonce) is None or re.fullmatch(r"[0-9]{1,10}", timestamp) is None:
            raise ApiError("InvalidParameter", "`Nonce` or `Timestamp` is not a positive integer.")
        if abs(now - int(timestamp)) > _WINDOW_SECONDS:
            raise ApiError("InvalidRequest.ReplayAttack", "`Timestamp` is more than five minutes off.")
        with self._lock:
            self._seen = {
                key: moment for key, moment in self._seen.items() if now - moment <= _WINDOW_SECONDS
            }
            if nonce in self._seen:
                raise ApiError("InvalidRequest.ReplayAttack", "The `Nonce` was used before.")
            self._seen[nonce] = int(timestamp)


def signature(secret_key: str, method: str, host: str, parameters: Mapping[str, str]) -> str:
    """Return the signature of these parameters in base64, leaving out the one among them."""
    pairs = {name.replace("_", "."): value for name, value in parameters.items() if name != "Signature"}
    joined = "&".join(f"{name}={pairs[name]}" for name in sorted(pairs))
    # Anything but HmacSHA256 means HmacSHA1: https://cloud.tencent.com/document/api/213/4772
    digest = "sha256" if parameters.get("SignatureMethod") == "HmacSHA256" else "sha1"
    made = hmac.new(secret_key.encode(), f"{method}{host}{PATH}?{joined}".encode(), digest)
    return base64.b64encode(made.digest()).decode()
