"""Two-stream networks, fused after the softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from fusionkit import Card, HeadInput
from fusionkit.heads.parts.weights import Weights
from fusionkit.heads.scores.ensemble import MeanProbabilities

__all__ = ["TwoStream"]


@final
class TwoStream(MeanProbabilities):
    """Two-stream late fusion: the weighted mean of softmax scores (arXiv:1406.2199).

    Gives log Σ w_i softmax(z_i) for any number of streams: the softmax of the output is exactly
    the fused probability, and ``cross_entropy`` takes the output as it takes logits. It is
    ``mean_probabilities`` under the name by which video people know it, without temperatures.

    A stream whose stock classifier has ``num_classes`` classes is read by its logits; any other
    by its vector, through a new linear layer that the head owns.

    Args:
        inputs: what the streams offer, by name.
        num_classes: the width k of the scores.
        weights: ``"equal"``; a number for each stream, ``{"flow": 1.5, "rgb": 1}``, divided by
            their sum, or a list of one for each class; ``"learned"``, on the simplex and equal
            at the start; ``"per_class"``, the same for each class; or ``"fitted"``, by
            ``fusionkit.fit_head``.
        norm: what comes before the new linear layers: ``"layer"``, ``"batch"``, ``"l2"`` or
            ``"none"``, one for all or by stream.

    Raises:
        ConfigError: an option's value is wrong.
    """

    card = Card(
        formula="log Σ w_i softmax(z_i)",
        papers=("Simonyan and Zisserman, arXiv:1406.2199",),
        reads="scores",
        when="Video as appearance and motion, each stream trained by itself. Beyond video, "
        "mean_probabilities is the same with temperatures.",
        each=("classifier", "softmax"),
        join="weighted mean",
        after=("log",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        weights: Weights = "equal",
        norm: Any = "layer",
    ) -> None:
        super().__init__(inputs, num_classes=num_classes, weights=weights, norm=norm)
