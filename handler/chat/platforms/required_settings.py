"""What a chat platform cannot do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.errors import SettingsInvalid
from handler.settings import PREFIX

if TYPE_CHECKING:
    from handler.settings import Settings


def require_settings(settings: Settings, *names: str) -> list[str]:
    """Return the values of these settings; raise SettingsInvalid unless all of them are there."""
    values = [getattr(settings, name) for name in names]
    if None in values:
        variables = ", ".join(PREFIX + name.upper() for name in names)
        raise SettingsInvalid(f"{variables}: set all of them, or none")
    return values
