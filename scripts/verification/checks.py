"""One check for each assumption, the harmful ones first."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from scripts.deployment.account import present
from scripts.deployment.errors import CallFailed, DeploymentStopped
from scripts.verification.live import TAG, new_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scripts.verification.live import Live


class Status(str, Enum):
    """What a check found."""

    HOLDS = "holds"
    BROKEN = "broken"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Finding:
    """What a check found, with what it saw."""

    status: Status
    detail: str


@dataclass(frozen=True)
class Assumption:
    """Something that the function depends on and nobody has confirmed."""

    id: str
    text: str
    if_broken: str
    """What it means and what to do, for somebody who does not know the code."""
    check: Callable[[Live], Finding]
    needs_rights: bool = False
    """Whether it makes no sense without the role's rights."""


def _holds(detail: str = "") -> Finding:
    return Finding(Status.HOLDS, detail)


def _broken(detail: str) -> Finding:
    return Finding(Status.BROKEN, detail)


def _unchecked(detail: str) -> Finding:
    return Finding(Status.NOT_CHECKED, detail)


def _code(answer: Mapping[str, Any]) -> str:
    """Return the error code of an answer; empty if it succeeded."""
    return str(answer.get("Error", {}).get("Code", ""))


_TAGS = [{"ResourceType": "keypair", "Tags": [{"Key": TAG, "Value": "one"}]}]
"""Always the same: a value of a tag outlives what bears it, and an account has room for so many."""
_HTTP_ERROR = 400
_PATIENCE = 3
"""How often something is asked for that may take a moment."""


def rights(live: Live) -> Finding:
    """Use each right of the role once."""
    try:
        key_id = live.create(TagSpecification=_TAGS)["KeyId"]
    except DeploymentStopped as refused:
        return _broken(f"with a tag: {refused}")
    answers = live.cvm(
        ("DescribeKeyPairs", {"KeyIds": [key_id]}),
        ("ModifyKeyPairAttribute", {"KeyId": key_id, "Description": "verify"}),
        ("DeleteKeyPairs", {"KeyIds": [key_id]}),
    )
    names = ("DescribeKeyPairs", "ModifyKeyPairAttribute", "DeleteKeyPairs")
    denied = [
        f"{name}: {_code(answer)}"
        for name, answer in zip(names, answers, strict=True)
        if _code(answer).startswith(("UnauthorizedOperation", "AuthFailure"))
    ]
    return _broken("; ".join(denied)) if denied else _holds("create, describe, modify, delete, with tags")


def modify_at_once(live: Live) -> Finding:
    """Change a key pair directly after it was made."""
    key_id = live.create()["KeyId"]
    (answer,) = live.cvm(("ModifyKeyPairAttribute", {"KeyId": key_id, "Description": "verify"}))
    return _broken(_code(answer)) if _code(answer) else _holds()


def read_your_writes(live: Live) -> Finding:
    """Look for a key pair by name directly after it was made."""
    made = live.create()
    (answer,) = live.cvm(("DescribeKeyPairs", _by("key-name", made["KeyName"])))
    found = [pair["KeyId"] for pair in answer.get("KeyPairSet", [])]
    return _holds() if found == [made["KeyId"]] else _broken(f"{len(found)} found, {_code(answer)}")


def tags_visible(live: Live) -> Finding:
    """Look for the tags of a key pair, and for the key pair by its tag."""
    key_id = live.create(TagSpecification=_TAGS)["KeyId"]
    (answer,) = live.cvm(("DescribeKeyPairs", {"KeyIds": [key_id]}))
    (pair,) = answer.get("KeyPairSet") or [{}]
    if _TAGS[0]["Tags"][0] not in (pair.get("Tags") or []):
        return _broken("the first DescribeKeyPairs shows the key pair without its tags")
    for _ in range(_PATIENCE):
        (answer,) = live.cvm(("DescribeKeyPairs", {**_by("tag-key", TAG), "Limit": 100}))
        if key_id in [pair["KeyId"] for pair in answer.get("KeyPairSet", [])]:
            return _holds()
        live.sleep(1)
    return _broken("the filter tag-key does not find it")


def descriptions(live: Live) -> Finding:
    """Look at the description of a new key pair, and at one that was set."""
    key_id = live.create()["KeyId"]
    (answer,) = live.cvm(("DescribeKeyPairs", {"KeyIds": [key_id]}))
    (pair,) = answer.get("KeyPairSet") or [{}]
    if pair.get("Description"):
        return _broken(f"a new key pair has the description {pair['Description']!r}")
    for _ in range(_PATIENCE):
        (answer,) = live.cvm(("ModifyKeyPairAttribute", {"KeyId": key_id, "Description": "verify"}))
        if not _code(answer):
            break
        live.sleep(1)
    (answer,) = live.cvm(("DescribeKeyPairs", {"KeyIds": [key_id]}))
    (pair,) = answer.get("KeyPairSet") or [{}]
    said = pair.get("Description")
    return _holds() if said == "verify" else _broken(f"given 'verify', returned {said!r}")


_HEADERS = {
    "Authorization": "TC3-HMAC-SHA256 Credential=verify/2026-01-01/cvm/tc3_request, SignedHeaders=host, "
    "Signature=0",
    "Content-Type": "application/json",
    "Idempotency-Key": "verify-Key-1",
    "X-TC-Action": "CreateKeyPair",
    "X-TC-Timestamp": "1767225600",
    "X-TC-Version": "2017-03-12",
}


def headers(live: Live) -> Finding:
    """Send the headers that callers sign."""
    answer = live.ask("/echo", b"{}", **{name.replace("-", "_"): value for name, value in _HEADERS.items()})
    content = answer.json()
    arrived = content["event"]["headers"] if isinstance(content, dict) else {}
    lost = [name for name, value in _HEADERS.items() if arrived.get(name.lower()) != value]
    return _broken("missing or changed: " + ", ".join(lost)) if lost else _holds()


def body(live: Live) -> Finding:
    """Send a body whose every byte counts, as under a signature."""
    sent = '{ "keyName" : "密钥 é",\t"n": 1.0 }\n'.encode()
    content = live.ask("/echo", sent, Content_Type="application/json").json()
    event = content["event"] if isinstance(content, dict) else {}
    arrived = str(event.get("body", ""))
    raw = base64.b64decode(arrived) if event.get("isBase64Encoded") is True else arrived.encode()
    encoded = "in base64" if event.get("isBase64Encoded") is True else "as text"
    return _holds(encoded) if raw == sent else _broken(f"sent {sent!r}, arrived {raw[:80]!r}")


def failures(live: Live) -> Finding:
    """Let the function crash, and let it run out of time."""
    crashed = live.ask("/crash")
    live.cloud.call("scf", "UpdateFunctionConfiguration", {**live.function, "Timeout": 1})
    live.wait()
    timed_out = live.ask("/sleep")
    live.cloud.call("scf", "UpdateFunctionConfiguration", {**live.function, "Timeout": 20})
    live.wait()
    seen = f"a crash (430) gives {crashed.status}, a time-out (433) gives {timed_out.status}"
    failed = all(one.status == 0 or one.status >= _HTTP_ERROR for one in (crashed, timed_out))
    return _holds(seen) if failed else _broken(seen)


def throttling(live: Live) -> Finding:
    """Send more calls at once than the documented ten a second, and look for those that were refused."""
    names = [new_name() for _ in range(16)]
    calls = [("CreateKeyPair", {"KeyName": name, "ProjectId": 0}) for name in names]
    answers = live.cvm(*calls, at_once=True)
    refused = [
        name
        for name, answer in zip(names, answers, strict=True)
        if _code(answer).startswith("RequestLimitExceeded")
    ]
    if not refused:
        return _unchecked("no call of 16 at once was throttled")
    live.sleep(2)
    executed = []
    for name in refused:
        (answer,) = live.cvm(("DescribeKeyPairs", _by("key-name", name)))
        for pair in answer.get("KeyPairSet", []):
            live.key_ids.add(pair["KeyId"])
            executed.append(name)
    if executed:
        return _broken(f"{len(executed)} of {len(refused)} throttled calls made a key pair all the same")
    return _holds(f"{len(refused)} of 16 calls at once were throttled, and none of them was executed")


def timer(live: Live) -> Finding:
    """Wait for the event of a timer."""
    for _ in range(30):
        seen = live.see("/timer")
        if seen:
            event = seen["event"]
            missing = {"Type", "TriggerName", "Time", "Message"} - set(event)
            if missing or event["Type"] != "Timer":
                return _broken(f"the event is {json.dumps(event)[:200]}")
            return _holds(f"fields {sorted(event)}")
        live.sleep(5)
    # Another instance may have had it: the probe remembers it in its own folder.
    return _unchecked("no event of the timer was seen in two minutes and a half")


def memory(live: Live) -> Finding:
    """Run the deployed function once, and read what SCF says of its memory."""
    inputs = live.file.inputs
    function = {"FunctionName": inputs.name, "Namespace": inputs.namespace}
    if present(live.cloud, "scf", "GetFunction", function) is None:
        return _unchecked("the function itself is not deployed")
    event = {"httpMethod": "GET", "path": "/healthz", "headers": {}, "queryString": {}, "body": ""}
    call = {**function, "Qualifier": "$DEFAULT", "ClientContext": json.dumps(event)}
    used = int(live.cloud.call("scf", "Invoke", call)["Result"]["MemUsage"]) / 2**20
    limit = inputs.memory_size
    seen = f"{used:.0f} of {limit} MB"
    return _holds(seen) if used <= limit * 0.8 else _broken(seen)


def runtime(live: Live) -> Finding:
    """Compare the interpreter with the one that the package is built for."""
    wanted = live.file.inputs.runtime
    version = "Python" + ".".join(map(str, live.see("/environment")["python"]))
    return _holds(wanted) if version == wanted else _broken(f"{wanted} runs {version}")


def values(live: Live) -> Finding:
    """Give the function a value that the documented pattern forbids."""
    value = "a-b.c:d/e@f"
    try:
        live.configure(VERIFY_VALUE=value)
    except CallFailed as failure:
        if failure.code:
            return _broken(f"refused: {failure.code}")
        raise
    arrived = live.see("/environment")["values"].get("VERIFY_VALUE")
    return _holds() if arrived == value else _broken(f"arrived as {arrived!r}")


def vpc(live: Live) -> Finding:
    """Look whether a function in a private network reaches the public internet."""
    if live.file.inputs.vpc_config is None:
        return _unchecked("serverless.yml names no vpcConfig")
    config = live.file.inputs.vpc_config
    network = {"VpcId": config.vpc_id, "SubnetId": config.subnet_id}
    live.cloud.call("scf", "UpdateFunctionConfiguration", {**live.function, "VpcConfig": network})
    live.wait()
    (answer,) = live.cvm(("DescribeKeyPairs", {"Limit": 1}))
    return _broken(_code(answer)) if _code(answer) else _holds()


def renewal(live: Live) -> Finding:
    """Say what only hours can show."""
    if not live.see("/environment")["credentials"]:
        return _broken("SCF passes no credentials in TENCENTCLOUD_SECRETID")
    return _unchecked(
        "credentials are there; that they are renewed shows after hours: look for "
        "'no cloud credentials' or AuthFailure in the log of the second day"
    )


def _by(name: str, value: str) -> dict[str, Any]:
    return {"Filters": [{"Name": name, "Values": [value]}]}


ASSUMPTIONS = (
    Assumption(
        "role-rights",
        "The role may create, describe, modify and delete key pairs with `keypair/*`, and tag them without a "
        "right of the tag service",
        "No key pair can be issued, or none can be cleaned up. Grant the role the action that is named: "
        "docs/deploy.md, 'The function's role'. If CreateKeyPair is refused because of the tag, add the tag "
        "service's action that the message names.",
        rights,
    ),
    Assumption(
        "modify-at-once",
        "ModifyKeyPairAttribute works directly after CreateKeyPair",
        "Orders fail with 503 and the key pair is deleted again; callers repeat them. Tell this project, and "
        "do not deploy until it waits before it modifies.",
        modify_at_once,
        needs_rights=True,
    ),
    Assumption(
        "read-your-writes",
        "DescribeKeyPairs finds a key pair by name directly after it was made",
        "After a time-out a key pair may be taken for missing, and be left over until the sweeper finds it. "
        "Keep the sweeper's timer on.",
        read_your_writes,
        needs_rights=True,
    ),
    Assumption(
        "tags-visible",
        "Tags are set together with the key pair, and DescribeKeyPairs and its filter show them",
        "The sweeper does not recognise leftovers and leaves them; they use up the quota of key pairs. Look "
        "for key pairs without an owner in the console once a week, until it is mended.",
        tags_visible,
        needs_rights=True,
    ),
    Assumption(
        "descriptions",
        "A new key pair has no description, and a description that was set stays",
        "The sweeper cannot tell key pairs that were released from those that were not, and may delete one "
        "that somebody uses. Before anything else, set `enable: false` on the timer in serverless.yml, and "
        "run scripts/deploy apply.",
        descriptions,
        needs_rights=True,
    ),
    Assumption(
        "headers",
        "Authorization, Content-Type, Idempotency-Key and X-TC-* reach the function unchanged",
        "Signatures do not verify: every caller gets 401. Use bearer tokens if Authorization arrives, or put "
        "another entrance than the Function URL before the function.",
        headers,
    ),
    Assumption(
        "body",
        "The body reaches the function byte for byte, as UTF-8 text or in base64",
        "Signatures over such bodies do not verify. Let callers send ASCII: JSON with \\u escapes.",
        body,
    ),
    Assumption(
        "failures",
        "SCF answers a crash and a time-out of the function with an HTTP error",
        "A client may take a failure for a success. The function catches what can be caught; let clients "
        "check for the field `keyId` and not for the status alone.",
        failures,
    ),
    Assumption(
        "throttling",
        "A call that CVM throttles was not executed",
        "Throttled orders leave key pairs behind that nobody knows. Tell this project, and lower the "
        "policy's rates until at most a few orders a second arrive.",
        throttling,
        needs_rights=True,
    ),
    Assumption(
        "timer",
        "The event of a timer has Type, TriggerName, Time and Message",
        "The sweeper does not run. Run scripts/sweep from a machine of your own every ten minutes.",
        timer,
    ),
    Assumption(
        "memory",
        "The function takes less than 80 % of its memory",
        "SCF ends it with 434. Set memorySize in serverless.yml to 256.",
        memory,
    ),
    Assumption(
        "runtime",
        "SCF runs the Python that the package is built for",
        "The function does not start: its libraries are built for one version. Set `runtime` in "
        "serverless.yml to Python3.10.",
        runtime,
    ),
    Assumption(
        "environment-values",
        "Values of environment variables may contain '-', '.', ':', '/' and '@'",
        "Nothing breaks: scripts/deploy encodes such values. Do not set them by hand in the console.",
        values,
    ),
    Assumption(
        "vpc-and-public",
        "A function in a private network still reaches the public internet",
        "With a Redis server in a private network the function cannot call CVM. Give the subnet a NAT "
        "gateway, or the server a public address.",
        vpc,
        needs_rights=True,
    ),
    Assumption(
        "credentials-renewed",
        "SCF renews the role's credentials in a running instance",
        "The function fails with AuthFailure hours after its start. Deploy again as a stopgap, and tell this "
        "project.",
        renewal,
    ),
)
