"""Heads that join the branches' maps."""

HEADS = {
    "two_stream_maps": "fusionkit.heads.maps.two_stream_maps:TwoStreamMaps",
}
"""Where each is, by name."""
