"""One module per chat platform."""
