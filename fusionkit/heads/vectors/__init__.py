"""Heads that join the branches' pooled vectors."""

HEADS = {
    "attention_gate": "fusionkit.heads.vectors.attention_gate:AttentionGate",
    "concat": "fusionkit.heads.vectors.concat:Concat",
    "deep_sets": "fusionkit.heads.vectors.deep_sets:DeepSets",
    "embrace": "fusionkit.heads.vectors.embrace:Embrace",
    "film": "fusionkit.heads.vectors.film:Film",
    "gated_multimodal": "fusionkit.heads.vectors.gated_multimodal:GatedMultimodal",
    "max_vectors": "fusionkit.heads.vectors.elementwise:MaxVectors",
    "mean_vectors": "fusionkit.heads.vectors.elementwise:MeanVectors",
    "product_vectors": "fusionkit.heads.vectors.elementwise:ProductVectors",
    "project_concat": "fusionkit.heads.vectors.project_concat:ProjectConcat",
    "squeeze_gate": "fusionkit.heads.vectors.squeeze_gate:SqueezeGate",
    "sum_vectors": "fusionkit.heads.vectors.elementwise:SumVectors",
}
"""Where each is, by name."""
