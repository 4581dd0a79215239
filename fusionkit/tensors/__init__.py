"""Safetensors files, read with suspicion and matched without guessing."""
