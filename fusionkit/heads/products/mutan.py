"""Multimodal Tucker fusion with a core of bounded rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.options import check_choice, check_dropout, check_width
from fusionkit.heads.parts.precision import at_own_precision
from fusionkit.heads.parts.sum_of_products import SumOfProducts
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["Mutan"]

ACTIVATIONS = {"tanh": nn.Tanh, "none": nn.Identity}

GAINS = {"tanh": 2.17, "none": 3**0.5}
"""What makes up for projections as torch starts them: of variance 1/3, and .21 behind a tanh."""


@final
class Mutan(FusionHead):
    """Tucker fusion whose core has slices of rank R, MUTAN (arXiv:1705.06676).

    Each branch is projected and squashed by tanh; the core multiplies R further projections of
    each, elementwise, and adds them up; a linear layer gives the scores. Any number of branches.
    With ``norm="none"`` it is the paper's operator; with ``rank=1`` the core is MLB's. Of an
    absent branch the biases of its further projections are left as its factors.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        project: t_i, to which each branch is projected; one for all or by branch.
        width: t_o of the fused vector.
        rank: R, of each slice of the core.
        activation: what each projection passes: ``"tanh"`` or ``"none"``.
        norm: what each vector passes first: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``;
            one for all or by branch.
        dropout: the share dropped of the fused vector.

    Raises:
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="W_o Σ_r (M_{1,r} x̃_1 ⊙ ... ⊙ M_{N,r} x̃_N) + b, x̃_i = tanh(W_i x_i + b_i)",
        papers=("Ben-younes et al., arXiv:1705.06676",),
        reads="vectors",
        when="Rich products of wide vectors at a cost that you set by two widths and a rank. "
        "Between MLB, which it contains, and bilinear. It wants a tenth of a linear head's "
        "learning rate where vectors are wide and samples few.",
        each=("norm", "W_i", "tanh", "M_{i,1..R}"),
        join="sum of R elementwise products",
        after=("linear",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        project: int | Mapping[str, int] = 310,
        width: int = 510,
        rank: int = 5,
        activation: str = "tanh",
        norm: str | Mapping[str, str] = "layer",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        self.vectors = BranchVectors(inputs, norm=norm, project=project)
        kind = check_choice("activation", activation, tuple(ACTIVATIONS))
        self.activation = ACTIVATIONS[kind]()
        self.core = SumOfProducts(
            self.vectors.names,
            self.vectors.widths,
            check_width("width", width),
            terms=check_width("rank", rank),
            gain=GAINS[kind],
        )
        self.dropout = nn.Dropout(check_dropout(dropout))
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        squashed = {name: self.activation(x) for name, x in self.vectors(features).items()}
        return at_own_precision(self.classifier, self.dropout(self.core(squashed)))
