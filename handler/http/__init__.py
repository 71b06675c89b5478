"""HTTP: requests and responses, endpoints, strict JSON, and bounded outgoing requests."""
