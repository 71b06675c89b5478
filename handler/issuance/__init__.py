"""Issues key pairs, remembers the answers and removes leftovers."""
