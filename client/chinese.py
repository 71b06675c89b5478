"""The messages in Chinese, by their English text."""

CHINESE: dict[str, str] = {}
