"""Pickled checkpoints, opened in a process of their own and written as safetensors."""
