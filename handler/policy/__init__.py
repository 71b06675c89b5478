"""The policy: who may have what."""
