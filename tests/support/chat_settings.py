"""The names of all settings of chat platforms."""

from __future__ import annotations

from importlib import import_module

from pydantic import BaseModel

from handler.chat.platforms.registry import PLATFORMS


def chat_setting_names(platform: str) -> set[str]:
    """Return the environment variables of one platform."""
    module = import_module(f"handler.chat.platforms.{platform}")
    (settings,) = [
        value
        for name, value in vars(module).items()
        if name.endswith("Settings") and isinstance(value, type) and issubclass(value, BaseModel)
    ]
    return {str(field.alias) for field in settings.model_fields.values()}


def all_chat_setting_names() -> set[str]:
    """Return the environment variables of all platforms."""
    return set[str]().union(*map(chat_setting_names, PLATFORMS))
