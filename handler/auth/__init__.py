"""Authentication: request signatures, bearer tokens, nonces and rate limits."""
