"""What is asked of a fusion head."""
