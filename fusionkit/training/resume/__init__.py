"""Runs that go on where they were cut off, to the same bits."""
