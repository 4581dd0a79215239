"""``BranchVectors``: the vectors of all branches, normalised and projected."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, final

from torch import Tensor, nn

from fusionkit import Features, HeadInput
from fusionkit.heads.parts.absent import with_zeros
from fusionkit.heads.parts.norms import vector_norm
from fusionkit.heads.parts.options import check_width, per_branch

__all__ = ["BranchVectors"]


@final
class BranchVectors(nn.Module):
    """Gives one vector "b d_i" by branch, in alphabetical order of the branches.

    Args:
        inputs: what the branches offer.
        norm: see ``norms.vector_norm``; one for all, or by branch.
        project: the width d_i to which a linear layer brings the normalised vector; one for all
            or by branch, ``None`` for none.

    Attributes:
        names: the branches, in the order of what ``forward`` gives.
        widths: d_i of each.
    """

    def __init__(
        self, inputs: Mapping[str, HeadInput], *, norm: Any = "layer", project: Any = None
    ) -> None:
        super().__init__()
        self.names = tuple(sorted(inputs))
        norms = per_branch("norm", norm, self.names, missing="layer")
        targets = per_branch("project", project, self.names, missing=None)
        self.blocks = nn.ModuleDict()
        widths = []
        for name in self.names:
            width = inputs[name].embed_dim
            block = OrderedDict(norm=vector_norm(norms[name], width, name))
            if targets[name] is not None:
                target = check_width("project", targets[name])
                block["linear"] = nn.Linear(width, target)
                width = target
            self.blocks[name] = nn.Sequential(block)
            widths.append(width)
        self.widths = tuple(widths)

    def forward(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives the vectors of the branches that are present, whatever their order."""
        present = [name for name in self.names if name in features]
        return {name: self.blocks[name](features[name].vector) for name in present}

    def with_zeros(self, features: Mapping[str, Features]) -> list[Tensor]:
        """Gives one vector per branch in the order of ``names``: zeros where a branch is absent."""
        return with_zeros(self(features), self.names, self.widths)
