"""One-time links for envelopes that are too long for a chat message."""

import re

PREFIX = "/pickup/"
PATH = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
