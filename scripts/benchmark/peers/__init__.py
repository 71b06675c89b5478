"""What the function is measured against."""
