"""The chat platforms there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.chat import dingtalk, feishu, slack, wecom
from handler.errors import PolicyInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from handler.chat.platform import Platform, Tools
    from handler.policy import Policy
    from handler.settings import Settings

PLATFORMS: Mapping[str, Callable[[Settings, Tools], Platform | None]] = {
    "slack": slack.configured,
    "feishu": feishu.configured,
    "dingtalk": dingtalk.configured,
    "wecom": wecom.configured,
}
"""Name -> what makes the platform, or None where its settings are not there."""


def configured(
    settings: Settings, tools: Tools, table: Mapping[str, Callable[[Settings, Tools], Platform | None]]
) -> dict[str, Platform]:
    """Return the platforms of `table` whose settings are there. The others have no door."""
    made = {name: make(settings, tools) for name, make in table.items()}
    return {name: platform for name, platform in made.items() if platform is not None}


def check(policy: Policy, names: Collection[str]) -> None:
    """Raise PolicyInvalid where the policy names a platform that there is not."""
    if not {platform for platform, _, _ in policy.chat_callers} <= set(names):
        raise PolicyInvalid(f"callers: a chat table names no platform; write one of {', '.join(names)}")
