"""What a person runs, and what it takes."""
