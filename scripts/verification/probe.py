"""The function that `scripts/verify-live` deploys for a few minutes, as `index.py`; standard library only.

It shows what reaches a function, and calls CVM with the credentials of the execution role. It answers only
requests with the token of this run, and never returns a private key.
"""

import hashlib
import hmac
import json
import os
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

_TIMER_EVENT = Path("/tmp/verify-timer-event.json")  # noqa: S108  # SCF's only writable folder
_CVM = "https://cvm.tencentcloudapi.com"
_PREFIX = "verify_"


def main_handler(event: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """Do what the path says."""
    if "httpMethod" not in event:
        _TIMER_EVENT.write_text(json.dumps({"event": event, "context": sorted(context)}))
        return _answer(200, {})
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    if not hmac.compare_digest(headers.get("x-verify-token", ""), os.environ["VERIFY_TOKEN"]):
        return _answer(403, {})
    path = event.get("path", "/")
    if path == "/crash":
        raise RuntimeError("a crash on purpose")
    if path == "/sleep":
        time.sleep(600)
    if path == "/cvm":
        return _answer(200, _cvm_calls(json.loads(event["body"])))
    if path == "/timer":
        return _answer(200, json.loads(_TIMER_EVENT.read_text()) if _TIMER_EVENT.exists() else {})
    if path == "/environment":
        own = {name: value for name, value in os.environ.items() if name.startswith("VERIFY_VALUE")}
        secret_id = os.environ.get("TENCENTCLOUD_SECRETID", "")
        return _answer(
            200,
            {
                "values": own,
                "python": list(sys.version_info[:2]),
                "credentials": hashlib.sha256(secret_id.encode()).hexdigest()[:12] if secret_id else "",
                "context": sorted(context),
            },
        )
    return _answer(200, {"event": {**event, "headers": headers}})


def _answer(status: int, content: object) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    return {"isBase64Encoded": False, "statusCode": status, "headers": headers, "body": json.dumps(content)}


def _cvm_calls(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the calls in order, or all at once with `atOnce`; nothing but names of this check is created."""
    calls = request["calls"]
    answers: list[dict[str, Any]] = [{} for _ in calls]

    def make(position: int) -> None:
        answers[position] = _cvm(request["region"], calls[position]["action"], calls[position]["parameters"])

    if not request.get("atOnce"):
        for position in range(len(calls)):
            for _ in range(5):
                make(position)
                if not answers[position].get("Error", {}).get("Code", "").startswith("RequestLimitExceeded"):
                    break
                time.sleep(1)
        return answers
    threads = [threading.Thread(target=make, args=(position,)) for position in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def _cvm(region: str, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
    if action == "CreateKeyPair" and not parameters.get("KeyName", "").startswith(_PREFIX):
        return {"Error": {"Code": "NotAllowed", "Message": "not a name of this check"}}
    endpoint = os.environ.get("KEYPAIR_CVM_ENDPOINT", _CVM)
    request = _signed(endpoint, region, action, json.dumps(parameters).encode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # the cloud's address
            response: dict[str, Any] = json.load(answer)["Response"]
    except OSError as error:
        return {"Error": {"Code": "NoAnswer", "Message": type(error).__name__}}
    # SECURITY BOUNDARY: the private key of a test key pair is dropped where it arrives.
    if "KeyPair" in response:
        response["KeyPair"].pop("PrivateKey", None)
    return response


def _signed(endpoint: str, region: str, action: str, body: bytes) -> urllib.request.Request:
    """Sign by TC3-HMAC-SHA256, https://cloud.tencent.com/document/api/213/30654."""
    now = int(time.time())
    date = time.strftime("%Y-%m-%d", time.gmtime(now))
    host = endpoint.partition("://")[2]
    hashed = hashlib.sha256(body).hexdigest()
    canonical = f"POST\n/\n\ncontent-type:application/json\nhost:{host}\n\ncontent-type;host\n{hashed}"
    scope = f"{date}/cvm/tc3_request"
    text = f"TC3-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("TC3" + os.environ["TENCENTCLOUD_SECRETKEY"]).encode()
    for part in (date, "cvm", "tc3_request", text):
        signature = hmac.new(key, part.encode(), hashlib.sha256)
        key = signature.digest()
    headers = {
        "Authorization": f"TC3-HMAC-SHA256 Credential={os.environ['TENCENTCLOUD_SECRETID']}/{scope}, "
        f"SignedHeaders=content-type;host, Signature={signature.hexdigest()}",
        "Content-Type": "application/json",
        "Host": host,
        "X-TC-Action": action,
        "X-TC-Version": "2017-03-12",
        "X-TC-Timestamp": str(now),
        "X-TC-Region": region,
    }
    token = os.environ.get("TENCENTCLOUD_SESSIONTOKEN")
    if token:
        headers["X-TC-Token"] = token
    return urllib.request.Request(endpoint, body, headers)  # noqa: S310  # as above
