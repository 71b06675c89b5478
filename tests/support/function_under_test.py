"""The function in this process, connected to the CVM emulator over a real socket."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyrage
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.common.sign import Sign

from handler import composition
from handler.http.endpoint import RequestContext
from handler.scf.events import parse_event
from handler.scf.invocation import Clock, Invocation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

REST = "/v1/key-pairs"
V3 = "/"
HOST = "keys.example.com"
HOST_WITH_PORT = "keys.example.com:9443"
REGION = "ap-guangzhou"
NOON = 1795521600
"""2026-11-24 12:00:00 UTC, when the fake clock starts."""

MASTER = b"master secret of today, 32 bytes"
PREVIOUS_MASTER = b"master secret before, 32 bytes.."
OTHER_MASTER = b"master secret of somebody else.."

RECIPIENT = pyrage.x25519.Identity.generate()
"""The default recipient of the requests in these tests."""
REGISTERED = pyrage.x25519.Identity.generate()
ESCROW = pyrage.x25519.Identity.generate()

_FREE: dict[str, Any] = {
    "names": ["*"],
    "projects": [0, 1234],
    "regions": [REGION, "ap-shanghai"],
    "optional_tags": {"note": "*", "团队": "*"},
    "own_recipients": True,
}
POLICY: dict[str, Any] = {
    # Tables of bad requests come from one address at one moment.
    "failed_rate": "999999/minute",
    "escrow": [str(ESCROW.to_public())],
    "callers": {
        "demo": {"tc3": True, "grants": [_FREE]},
        "second": {"tc3": True, "grants": [_FREE]},
        "registered": {"tc3": True, "recipients": [str(REGISTERED.to_public())], "grants": [_FREE]},
        "pinned": {
            "tc3": True,
            "recipients": [str(REGISTERED.to_public())],
            "grants": [{"names": ["*"], "regions": [REGION]}],
        },
        "restricted": {
            "tc3": True,
            "grants": [
                {
                    "names": ["ci_*"],
                    "projects": [1234],
                    "regions": ["ap-shanghai"],
                    "required_tags": {"team": "core-?"},
                    "longest_expiry": "12h",
                    "own_recipients": True,
                }
            ],
        },
        "no-tc3": {"grants": [_FREE]},
    },
}


@dataclass
class TestClock:
    """A clock that a test moves by hand."""

    __test__ = False  # not a test, despite its name

    time: float = NOON

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    paused: float = 0.0
    """Seconds that the machine was frozen, which only the wall clock counts."""

    def clock(self) -> Clock:
        return Clock(now=lambda: self.time, monotonic=lambda: self.time - self.paused, sleep=self.sleep)

    def pause(self, seconds: float) -> None:
        """Freeze the machine, as SCF does between requests."""
        self.time += seconds
        self.paused += seconds


@dataclass(frozen=True)
class Answer:
    """The value that SCF turns into an HTTP response, as its reader sees it."""

    event: dict[str, Any]

    @property
    def status(self) -> int:
        status: int = self.event["statusCode"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        headers: dict[str, str] = self.event["headers"]
        return headers

    @property
    def body(self) -> str:
        body: str = self.event["body"]
        return body

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def code(self) -> str | None:
        """The error code, from any endpoint; None if there is none."""
        code: str | None = self.json.get("code") or self.json.get("Response", {}).get("Error", {}).get("Code")
        return code


def caller_secret(caller: str, master: bytes = MASTER, scheme: str = "tc3") -> str:
    """Derive the secret of `caller`, independently of the code under test."""
    digest = hmac.new(master, f"{scheme}:{caller}".encode(), hashlib.sha256).digest()
    return base64url(digest)


def signature(
    secret: str,
    path: str,
    *,
    canonical_headers: str,
    signed_headers: str,
    body: bytes,
    timestamp: int,
    service: str,
    method: str = "POST",
    query: str = "",
) -> str:
    """Sign a request with the code of the official SDK."""
    date = utc_date(timestamp)
    digest = hashlib.sha256(body).hexdigest()
    canonical = f"{method}\n{path}\n{query}\n{canonical_headers}\n{signed_headers}\n{digest}"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"TC3-HMAC-SHA256\n{timestamp}\n{date}/{service}/tc3_request\n{hashed}"
    return str(Sign.sign_tc3(secret, date, service, text))


def utc_date(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, timezone.utc).strftime("%Y-%m-%d")


@dataclass
class FunctionUnderTest:
    """An application as `handler.index` builds it, with a manual clock and an audit log in memory."""

    emulator: EmulatorProcess
    policy_file: Path
    policy: Mapping[str, Any] = field(default_factory=lambda: POLICY)
    settings: Mapping[str, str] = field(default_factory=dict)
    clock: TestClock = field(default_factory=TestClock)
    audit: io.StringIO = field(default_factory=io.StringIO)
    chat: composition.ChatNetwork | None = None

    def __post_init__(self) -> None:
        self.policy_file.write_text(json.dumps(self.policy), encoding="utf-8")
        self.environ = {
            "KEYPAIR_REGION": REGION,
            "KEYPAIR_HOSTS": f"{HOST},{HOST_WITH_PORT}",
            "KEYPAIR_MASTER_SECRET": base64url(MASTER),
            "KEYPAIR_PREVIOUS_MASTER_SECRET": base64url(PREVIOUS_MASTER),
            "KEYPAIR_POLICY": str(self.policy_file),
            "KEYPAIR_CVM_ENDPOINT": self.emulator.cvm_endpoint,
            # As under scripts/serve: one process, whose memory all requests share.
            "KEYPAIR_SCF_ENDPOINT": "http://127.0.0.1:9",
            "TENCENTCLOUD_SECRETID": self.emulator.secret_id,
            "TENCENTCLOUD_SECRETKEY": self.emulator.secret_key,
            **self.settings,
        }
        self.services = composition.services(self.environ, self.clock.clock(), lambda: self.audit, self.chat)

    @property
    def services(self) -> composition.Services:
        """The services of the application. Setting it builds a new application."""
        return self._services

    @services.setter
    def services(self, services: composition.Services) -> None:
        self._services = services
        self.application = services.application()

    def call(self, event: object, context: object = None) -> Answer:
        """Return the response to one event, as `handler.index.main_handler` does."""
        invocation = Invocation.begin(context, self.environ, self.clock.clock())
        return Answer(self.application.dispatch(event, invocation).to_event())

    def context(self, event: object = None, request_id: str = "request-1") -> RequestContext:
        """Return the context of a request, as `Application.dispatch` makes one."""
        invocation = Invocation.begin({"request_id": request_id}, self.environ, self.clock.clock())
        trail = self.services.audit_log.trail("", invocation.request_id)
        request = parse_event(event or self.signed(REST))
        return RequestContext(request, invocation, trail, event)

    def audit_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit.getvalue().splitlines()]

    def forget_audit(self) -> None:
        self.audit.seek(0)
        self.audit.truncate()

    def create_calls(self) -> int:
        """Return how many CreateKeyPair calls the cloud has received, from any client."""
        return self.emulator.calls("CreateKeyPair")

    def rest_body(self, **changes: object) -> dict[str, object]:
        """Return a valid REST body with a fresh name. None as a value removes a field."""
        return _changed({"keyName": fresh_name(), "recipients": [str(RECIPIENT.to_public())]}, changes)

    def v3_body(self, **changes: object) -> dict[str, object]:
        """Return a valid body for the Tencent v3 endpoint with a fresh name. None removes a field."""
        body = {"KeyName": fresh_name(), "ProjectId": 0, "Recipients": [str(RECIPIENT.to_public())]}
        return _changed(body, changes)

    def signed(
        self,
        path: str,
        body: object = None,
        caller: str = "demo",
        *,
        master: bytes = MASTER,
        secret: str | None = None,
        timestamp: int | None = None,
        host: str = HOST,
        service: str = "cvm",
        content_type: str = "application/json",
        also_signed: Mapping[str, str] | None = None,
        signed_headers: Sequence[str] | None = None,
        **headers: str | None,
    ) -> dict[str, Any]:
        """Return the event of a request that is signed like those of the official SDKs.

        `body` is sent as JSON; bytes and text as they are, and none at all means a good one. `also_signed`
        are more headers under the signature, `headers` (`_` for `-`) are set afterwards, None takes one away.
        """
        if body is None:
            body = self.rest_body() if path == REST else self.v3_body()
        raw = (
            body
            if isinstance(body, bytes)
            else (body if isinstance(body, str) else json.dumps(body)).encode()
        )
        timestamp = int(self.clock.time) if timestamp is None else timestamp
        under = {"content-type": content_type, "host": host}
        under |= {name.lower(): value for name, value in (also_signed or {}).items()}
        names = sorted(under) if signed_headers is None else signed_headers
        canonical = "".join(f"{name}:{under.get(name, '').strip().lower()}\n" for name in names)
        made = signature(
            secret or caller_secret(caller, master),
            path,
            canonical_headers=canonical,
            signed_headers=";".join(names),
            body=raw,
            timestamp=timestamp,
            service=service,
        )
        scope = f"{caller}/{utc_date(timestamp)}/{service}/tc3_request"
        sent: dict[str, str | None] = {
            "host": host,
            "content-type": content_type,
            **(also_signed or {}),
            "x-scf-remote-addr": "203.0.113.7",
            "x-tc-timestamp": str(timestamp),
            "x-tc-language": "zh-CN",
            "authorization": f"TC3-HMAC-SHA256 Credential={scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={made}",
        }
        if path == V3:
            sent |= {"x-tc-action": "CreateKeyPair", "x-tc-version": "2017-03-12", "x-tc-region": REGION}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return {
            "httpMethod": "POST",
            "path": path,
            "queryString": {},
            "headers": {name: value for name, value in sent.items() if value is not None},
            "body": raw.decode("utf-8"),
        }

    def asking(
        self,
        method: str,
        path: str = REST,
        query: Mapping[str, str] | None = None,
        caller: str = "demo",
        timestamp: int | None = None,
    ) -> dict[str, Any]:
        """Return the event of a GET or DELETE, signed as docs/callers.md says."""
        timestamp = int(self.clock.time) if timestamp is None else timestamp
        made = signature(
            caller_secret(caller),
            path,
            canonical_headers=f"host:{HOST}\n",
            signed_headers="host",
            body=b"",
            timestamp=timestamp,
            service="cvm",
            method=method,
            query="&".join(
                f"{name}={quote(value, safe='')}" for name, value in sorted((query or {}).items())
            ),
        )
        scope = f"{caller}/{utc_date(timestamp)}/cvm/tc3_request"
        headers = {
            "host": HOST,
            "x-scf-remote-addr": "203.0.113.7",
            "x-tc-timestamp": str(timestamp),
            "authorization": f"TC3-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={made}",
        }
        return {"httpMethod": method, "path": path, "queryString": dict(query or {}), "headers": headers}

    def delete_key_pairs(self) -> None:
        """Delete all key pairs, so that no test reaches the quota."""
        key_ids = [key_pair["KeyId"] for key_pair in self.emulator.key_pairs()]
        if not key_ids:
            return
        http = HttpProfile(protocol="http", endpoint=self.emulator.cvm_endpoint.removeprefix("http://"))
        credential = Credential(self.emulator.secret_id, self.emulator.secret_key)
        profile = ClientProfile(httpProfile=http)
        client = CommonClient("cvm", "2017-03-12", credential, REGION, profile)
        client.call_json("DeleteKeyPairs", {"KeyIds": key_ids})


def with_parts(services: composition.Services, **parts: object) -> composition.Services:
    """Return services with some of those replaced that are made when they are first used."""
    changed = replace(services)
    vars(changed).update(parts)
    return changed


def fresh_name() -> str:
    return f"k_{uuid.uuid4().hex[:20]}"


def nested(depth: int) -> list[Any]:
    """Return as many lists inside each other."""
    return [nested(depth - 1)] if depth > 1 else []


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _changed(body: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in {**body, **changes}.items() if value is not None}
