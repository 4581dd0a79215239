"""A fusion head that averages projected vectors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

import fusionkit as fk


class AverageVectors(fk.FusionHead):
    """Average of the branches' vectors after a projection to one width, then a classifier."""

    def __init__(
        self, inputs: Mapping[str, fk.HeadInput], *, num_classes: int, width: int = 64
    ) -> None:
        super().__init__()
        self.reads = "vector"
        self.project = nn.ModuleDict(
            {name: nn.Linear(each.embed_dim, width) for name, each in inputs.items()}
        )
        self.classify = nn.Linear(width, num_classes)

    def forward(self, features: Mapping[str, fk.Features]) -> Tensor:
        """Gives "b k" from a vector "b d" of each branch."""
        projected = [project(features[name].vector) for name, project in self.project.items()]
        logits: Tensor = self.classify(torch.stack(projected).mean(0))
        return logits
