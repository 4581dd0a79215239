"""Heads that give another head something that it lacks."""

HEADS = {
    "auxiliary": "fusionkit.heads.wrapping.auxiliary:Auxiliary",
}
"""Where each is, by name."""
