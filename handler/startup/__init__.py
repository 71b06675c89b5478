"""Cold-start optimizations that know nothing of key pairs."""
