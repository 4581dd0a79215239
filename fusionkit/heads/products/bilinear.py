"""Bilinear pooling: every component of one branch times every component of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import final

import torch
from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.cost import MAX_PARAMETERS, refuse_product
from fusionkit.heads.parts.options import check_dropout
from fusionkit.heads.parts.places import BranchPlaces
from fusionkit.heads.parts.power_norm import power_normalise
from fusionkit.heads.parts.precision import (
    at_least_float32,
    at_own_precision,
    without_autocast,
)

__all__ = ["Bilinear"]


@final
class Bilinear(FusionHead):
    """Bilinear pooling: outer products, signed square root, length 1 (arXiv:1504.07889).

    Of maps, the outer products are summed over the places, which must match; see ``level``.
    Of more than two branches, those of each pair stand side by side; a single branch is
    multiplied with itself. With ``norm="none"`` it is the paper's descriptor under one linear
    layer. An absent branch counts as ones, so that the present one of its pair is still seen,
    and a pair of which both are absent counts as zeros.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        reads: ``"vector"`` or ``"maps"``.
        level: which level of maps is read, -1 (the default) the coarsest; one for all or by
            branch. All get the size of the finest.
        norm: what each vector or map passes first: ``"layer"``, ``"none"``, and of vectors also
            ``"batch"`` or ``"l2"``; one for all or by branch.
        project: the width to which a linear layer brings each branch first, maps only where they
            have another; ``None`` for none.
        dropout: the share dropped of the descriptor.
        max_parameters: refuse to build a classifier of more, or descriptors that hold more
            numbers for 32 samples.

    Raises:
        AssemblyError: the classifier, or the descriptors of 32 samples, would be larger than
            ``max_parameters``, or a branch has no maps of the chosen level.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="W [v_12; v_13; ...] + b, v_ij = s / |s|, s = ssqrt(Σ_places vec(x_i x_jᵀ))",
        papers=("Lin et al., arXiv:1504.07889",),
        reads="vectors",
        when="Fine-grained classes, told apart by which component of one branch occurs with which "
        "of the other. d_1 d_2 weights for each class overfit few samples, and above some hundred "
        "components a branch compact_bilinear or low_rank_fusion is the cheaper way.",
        each=("norm", "W_i (project)"),
        join="outer product of pairs",
        after=("signed square root, length 1", "linear"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        reads: str = "vector",
        level: int | Mapping[str, int] | None = None,
        norm: str | Mapping[str, str] = "layer",
        project: int | None = None,
        dropout: float = 0.0,
        max_parameters: int = MAX_PARAMETERS,
    ) -> None:
        super().__init__()
        self.places = BranchPlaces(inputs, reads=reads, level=level, norm=norm, project=project)
        self.reads = self.places.reads
        names = self.places.names
        self.pairs = tuple(combinations(names, 2)) or ((names[0], names[0]),)

        def count(widths: Sequence[int]) -> int:
            by_name = dict(zip(names, widths, strict=True))
            return sum(by_name[i] * by_name[j] for i, j in self.pairs)

        components = refuse_product(
            max_parameters,
            count,
            num_classes,
            self.places.widths,
            formula="Σ d_i d_j over the pairs",
            instead="'compact_bilinear'",
        )
        self.dropout = nn.Dropout(check_dropout(dropout))
        self.classifier = nn.Linear(components, num_classes)

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        present = {name: at_least_float32(x) for name, x in self.places(features).items()}
        like = next(iter(present.values()))
        places = {
            name: present[name] if name in present else like.new_ones(*like.shape[:2], width)
            for name, width in zip(self.places.names, self.places.widths, strict=True)
        }
        vectors = []
        for one, other in self.pairs:
            vector = _describe(places[one], places[other])
            known = one in present or other in present
            vectors.append(vector if known else torch.zeros_like(vector))
        return at_own_precision(self.classifier, self.dropout(torch.cat(vectors, dim=-1)))


def _describe(x: Tensor, y: Tensor) -> Tensor:
    """Gives "b (d e)" of length 1 from "b p d" and "b p e"."""
    with without_autocast(x.device):
        summed = x.transpose(1, 2) @ y
    return power_normalise(summed.flatten(1))
