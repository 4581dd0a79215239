"""Heads that multiply the branches' vectors: bilinear pooling and what approximates it."""

HEADS: dict[str, str] = {}
"""Where each is, by name."""
