"""Multiplicative interactions: a full bilinear form, and what each branch says alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.cost import (
    MAX_PARAMETERS,
    planned_widths,
    product_of_widths,
    refuse_above,
)
from fusionkit.heads.parts.precision import at_least_float32
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["MultiplicativeInteraction"]


@final
class MultiplicativeInteraction(FusionHead):
    """Multiplicative interactions, xᵀWy + Ux + Vy + b (Jayakumar et al., ICLR 2020).

    Of more than two branches, the forms of all pairs are summed. Where W is zero it is a linear
    layer on the concatenation. With ``norm="none"`` it is the paper's layer. An absent branch
    counts as zeros: what the others say is left.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        norm: what each vector passes first: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``;
            one for all or by branch.
        project: the width to which each normalised vector is brought by a linear layer of its
            own; one for all or by branch, ``None`` for none.
        max_parameters: refuse to build forms of more.

    Raises:
        AssemblyError: the forms would have more than ``max_parameters`` parameters.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="Σ_{i<j} x_iᵀ W_ij x_j + Σ_i U_i x_i + b",
        papers=("Jayakumar et al., ICLR 2020",),
        reads="vectors",
        when="Two narrow branches of which one says how to read the other, such as a context. "
        "d_1 d_2 weights for each class: project wide vectors, or take low_rank_fusion.",
        each=("norm", "W_i (project)"),
        join="bilinear forms of pairs + linear layers",
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        norm: str | Mapping[str, str] = "layer",
        project: int | Mapping[str, int | None] | None = None,
        max_parameters: int = MAX_PARAMETERS,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        names = sorted(inputs)
        self.pairs = tuple(combinations(range(len(names)), 2))

        def count(widths: Sequence[int]) -> int:
            return sum(widths[i] * widths[j] for i, j in self.pairs) * num_classes

        planned = planned_widths(inputs, project)
        refuse_above(
            max_parameters,
            count,
            planned,
            what=product_of_widths(planned),
            formula="Σ d_i d_j x num_classes over the pairs",
            instead="'low_rank_fusion'",
        )
        self.vectors = BranchVectors(inputs, norm=norm, project=project)
        self.linear = nn.Linear(sum(self.vectors.widths), num_classes)
        self.forms = nn.ParameterList()
        for i, j in self.pairs:
            shape = (num_classes, self.vectors.widths[i], self.vectors.widths[j])
            size = (3 * len(self.pairs) * shape[1] * shape[2]) ** -0.5
            self.forms.append(nn.Parameter(nn.init.normal_(torch.empty(shape), std=size)))

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        vectors = self.vectors.with_zeros(features)
        logits = at_least_float32(self.linear(torch.cat(vectors, dim=-1)))
        for form, (i, j) in zip(self.forms, self.pairs, strict=True):
            logits = logits + _apply(form, vectors[i], vectors[j])
        return logits


def _apply(form: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Gives xᵀ W_k y, "b k", at least in float32, of a form "k d e"."""
    rows = F.linear(x, form.transpose(1, 2).flatten(0, 1)).reshape(-1, *form.shape[::2])
    return (at_least_float32(rows) * at_least_float32(y).unsqueeze(1)).sum(-1)
