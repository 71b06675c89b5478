"""Endpoints for programs: REST, and CreateKeyPair of the cloud's API v3 and v2."""
