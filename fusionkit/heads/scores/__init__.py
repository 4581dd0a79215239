"""Heads that join what the branches say about the classes, each on its own."""

HEADS = {
    "mean_log_probabilities": "fusionkit.heads.scores.ensemble:MeanLogProbabilities",
    "mean_logits": "fusionkit.heads.scores.ensemble:MeanLogits",
    "mean_probabilities": "fusionkit.heads.scores.ensemble:MeanProbabilities",
    "two_stream": "fusionkit.heads.scores.two_stream:TwoStream",
}
"""Where each is, by name."""
