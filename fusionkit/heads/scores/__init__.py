"""Heads that join what the branches say about the classes, each on its own."""

HEADS = {
    "adaptive": "fusionkit.heads.scores.adaptive:Adaptive",
    "greedy_selection": "fusionkit.heads.scores.greedy_selection:GreedySelection",
    "majority_vote": "fusionkit.heads.scores.voting:MajorityVote",
    "max_probabilities": "fusionkit.heads.scores.max_probabilities:MaxProbabilities",
    "mean_log_probabilities": "fusionkit.heads.scores.ensemble:MeanLogProbabilities",
    "mean_logits": "fusionkit.heads.scores.ensemble:MeanLogits",
    "mean_probabilities": "fusionkit.heads.scores.ensemble:MeanProbabilities",
    "product_of_experts": "fusionkit.heads.scores.product_of_experts:ProductOfExperts",
    "rank_vote": "fusionkit.heads.scores.voting:RankVote",
    "stacking": "fusionkit.heads.scores.stacking:Stacking",
    "two_stream": "fusionkit.heads.scores.two_stream:TwoStream",
}
"""Where each is, by name."""
