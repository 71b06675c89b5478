"""The chat platforms there are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from handler.errors import PolicyInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from handler.chat.platforms.base import Platform, PlatformContext
    from handler.policy.model import Policy
    from handler.settings import Settings


def _module(name: str) -> Callable[[Settings, PlatformContext], Platform | None]:
    def configure(settings: Settings, context: PlatformContext) -> Platform | None:
        # Whoever has no chat does not wait for its modules at each cold start.
        if not any(setting.startswith(f"{name}_") for setting in settings.model_fields_set):
            return None
        made: Platform = import_module(f"handler.chat.platforms.{name}").configured(settings, context)
        return made

    return configure


PLATFORMS: Mapping[str, Callable[[Settings, PlatformContext], Platform | None]] = {
    name: _module(name) for name in ("slack", "feishu", "dingtalk", "wecom", "wecomapp")
}
"""Name, of the module and of its settings -> what makes the platform, or None where these are not there."""


def configured(
    settings: Settings,
    context: PlatformContext,
    table: Mapping[str, Callable[[Settings, PlatformContext], Platform | None]],
) -> dict[str, Platform]:
    """Return the platforms of `table` whose settings are there. The others have no door."""
    made = {name: make(settings, context) for name, make in table.items()}
    return {name: platform for name, platform in made.items() if platform is not None}


def check(policy: Policy, names: Collection[str]) -> None:
    """Raise PolicyInvalid where the policy names a platform that there is not."""
    if not {platform for platform, _, _ in policy.chat_callers} <= set(names):
        raise PolicyInvalid(f"callers: a chat table names no platform; write one of {', '.join(names)}")
