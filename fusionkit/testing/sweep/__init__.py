"""Asks every model that a provider lists, each in a process of its own."""
