"""Writes a new plugin, complete and tested, to start from."""
