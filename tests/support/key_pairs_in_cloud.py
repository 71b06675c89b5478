"""Key pairs in the emulated cloud, made by the function or by others, and sweeps over them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from tests.support.former_tags import FormerSigner, FormerTag, former_tags
from tests.support.function_under_test import MASTER, REGION, FunctionUnderTest, fresh_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.emulator_process import EmulatorProcess

# https://cloud.tencent.com/document/product/583/9708
TIMER = {"Type": "Timer", "TriggerName": "sweep", "Time": "2026-11-24T12:00:00Z", "Message": ""}

CLAIM, ORDER, HOLDER, LATER_HOLDER = "c" * 32, "d" * 32, "a" * 32, "b" * 32
TAG = FormerTag(CLAIM, ORDER, HOLDER)
SIGNER = FormerSigner([MASTER])


def account(emulator: EmulatorProcess) -> CommonClient:
    """Return a client of the official SDK, as used by somebody other than the function."""
    http = HttpProfile(protocol="http", endpoint=emulator.cvm_endpoint.removeprefix("http://"))
    credential = Credential(emulator.secret_id, emulator.secret_key, emulator.token or None)
    return CommonClient("cvm", "2017-03-12", credential, REGION, ClientProfile(httpProfile=http))


def create(emulator: EmulatorProcess, tags: Mapping[str, str], name: str | None = None) -> tuple[str, str]:
    """Create a key pair as somebody other than the function; return its id and name."""
    name = name or fresh_name()
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    specification = [{"ResourceType": "keypair", "Tags": pairs}] if pairs else []
    order = {"KeyName": name, "ProjectId": 0, "TagSpecification": specification}
    return account(emulator).call_json("CreateKeyPair", order)["Response"]["KeyPair"]["KeyId"], name


def make(
    emulator: EmulatorProcess,
    *,
    tag: FormerTag | str = TAG,
    expires: str | None = None,
    name: str | None = None,
    signer: FormerSigner = SIGNER,
) -> tuple[str, str]:
    """Create a key pair as the function would; return its id and name. A string as `tag` is used as it is."""
    name = name or fresh_name()
    text = tag if isinstance(tag, str) else signer.write(tag, name, expires)
    return create(emulator, former_tags(text, expires), name)


def describe(emulator: EmulatorProcess, key_id: str, description: str) -> None:
    """Set the description of a key pair, as any administrator may."""
    account(emulator).call_json("ModifyKeyPairAttribute", {"KeyId": key_id, "Description": description})


def utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def left(emulator: EmulatorProcess) -> list[str]:
    return [pair["KeyId"] for pair in emulator.key_pairs()]


def swept(function: FunctionUnderTest, milliseconds: int = 60_000) -> dict[str, int]:
    answer = function.call(TIMER, {"request_id": "timer-1", "time_limit_in_ms": milliseconds})
    assert answer.status == 200, answer.body
    counts: dict[str, int] = answer.json["swept"]
    return counts


def lines(text: str) -> list[dict[str, Any]]:
    """Parse audit lines, without the fields that differ in each run."""
    parsed = [json.loads(one) for one in text.splitlines()]
    return [
        {name: value for name, value in one.items() if name not in {"time", "durationMs", "policyDigest"}}
        for one in parsed
    ]


def public_keys(function: FunctionUnderTest) -> dict[str, str]:
    """Return the public key, without its comment, of each key id."""
    return {pair["KeyId"]: " ".join(pair["PublicKey"].split()[:2]) for pair in function.emulator.key_pairs()}
