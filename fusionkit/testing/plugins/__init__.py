"""What is asked of a plugin."""
