"""Low-rank fusion: tensor fusion without its tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.options import check_width
from fusionkit.heads.parts.sum_of_products import SumOfProducts
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["LowRankFusion"]


@final
class LowRankFusion(FusionHead):
    """Tensor fusion whose weight is a sum of R outer products, LMF (arXiv:1806.00064).

    Equal to a linear layer on the tensor fusion of all branches, at a cost that grows with the
    sum of their widths. The 1 beside each vector keeps what one branch says alone, and what any
    few say together; an absent branch counts as zeros beside that 1, as in tensor fusion. With
    ``norm="none"`` it is the paper's operator.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        rank: R; 4 in most of the paper's experiments.
        norm: what each vector passes first: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``;
            one for all or by branch.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="Σ_r Π_i F_{i,r} [1; x_i] + b",
        papers=("Liu et al., arXiv:1806.00064",),
        reads="vectors",
        when="The first choice among the products, of any number of branches: it contains the "
        "linear head, costs little more, and answers well when a branch is absent. Products want "
        "smaller steps than a linear head: of wide vectors and few samples, a tenth of its "
        'learning rate, or norm="l2".',
        each=("norm", "[1; x_i]", "F_{i,1..R}"),
        join="sum of R elementwise products",
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        rank: int = 4,
        norm: str | Mapping[str, str] = "layer",
    ) -> None:
        super().__init__()
        self.reads = "vector"
        self.vectors = BranchVectors(inputs, norm=norm)
        self.product = SumOfProducts(
            self.vectors.names,
            self.vectors.widths,
            num_classes,
            terms=check_width("rank", rank),
            constant=True,
        )
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        product: Tensor = self.product(self.vectors(features))
        return product + self.bias
