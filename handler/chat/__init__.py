"""Doors for chat bots: one module a platform, and what they share."""
