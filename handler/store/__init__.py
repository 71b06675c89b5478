"""Claims and whatever else has to be remembered between invocations."""
