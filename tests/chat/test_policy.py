"""What the policy says of chats: who stands for whom, and where keys are published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from handler.chat.platforms.registry import PLATFORMS
from handler.errors import PolicyInvalid, SettingsInvalid
from handler.policy.model import Policy
from handler.settings import Settings
from tests.support.function_under_test import FunctionUnderTest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

GRANT: dict[str, Any] = {"names": ["*"], "regions": ["ap-guangzhou"], "own_recipients": True}
ALICE = {"platform": "slack", "tenant": "T1", "user": "U1"}
TENANT = 'write the id of the workspace or company there, for example "T01AB2CD3EF"'
USER = 'write the id of the user there, for example "U01AB2CD3EF"'
PLATFORM = 'write the name of a chat platform, for example "slack"'
CHAT = "write one or more [[callers.NAME.chat]] tables, each with platform, tenant and user"
KEYS_FROM = (
    "write a table of addresses where users publish SSH keys, "
    'for example { github = "https://github.com/{user}.keys" }'
)
TWO = "a chat user is listed twice; keep one entry"


def test_chat_needs_a_store_that_all_instances_share(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """One invocation makes the key pair and another delivers it."""
    settings = {
        "KEYPAIR_SLACK_SIGNING_SECRET": "x" * 32,
        "KEYPAIR_SCF_ENDPOINT": "https://scf.tencentcloudapi.com",
        "KEYPAIR_STORE": f"sqlite:{tmp_path}/store",
    }
    FunctionUnderTest(emulator, tmp_path / "policy.json", settings=settings)
    for alone in ({"KEYPAIR_STORE": "memory:"}, {"TENCENTCLOUD_RUNENV": "SCF"}):
        with pytest.raises(SettingsInvalid, match="KEYPAIR_STORE: chat needs a store"):
            FunctionUnderTest(emulator, tmp_path / "policy.json", settings={**settings, **alone})


def chat(*proofs: object) -> dict[str, Any]:
    return {"callers": {"a": {"grants": [GRANT], "chat": list(proofs)}}}


def test_a_user_of_a_platform_stands_for_a_caller() -> None:
    bob = {"platform": "wecom", "tenant": "ww1", "user": "Bob.Lee@dev"}
    data = {"callers": {"a": {"grants": [GRANT], "chat": [ALICE, bob]}, "b": {"grants": [GRANT]}}}
    assert Policy.parse(data).chat_callers == {
        ("slack", "T1", "U1"): "a",
        ("wecom", "ww1", "Bob.Lee@dev"): "a",
    }


def test_the_same_ids_elsewhere_belong_to_another_user() -> None:
    proofs = [ALICE, {**ALICE, "tenant": "T2"}, {**ALICE, "user": "U2"}, {**ALICE, "platform": "feishu"}]
    data = {"callers": {f"c{n}": {"grants": [GRANT], "chat": [proof]} for n, proof in enumerate(proofs)}}
    assert len(Policy.parse(data).chat_callers) == 4


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (chat({**ALICE, "user": ""}), f"callers.a.chat.0.user: malformed; {USER}"),
        (chat({**ALICE, "user": "a b"}), f"callers.a.chat.0.user: malformed; {USER}"),
        (chat({**ALICE, "user": 7}), f"callers.a.chat.0.user: malformed; {USER}"),
        (chat({**ALICE, "tenant": "x" * 129}), f"callers.a.chat.0.tenant: malformed; {TENANT}"),
        (chat({**ALICE, "platform": "Slack"}), f"callers.a.chat.0.platform: malformed; {PLATFORM}"),
        (chat({"platform": "slack", "user": "U1"}), f"callers.a.chat.0.tenant: missing; {TENANT}"),
        (
            chat({**ALICE, "name": "alice"}),
            "callers.a.chat.0.name: unknown key; write one of platform, tenant, user",
        ),
        ({"callers": {"a": {"grants": [GRANT], "chat": "x"}}}, f"callers.a.chat: malformed; {CHAT}"),
        (chat(ALICE, ALICE), f"the file: {TWO}"),
        (
            {"callers": {name: {"grants": [GRANT], "chat": [ALICE]} for name in ("a", "b")}},
            f"the file: {TWO}",
        ),
        *(
            ({"callers": {}, "keys_from": {"x": template}}, f"keys_from.x: malformed; {KEYS_FROM}")
            for template in (
                "http://example.com/{user}.keys",
                "https://example.com/keys",
                "https://example.com/{user}/{user}",
                "https://{user}.example.com/keys",
                "https://alice@example.com/{user}",
                "https://Example.com/{user}",
                "https://example.com/{user} .keys",
                "file:///{user}",
            )
        ),
        ({"callers": {}, "keys_from": []}, f"keys_from: malformed; {KEYS_FROM}"),
    ],
)
def test_what_is_told_of_a_wrong_policy(data: object, told: str) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        Policy.parse(data)
    assert str(refused.value) == told


def test_an_unknown_platform_in_the_policy(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """The caller could never be recognised, and nothing would say why."""
    policy = chat({**ALICE, "platform": "slak"})
    with pytest.raises(PolicyInvalid) as refused:
        FunctionUnderTest(emulator, tmp_path / "policy.json", policy=policy)
    names = ", ".join(PLATFORMS)
    assert str(refused.value) == f"callers: a chat table names no platform; write one of {names}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEYPAIR_SCF_ENDPOINT", "http://scf.example.com"),
        ("KEYPAIR_SCF_ENDPOINT", "https://scf.example.com/path"),
        ("KEYPAIR_PUBLIC_URL", "http://keys.example.com"),
        ("KEYPAIR_PUBLIC_URL", "https://keys.example.com/"),
    ],
)
def test_settings_that_are_refused(name: str, value: str) -> None:
    least = {
        "KEYPAIR_REGION": "ap-guangzhou",
        "KEYPAIR_HOSTS": "http://keys.example.com:9443,keys.example.com:9443",
        "KEYPAIR_MASTER_SECRET": "A" * 43,
    }
    assert Settings.from_environ(least).link_base == "https://keys.example.com:9443"
    with pytest.raises(SettingsInvalid, match=rf"^{name} is malformed; it takes "):
        Settings.from_environ({**least, name: value})
