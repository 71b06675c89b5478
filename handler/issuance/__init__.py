"""Issuing a key pair, remembering the answer, and removing what was left over."""
