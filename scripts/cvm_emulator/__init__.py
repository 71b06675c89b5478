"""A local stand-in of the CVM key pair API (version 2017-03-12), for tests and for trying things out."""
