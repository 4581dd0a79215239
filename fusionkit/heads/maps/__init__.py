"""Heads that join the branches' maps."""

HEADS = {
    "attentional_fusion": "fusionkit.heads.maps.attentional_fusion:AttentionalFusion",
    "mmtm": "fusionkit.heads.maps.mmtm:MMTM",
    "multi_level_fusion": "fusionkit.heads.maps.multi_level_fusion:MultiLevelFusion",
    "pyramid_fusion": "fusionkit.heads.maps.pyramid_fusion:PyramidFusion",
    "two_stream_maps": "fusionkit.heads.maps.two_stream_maps:TwoStreamMaps",
}
"""Where each is, by name."""
