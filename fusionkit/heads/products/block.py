"""Bilinear superdiagonal fusion: the bilinear tensor as a sum of low-rank blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from fusionkit import Card, ConfigError, Features, FusionHead, HeadInput
from fusionkit.heads.parts.options import check_choice, check_dropout, check_width
from fusionkit.heads.parts.power_norm import power_normalise
from fusionkit.heads.parts.precision import at_own_precision
from fusionkit.heads.parts.sum_of_products import SumOfProducts
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["Block"]


@final
class Block(FusionHead):
    """Block-term decomposition of the bilinear tensor, BLOCK (arXiv:1902.00038).

    Each branch is projected and cut into chunks; chunk meets chunk in a core of its own whose
    slices have rank R, as in MUTAN; the results are normalised and concatenated. Any number of
    branches. With ``norm="none"`` and ``normalise="none"`` it is the paper's decomposition; its
    authors' code normalises each chunk. One chunk is a Tucker decomposition. Of an absent branch
    the biases are left as its factors.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: to which each branch is projected, and that of the fused vector; 1600 in the
            authors' code, with 20 chunks and rank 15.
        chunks: C, into which the width is cut, as evenly as it goes.
        rank: R, of each slice of a chunk's core.
        normalise: what is given signed square roots and length 1: each ``"chunk"``, the
            ``"whole"`` or ``"none"``.
        norm: what each vector passes first: ``"layer"``, ``"batch"``, ``"l2"`` or ``"none"``;
            one for all or by branch.
        dropout: the share dropped of the fused vector.

    Raises:
        ConfigError: an option's value is wrong, or there are more chunks than components.
    """

    takes_missing = True

    card = Card(
        formula="W_o [z_1; ...; z_C] + b, z_c = Σ_r (M_{1,r,c} (W_1 x_1)_c ⊙ ... )",
        papers=("Ben-younes et al., arXiv:1902.00038",),
        reads="vectors",
        when="Wide fused vectors: small blocks model rich products at a fraction of what one "
        "Tucker core of that width costs. Many small layers, so slower than its figures say.",
        each=("norm", "W_i", "cut into chunks"),
        join="sum of R products, chunk by chunk",
        after=("signed square root, length 1", "concat", "linear"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 512,
        chunks: int = 16,
        rank: int = 8,
        normalise: str = "chunk",
        norm: str | Mapping[str, str] = "layer",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.reads = "vector"
        self.chunks = check_width("chunks", chunks)
        if self.chunks > check_width("width", width):
            raise ConfigError(
                f"option chunks: {chunks} chunks cannot be cut from width={width}; write "
                f"chunks={width} or fewer, or a larger width"
            )
        self.normalise = check_choice("normalise", normalise, ("chunk", "whole", "none"))
        self.vectors = BranchVectors(inputs, norm=norm, project=width)
        names = self.vectors.names
        self.cores = nn.ModuleList(
            SumOfProducts(names, [size] * len(names), size, terms=check_width("rank", rank))
            for size in (len(part) for part in torch.arange(width).tensor_split(chunks))
        )
        self.dropout = nn.Dropout(check_dropout(dropout))
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        vectors = self.vectors(features)
        cut = [x.tensor_split(self.chunks, dim=-1) for x in vectors.values()]
        fused = [
            core(dict(zip(vectors, chunk, strict=True)))
            for core, chunk in zip(self.cores, zip(*cut, strict=True), strict=True)
        ]
        if self.normalise == "chunk":
            fused = [power_normalise(z) for z in fused]
        joined = torch.cat(fused, dim=-1)
        if self.normalise == "whole":
            joined = power_normalise(joined)
        return at_own_precision(self.classifier, self.dropout(joined))
