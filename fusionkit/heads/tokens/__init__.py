"""Heads in which the branches' tokens attend to each other."""

HEADS = {
    "bottleneck_transformer": "fusionkit.heads.tokens.bottleneck_transformer:BottleneckTransformer",
    "cross_attention": "fusionkit.heads.tokens.cross_attention:CrossAttention",
    "cross_class_attention": "fusionkit.heads.tokens.cross_class_attention:CrossClassAttention",
    "fusion_transformer": "fusionkit.heads.tokens.fusion_transformer:FusionTransformer",
}
"""Where each is, by name."""
