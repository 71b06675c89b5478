"""The environment variables of the chat platforms, all together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from handler.chat.platforms.platform_settings import require_settings
from handler.chat.platforms.registry import PLATFORMS, prefix_of
from handler.chat.platforms.slack import SlackSettings
from handler.errors import SettingsInvalid
from handler.settings import Settings
from tests.support.chat_settings import chat_setting_names
from tests.support.function_under_test import FunctionUnderTest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess


@pytest.mark.parametrize(
    "name",
    [
        "KEYPAIR_SLACK_",
        "KEYPAIR_SLACK_SECRET",
        "KEYPAIR_SLACK_signing_secret",
        "KEYPAIR_SLACKAPP_TOKEN",
        "KEYPAIR_FEISHU_ENCRYPTKEY",
        "KEYPAIR_DINGTALK_APP_KEY",
        "KEYPAIR_WECOM_CORP_ID",
        "KEYPAIR_WECOMAPP_AIBOT_ID",
        "KEYPAIR_wecom_TOKEN",
    ],
)
def test_unknown_names_are_refused(emulator: EmulatorProcess, tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        FunctionUnderTest(emulator, tmp_path / "policy.json", settings={name: "a-value-that-may-be-secret"})
    assert str(refused.value) == f"{name} is not a setting; remove it or correct its name"


@pytest.mark.parametrize("value", ["", "a=b", "a;b", "a b"])
def test_a_secret_that_would_not_survive_the_bootstrap_is_refused(value: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        require_settings(SlackSettings, {"KEYPAIR_SLACK_SIGNING_SECRET": value})
    assert str(refused.value) == (
        "KEYPAIR_SLACK_SIGNING_SECRET is malformed; it takes the Signing Secret of the Slack app, or nothing"
    )


def test_a_platform_whose_settings_are_set_to_nothing_is_not_there(
    emulator: EmulatorProcess, tmp_path: Path
) -> None:
    empty = dict.fromkeys((name for one in PLATFORMS for name in chat_setting_names(one)), "")
    function = FunctionUnderTest(emulator, tmp_path / "policy.json", settings=empty)
    event = {"httpMethod": "POST", "path": "/chat/slack", "headers": {}, "body": "{}"}
    assert function.call(event).status == 404


@pytest.mark.parametrize("name", PLATFORMS)
def test_no_setting_of_the_function_begins_like_those_of_a_platform(name: str) -> None:
    assert chat_setting_names(name)
    own = [str(field.alias) for field in Settings.model_fields.values()]
    assert not any(variable.startswith(prefix_of(name)) for variable in own)
    others = [variable for other in PLATFORMS if other != name for variable in chat_setting_names(other)]
    assert not any(variable.startswith(prefix_of(name)) for variable in others)
