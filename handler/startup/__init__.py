"""What makes a cold start short, with nothing to say about key pairs."""
