"""A local stand-in of the CVM key pair API, of today and legacy, for tests and for trying things out."""
