"""Checks on a live account what this project could only assume: `scripts/verify-live`."""
