"""A head of gated units (GMU, Arevalo et al. 2017, arXiv:1702.01992)."""

from __future__ import annotations

from collections.abc import Mapping

import fusionkit as fk
import torch
from torch import Tensor, nn


class Gated(fk.FusionHead):
    """Adds the branches' projected vectors, each through a gate that all vectors open and close.

    Args:
        inputs: what each branch offers.
        num_classes: the width of the answer.
        width: what every vector is projected to.
    """

    def __init__(
        self, inputs: Mapping[str, fk.HeadInput], *, num_classes: int, width: int = 64
    ) -> None:
        super().__init__()
        self.reads = "vector"
        widths = {name: inputs[name].embed_dim for name in sorted(inputs)}
        total = sum(widths.values())
        self.norm = nn.ModuleDict({name: nn.LayerNorm(d) for name, d in widths.items()})
        self.project = nn.ModuleDict({name: nn.Linear(d, width) for name, d in widths.items()})
        self.gate = nn.ModuleDict({name: nn.Linear(total, width) for name in widths})
        self.classify = nn.Linear(width, num_classes)

    def forward(self, features: Mapping[str, fk.Features]) -> Tensor:
        """Gives "b k" from a vector "b d" of each branch."""
        vectors = {name: norm(features[name].vector) for name, norm in self.norm.items()}
        joined = torch.cat(list(vectors.values()), 1)
        units = [
            self.gate[name](joined).sigmoid() * self.project[name](vector).tanh()
            for name, vector in vectors.items()
        ]
        logits: Tensor = self.classify(torch.stack(units).sum(0))
        return logits
