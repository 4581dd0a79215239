"""Heads that join the branches' pooled vectors."""

HEADS = {
    "concat": "fusionkit.heads.vectors.concat:Concat",
}
"""Where each is, by name."""
