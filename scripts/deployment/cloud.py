"""The cloud's API for a person who deploys: CommonClient, with errors that say what was called."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from scripts.deployment.errors import CallFailed, SettingsMissing

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS = {
    "cam": "2019-01-16",
    "cls": "2020-10-16",
    "scf": "2018-04-16",
    "tag": "2018-08-13",
}
BODY_LIMIT = 10 * 1024 * 1024
"""Bytes that the body of a call may have, https://cloud.tencent.com/document/api/583/17232."""
_TIMEOUT = 60
_READING = ("Get", "List", "Describe", "Search")
_TRIES = 3
_NETWORK_FAULTS = (
    ("NameResolutionError", "the name of the cloud's API cannot be resolved"),
    ("CERTIFICATE_VERIFY_FAILED", "the certificate of the cloud's API is not trusted"),
    ("SSLError", "the TLS handshake failed"),
    ("timed out", "the request timed out"),
    ("Connection refused", "the connection was refused"),
    ("unreachable", "the network is unreachable"),
)
"""What urllib3 says when a connection fails, and that in plain words. The first that fits counts."""


@dataclass(frozen=True)
class Identity:
    """The deployer's key."""

    secret_id: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Identity:
        """Take it from the environment; raise SettingsMissing."""
        for prefix in ("TENCENTCLOUD_", "TENCENT_"):
            secret_id = environment.get(prefix + "SECRET_ID")
            secret_key = environment.get(prefix + "SECRET_KEY")
            if secret_id and secret_key:
                return cls(secret_id, secret_key, environment.get(prefix + "TOKEN", ""))
        raise SettingsMissing(
            "TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY (with TENCENTCLOUD_TOKEN for a temporary "
            "key) are not set, neither in the environment nor in .env"
        )


class Cloud(Protocol):
    """Whatever takes calls of the cloud's API v3."""

    def call(self, service: str, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is in `Response`; raise CallFailed."""


@dataclass(frozen=True)
class TencentCloud:
    """The real API, or an imitation of it at `endpoint`, which answers for every service."""

    identity: Identity
    region: str
    endpoint: str | None = None

    def call(self, service: str, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is in `Response`; a call that only reads is repeated when no answer arrives."""
        tries = _TRIES if action.startswith(_READING) else 1
        while True:
            tries -= 1
            try:
                return self._call_once(service, action, parameters)
            except CallFailed as failure:
                if failure.code or not tries:
                    raise

    def _without_answer(self, message: str) -> str:
        """Return what to do about a failure that the SDK reports in the words of urllib3."""
        found = next((text for sign, text in _NETWORK_FAULTS if sign in message), None)
        if found is None:
            return message
        return f"{found}. Check this machine's network and proxy, and that the region {self.region} exists."

    def _call_once(self, service: str, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        # The SDK's datetime.utcfromtimestamp is deprecated from Python 3.12 on.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="tencentcloud")
        from tencentcloud.common.common_client import CommonClient
        from tencentcloud.common.credential import Credential
        from tencentcloud.common.exception import TencentCloudSDKException
        from tencentcloud.common.profile.client_profile import ClientProfile
        from tencentcloud.common.profile.http_profile import HttpProfile

        http = HttpProfile(reqTimeout=_TIMEOUT)
        if self.endpoint:
            protocol, _, host = self.endpoint.partition("://")
            http = HttpProfile(protocol=protocol, endpoint=host, reqTimeout=_TIMEOUT)
        credential = Credential(
            self.identity.secret_id, self.identity.secret_key, self.identity.token or None
        )
        # The SDK's StandardRetryer repeats calls after a success; see handler/cloud/sdk.py.
        profile = ClientProfile(httpProfile=http, retryer=None, disable_region_breaker=True)
        client = CommonClient(service, VERSIONS[service], credential, self.region, profile)
        what = f"{service} {action}"
        try:
            body = client.call(action, dict(parameters))
            answer: dict[str, Any] = json.loads(body)["Response"]
        except TencentCloudSDKException as error:
            code = str(error.get_code() or "")
            # The SDK's own codes for 'no usable answer' begin with Client or Server.
            if code.startswith(("Client", "Server")):
                raise CallFailed(what, "", self._without_answer(str(error.get_message()))) from None
            raise CallFailed(what, code, str(error.get_message())) from None
        except (ValueError, KeyError) as error:
            raise CallFailed(what, "", "the response is not from the API") from error
        # The SDK looks for errors only where the Content-Type is exactly the one it expects.
        if "Error" in answer:
            raise CallFailed(what, str(answer["Error"]["Code"]), str(answer["Error"]["Message"]))
        return answer
