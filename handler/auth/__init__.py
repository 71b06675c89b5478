"""Proving who calls."""
