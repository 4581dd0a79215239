"""``BranchPlaces``: each branch's vector, or its map place by place, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from torch import Tensor, nn

from fusionkit import ConfigError, Features, HeadInput, Reads
from fusionkit.heads.parts.maps import BranchMaps
from fusionkit.heads.parts.options import check_choice
from fusionkit.heads.parts.vectors import BranchVectors

__all__ = ["BranchPlaces"]


@final
class BranchPlaces(nn.Module):
    """Gives one "b p d_i" by branch: p places of a map, or a vector as the only place.

    Args:
        inputs: what the branches offer.
        reads: ``"vector"`` or ``"maps"``.
        level: which level of maps, -1 the coarsest; one for all or by branch.
        norm: see ``BranchVectors`` and ``BranchMaps``.
        project: the width d to which each is brought by a linear layer or 1x1 convolution.

    Attributes:
        names: the branches, in the order of what ``forward`` gives.
        widths: d_i of each.
        reads: what the head reads.
    """

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        reads: object,
        level: Any,
        norm: Any,
        project: int | None = None,
    ) -> None:
        super().__init__()
        self.branches: BranchVectors | BranchMaps
        self.reads: str | Mapping[str, Reads]
        if check_choice("reads", reads, ("vector", "maps")) == "vector":
            if level is not None:
                raise ConfigError(
                    f"option level chooses among maps, got {level!r}; write reads='maps' with it"
                )
            self.branches = BranchVectors(inputs, norm=norm, project=project)
            self.reads = "vector"
        else:
            chosen = -1 if level is None else level
            self.branches = BranchMaps(inputs, level=chosen, norm=norm, width=project)
            self.reads = self.branches.reads
        self.names = self.branches.names
        self.widths = self.branches.widths

    def forward(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives "b p d_i" of the branches that are present; p is the same for all."""
        return {
            name: x.flatten(2).transpose(1, 2) if x.ndim == 4 else x.unsqueeze(1)
            for name, x in self.branches(features).items()
        }
