"""Mutated checkpoints and recipes, read by processes that may write nothing."""
