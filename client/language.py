"""The language of messages: Chinese where the locale says so, English elsewhere."""

from __future__ import annotations

import functools
import locale
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def tr(english: str, **values: object) -> str:
    """Return a message in the user's language, with `values` put into its {placeholders}."""
    text = english
    if in_chinese():
        from client.chinese import CHINESE

        # A test keeps the catalogue complete; a message that it lacks is still better than none.
        text = CHINESE.get(english, english)
    return text.format(**values) if values else text


@functools.cache
def in_chinese() -> bool:
    """Tell whether messages are in Chinese."""
    return is_chinese(os.environ)


def is_chinese(environment: Mapping[str, str]) -> bool:
    """Tell whether a locale is Chinese: LC_ALL, LC_MESSAGES, LANG (POSIX 8.2), else the system's own."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(name):
            return value.lower().startswith("zh")
    # Windows and macOS applications have none of the three.
    return (locale.getlocale()[0] or "").lower().startswith(("zh", "chinese"))
