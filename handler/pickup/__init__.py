"""One-time links for envelopes that are too long for a chat message."""
