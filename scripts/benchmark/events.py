"""Events as SCF delivers them, signed by the caller `bench`.

API v2 is not among them: it needs a store that outlives an instance, which would know the request the second
time.
"""

from __future__ import annotations

import hashlib
import json
import time
from datetime import datetime, timezone

from handler.auth.master_secret import MasterSecrets, Purpose
from handler.auth.tc3 import sign, signing_key

HOST = "bench.example.com"
SECRET_TEXT = "A" * 43
REGION = "ap-guangzhou"
_CALLER = "bench"
_SECRETS = MasterSecrets([bytes(32)])
_REST = "/v1/key-pairs"

Event = dict[str, object]


def rest(name: str, recipients: list[str]) -> Event:
    """Return a REST request for a key pair."""
    return _tc3(_REST, json.dumps({"keyName": name, "recipients": recipients}))


def api_v3(name: str, recipients: list[str]) -> Event:
    """Return a CreateKeyPair of API v3, as the SDKs send it."""
    body = json.dumps({"KeyName": name, "ProjectId": 0, "Recipients": recipients})
    headers = {"x-tc-action": "CreateKeyPair", "x-tc-version": "2017-03-12", "x-tc-region": REGION}
    return _tc3("/", body, headers)


def forged(event: Event) -> Event:
    """Return a request whose signature is that of another body."""
    return {**event, "body": "{}"}


def health() -> Event:
    """Return a request for the page that says that the function runs."""
    return {"httpMethod": "GET", "path": "/healthz", "headers": {}}


def _tc3(path: str, body: str, headers: dict[str, str] | None = None) -> Event:
    timestamp = int(time.time())
    date = datetime.fromtimestamp(timestamp, timezone.utc).strftime("%Y-%m-%d")
    key = signing_key(_SECRETS.derive(Purpose.TC3_SECRET, _CALLER)[0], date, "cvm")
    digest = hashlib.sha256(body.encode()).hexdigest()
    canonical = f"POST\n{path}\n\ncontent-type:application/json\nhost:{HOST}\n\ncontent-type;host\n{digest}"
    signature = sign(key, canonical, timestamp=timestamp, date=date, service="cvm")
    authorization = (
        f"TC3-HMAC-SHA256 Credential={_CALLER}/{date}/cvm/tc3_request, "
        f"SignedHeaders=content-type;host, Signature={signature}"
    )
    sent = {"content-type": "application/json", "x-tc-timestamp": str(timestamp), **(headers or {})}
    return {
        "httpMethod": "POST",
        "path": path,
        "headers": {**sent, "authorization": authorization},
        "body": body,
    }
