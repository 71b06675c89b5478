"""Emulates the CVM key pair API, v3 and legacy, for tests and trials."""
