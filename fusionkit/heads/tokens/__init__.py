"""Heads in which the branches' tokens attend to each other."""

HEADS: dict[str, str] = {}
"""Where each is, by name."""
