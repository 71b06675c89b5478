"""The attacker lets the function call into the cloud's own network.

Has: the name of a host from which the policy lets the bot fetch users' keys (`keys_from`).
Does: lets the name lead to an address that only the function can reach, and asks for a key pair for a user.
Sees: that the keys could not be fetched. Nothing was connected to. Where the operator has a host of their own
in such a network, a setting says so, and allows no other network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from handler.errors import KeysUnavailable
from tests.support.function_under_test import POLICY, FunctionUnderTest

if TYPE_CHECKING:
    from pathlib import Path

    from handler.chat.published_keys import PublishedKeys
    from tests.support.emulator_process import EmulatorProcess

CLOUD = ["100.64.0.1", "100.127.255.254", "9.0.0.1", "11.255.255.255", "30.1.2.3", "::ffff:9.1.1.1"]
INSIDE = ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.0.23", "fd00::1", "64:ff9b::a00:1"]


@pytest.mark.parametrize(
    ("setting", "reached"), [({}, []), ({"KEYPAIR_KEYS_FROM_CLOUD_NETWORKS": "yes"}, CLOUD)]
)
def test_a_name_that_leads_inside(
    setting: dict[str, str], reached: list[str], emulator: EmulatorProcess, tmp_path: Path
) -> None:
    policy = {**POLICY, "keys_from": {"host": "https://keys.example.com/{user}.keys"}}
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", policy=policy, settings=setting)
    published = function.services.bot.published_keys
    assert [address for address in CLOUD + INSIDE if is_called(published, address)] == reached


def is_called(published: PublishedKeys, address: str) -> bool:
    """Return whether something is connected to where the name leads to `address`, or there as well."""
    dialled = []

    def dial(*address: object) -> tuple[str, int]:
        dialled.append(address)
        return "127.0.0.1", 9

    for addresses in ([address], ["93.184.216.34", address]):
        places = replace(published, resolve=Answers(addresses), dial=dial)
        with pytest.raises(KeysUnavailable):
            places.keys("host", "alice")
    return dialled != []


@dataclass(frozen=True)
class Answers:
    """A name service."""

    addresses: list[str]

    def __call__(self, _host: str, _port: int) -> list[str]:
        return self.addresses
