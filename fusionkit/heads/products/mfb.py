"""Multimodal factorised bilinear pooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.options import check_dropout, check_width
from fusionkit.heads.parts.power_norm import power_normalise
from fusionkit.heads.parts.precision import at_own_precision
from fusionkit.heads.parts.sum_of_products import SumOfProducts
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["MFB"]


@final
class MFB(FusionHead):
    """Factorised bilinear pooling, products pooled in windows of k, MFB (arXiv:1708.01471).

    Elementwise products of one projection per branch, any number of them, are dropped out,
    summed in windows of k, and given signed square roots and length 1. With ``norm="none"`` it
    is the paper's operator; with ``factors=1`` nothing is pooled. Of an absent branch the
    biases are left as its factors.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width of the logits.
        width: o of the pooled vector.
        factors: k, the length of a window: the rank of each component's bilinear form.
        norm: what each vector passes first: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``;
            one for all or by branch.
        dropout: the share dropped of the products, before they are summed.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="W s / |s| + b, s = ssqrt(SumPool_k(W_1 x_1 ⊙ ... ⊙ W_N x_N))",
        papers=("Yu et al., arXiv:1708.01471",),
        reads="vectors",
        when="Products of wide vectors where the size of single products should not decide: the "
        "normalisation tames them. Compare it with MLB, which it costs k times.",
        each=("norm", "W_i"),
        join="elementwise product",
        after=("dropout", "sum of k", "signed square root, length 1", "linear"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 1000,
        factors: int = 5,
        norm: str | Mapping[str, str] = "layer",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        self.vectors = BranchVectors(inputs, norm=norm)
        self.pooled = SumOfProducts(
            self.vectors.names,
            self.vectors.widths,
            check_width("width", width),
            terms=check_width("factors", factors),
            dropout=check_dropout(dropout),
        )
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        pooled = self.pooled(self.vectors(features))
        return at_own_precision(self.classifier, power_normalise(pooled))
