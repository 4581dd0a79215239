"""Builds the model that a recipe describes."""
