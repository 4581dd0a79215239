"""A fused model as a folder: whole or not there, checked when read, and never run."""
