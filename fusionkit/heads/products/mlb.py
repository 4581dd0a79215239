"""Multimodal low-rank bilinear pooling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.options import check_choice, check_dropout, check_width
from fusionkit.heads.parts.precision import at_own_precision
from fusionkit.heads.parts.sum_of_products import SumOfProducts
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["MLB"]

ACTIVATIONS = {"tanh": nn.Tanh, "none": nn.Identity}


@final
class MLB(FusionHead):
    """Low-rank bilinear pooling, a product of projections through tanh, MLB (arXiv:1610.04325).

    A linear layer on the elementwise product of one projection per branch, any number of them.
    With ``norm="none"`` it is the paper's operator; with ``activation="none"`` as well, each
    class is a bilinear form of rank ``width`` at most. Of an absent branch the bias b_i is left,
    through the activation, as its factor.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: d of the projections, and so the rank; 1200 in the paper.
        activation: what each projection passes: ``"tanh"`` or ``"none"``.
        norm: what each vector passes first: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``;
            one for all or by branch.
        dropout: the share dropped of the product.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="P (tanh(W_1 x_1 + b_1) ⊙ ... ⊙ tanh(W_N x_N + b_N)) + b",
        papers=("Kim et al., arXiv:1610.04325",),
        reads="vectors",
        when="The leanest head in which branches multiply: cost grows with the sum of the "
        "widths. What one branch alone says gets through only by way of the other's factor; "
        "low_rank_fusion keeps it.",
        each=("norm", "W_i", "tanh"),
        join="elementwise product",
        after=("linear",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 1200,
        activation: str = "tanh",
        norm: str | Mapping[str, str] = "layer",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        self.vectors = BranchVectors(inputs, norm=norm)
        self.product = SumOfProducts(
            self.vectors.names,
            self.vectors.widths,
            check_width("width", width),
            activation=ACTIVATIONS[check_choice("activation", activation, tuple(ACTIVATIONS))](),
            dropout=check_dropout(dropout),
        )
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        return at_own_precision(self.classifier, self.product(self.vectors(features)))
