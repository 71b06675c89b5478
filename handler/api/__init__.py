"""Endpoints for programs: REST, and the key pair actions of the cloud's API v3 and v2."""
