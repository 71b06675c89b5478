"""Requests of the legacy API v2, signed with the arithmetic of its own client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from QcloudApi.common.sign import Sign  # type: ignore[import-untyped]  # it ships no types

from tests.support.function_under_test import HOST, MASTER, NOON, caller_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = "/v2/index.php"
FORM = "application/x-www-form-urlencoded"


def v2_signature(
    secret: str,
    parameters: Mapping[str, str],
    signature_method: str = "HmacSHA256",
    *,
    method: str = "GET",
    host: str = HOST,
    path: str = PATH,
) -> str:
    return str(Sign("", secret).make(host, path, parameters, method, signature_method))


@dataclass(frozen=True)
class V2Request:
    """A request to be signed: what it asks for, and how it goes out. None takes a parameter away."""

    wanted: Mapping[str, str]
    changes: Mapping[str, str | None] = field(default_factory=dict)
    """Of the parameters, before they are signed."""
    caller: str = "demo"
    method: str = "GET"
    signature_method: str = "HmacSHA256"
    master: bytes = MASTER
    host: str = HOST
    path: str = PATH
    timestamp: int = NOON
    nonce: str = "11886"

    def signed(self) -> dict[str, str]:
        """Return all parameters, the signature last."""
        common = {
            "Action": "CreateKeyPair",
            "Nonce": self.nonce,
            "SecretId": self.caller,
            "SignatureMethod": self.signature_method,
            "Timestamp": str(self.timestamp),
        }
        parameters = {
            name: value
            for name, value in {**common, **self.wanted, **self.changes}.items()
            if value is not None
        }
        made = v2_signature(
            caller_secret(self.caller, self.master, "v2"),
            parameters,
            self.signature_method,
            method=self.method,
            host=self.host,
            path=self.path,
        )
        return {**parameters, "Signature": made}

    def event(self) -> dict[str, Any]:
        return v2_event(self.signed(), self.method, path=self.path)


def v2_event(parameters: Mapping[str, str], method: str = "GET", *, path: str = PATH) -> dict[str, Any]:
    """Return the event in which parameters arrive: in the query, or in a form."""
    headers = {"host": HOST, "x-scf-remote-addr": "203.0.113.7"}
    if method == "GET":
        return {"httpMethod": "GET", "path": path, "queryString": dict(parameters), "headers": headers}
    headers["content-type"] = FORM
    return {
        "httpMethod": method,
        "path": path,
        "queryString": {},
        "headers": headers,
        "body": urlencode(parameters),
    }
