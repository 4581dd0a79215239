"""Finds the installed plugins and asks them what they offer, each on its own."""
