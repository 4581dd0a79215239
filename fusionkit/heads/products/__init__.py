"""Heads that multiply the branches' vectors: bilinear pooling and what approximates it."""

HEADS = {
    "bilinear": "fusionkit.heads.products.bilinear:Bilinear",
    "block": "fusionkit.heads.products.block:Block",
    "compact_bilinear": "fusionkit.heads.products.compact_bilinear:CompactBilinear",
    "low_rank_fusion": "fusionkit.heads.products.low_rank_fusion:LowRankFusion",
    "mfb": "fusionkit.heads.products.mfb:MFB",
    "mlb": "fusionkit.heads.products.mlb:MLB",
    "multiplicative_interaction": (
        "fusionkit.heads.products.multiplicative_interaction:MultiplicativeInteraction"
    ),
    "mutan": "fusionkit.heads.products.mutan:Mutan",
    "tensor_fusion": "fusionkit.heads.products.tensor_fusion:TensorFusion",
}
"""Where each is, by name."""
