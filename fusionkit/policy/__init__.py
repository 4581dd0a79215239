"""What of a branch learns, when, and how fast: values, not modules."""
