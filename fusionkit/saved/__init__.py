"""The files around the tensors of a saved folder: what they are, and with which checksums."""
