"""The assembled module: tensors, modes and rates, and no knowledge of names or plugins."""
