"""What the user writes: frozen values that go into a file and come back equal."""
