"""Tensor fusion: every product of components of any of the branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import prod
from typing import final

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.cost import MAX_PARAMETERS, planned_widths, refuse_product
from fusionkit.heads.parts.options import check_widths
from fusionkit.heads.parts.perceptron import perceptron
from fusionkit.heads.parts.precision import at_least_float32, at_own_precision
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["TensorFusion"]


@final
class TensorFusion(FusionHead):
    """The outer product of all branches, each with a 1 beside it, TFN (arXiv:1707.07250).

    The tensor of Π (d_i + 1) components holds each branch alone, each pair, and so on up to all
    together. Its cost multiplies with each branch: what the first layer on it would need, and
    what the tensors of 32 samples, is computed before anything is made, and refused above
    ``max_parameters``. With ``norm="none"``
    it is the paper's layer. An absent branch counts as zeros beside its 1: the products of the
    others are left.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        norm: what each vector passes first: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``;
            one for all or by branch.
        project: the width to which each normalised vector is brought by a linear layer of its
            own; one for all or by branch, ``None`` for none.
        hidden: the width of a hidden layer on the tensor, or a list of widths, or ``None``; 128
            in the paper.
        activation: after each hidden layer: ``"relu"``, ``"gelu"``, ``"silu"`` or ``"tanh"``.
        dropout: the share dropped after each hidden layer; without one, of the tensor.
        max_parameters: refuse to build a first layer of more, or tensors that hold more numbers
            for 32 samples.

    Raises:
        AssemblyError: the first layer, or the tensors of 32 samples, would be larger than
            ``max_parameters``.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="MLP([1; x_1] ⊗ ... ⊗ [1; x_N])",
        papers=("Zadeh et al., arXiv:1707.07250",),
        reads="vectors",
        when="Two or three narrow branches (project=32) and enough samples. The cost multiplies "
        "with each branch; low_rank_fusion is its affordable form.",
        each=("norm", "W_i (project)", "[1; x_i]"),
        join="outer product of all",
        after=("MLP (hidden)",),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        norm: str | Mapping[str, str] = "layer",
        project: int | Mapping[str, int | None] | None = None,
        hidden: int | Sequence[int] | None = None,
        activation: str = "relu",
        dropout: float = 0.0,
        max_parameters: int = MAX_PARAMETERS,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        first = (*check_widths("hidden", hidden), num_classes)[0]

        components = refuse_product(
            max_parameters,
            lambda widths: prod(width + 1 for width in widths),
            first,
            planned_widths(inputs, project),
            formula="Π (d_i + 1)",
            instead="'low_rank_fusion'",
        )
        self.vectors = BranchVectors(inputs, norm=norm, project=project)
        self.classifier = perceptron(
            components,
            num_classes,
            hidden=hidden,
            activation=activation,
            dropout=dropout,
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        vectors = [
            F.pad(at_least_float32(x), (1, 0), value=1.0) for x in self.vectors.with_zeros(features)
        ]
        return at_own_precision(self.classifier, reduce(_multiply, vectors))


def _multiply(x: Tensor, y: Tensor) -> Tensor:
    """Gives the outer product "b (d e)" of "b d" and "b e"."""
    return (x.unsqueeze(2) * y.unsqueeze(1)).flatten(1)
