"""One feature pyramid of all levels of all branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fusionkit import Card, ConfigError, Features, FusionHead, HeadInput
from fusionkit.heads.parts.absent import with_zeros
from fusionkit.heads.parts.levels import EachLevel, find_level, read_levels
from fusionkit.heads.parts.map_pool import MapPool
from fusionkit.heads.parts.maps import finest_size, map_block, resize
from fusionkit.heads.parts.options import check_width, per_branch
from fusionkit.heads.parts.perceptron import perceptron

__all__ = ["PyramidFusion"]

FINEST = 4
"""The smallest stride of the paper's pyramid: finer maps cost too much memory."""


@final
class PyramidFusion(FusionHead):
    """One feature pyramid of the levels of all branches, from the top down (arXiv:1612.03144).

    Each level of each branch is normalised and brought to one width by a 1x1 convolution of its
    own. Maps of the same stride are added up, at the size of the finest; from the coarsest on,
    each sum is brought to the size of the next finer by nearest neighbours and added to it. Each
    of these gets a 3x3 convolution, a ReLU and average pooling, and a linear layer on their
    concatenation gives logits, where a panoptic pyramid (arXiv:1901.02446), which has to tell
    places apart, enlarges and sums them.

    That several branches share the pyramid is not in the paper, which has one. A branch whose
    input is absent is left out of the sums; a stride that none present has is passed over, and
    its vector counts as zeros.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        levels: ``"stages"``, as in the paper: of each branch's levels of one stride the deepest,
            without strides under 4 unless a branch has no other; ``"all"``; or a list of levels,
            -1 the coarsest, for all or by branch.
        width: the channels of the pyramid.
        norm: ``"layer"`` gives each map mean 0 and variance 1; ``"none"`` leaves it. One for all
            or by branch.
        dropout: the share dropped of the pooled vectors.

    Raises:
        AssemblyError: a branch has no maps, or not a chosen level.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="linear([pool(ReLU(conv3x3(p_s)))]_s), p_s = Σ_i W_i,s x_i,s + enlarge(p_2s)",
        papers=("Lin et al., arXiv:1612.03144", "Kirillov et al., arXiv:1901.02446"),
        reads="maps",
        when="For branches with unequal numbers of levels and strides, where small things and "
        "textures count that only fine maps show. It costs the most of the heads on maps, in "
        "memory too: a smaller width, or fewer levels, cost less.",
        each=("norm each level", "1x1 conv each (width)"),
        join="Σ by stride, top-down",
        after=("3x3 conv each", "pool each", "concat", "linear"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        levels: str | Sequence[int] | Mapping[str, str | Sequence[int]] = "stages",
        width: int = 256,
        norm: str | Mapping[str, str] = "layer",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        names = sorted(inputs)
        wanted = per_branch("levels", levels, names, missing="stages")
        norms = per_branch("norm", norm, names, missing="layer")
        chosen = {name: _choose(name, inputs[name], wanted[name]) for name in names}
        reads = self.reads = read_levels(chosen)
        self.width = check_width("width", width)
        strides = {name: [inputs[name].levels[i].stride for i in chosen[name]] for name in names}
        self.strides = sorted({stride for each in strides.values() for stride in each})
        self.members = {
            stride: [
                (name, place)
                for name in names
                for place, other in enumerate(strides[name])
                if other == stride
            ]
            for stride in self.strides
        }
        self.laterals = nn.ModuleDict(
            {
                name: EachLevel(
                    map_block(norms[name], inputs[name].levels[level].channels, self.width)
                    for level in reads[name].levels
                )
                for name in names
            }
        )
        self.pools = nn.ModuleDict(
            {str(stride): MapPool(self.width, self.width) for stride in self.strides}
        )
        self.classifier = perceptron(
            self.width * len(self.strides),
            num_classes,
            hidden=None,
            activation="relu",
            dropout=dropout,
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        laterals = {
            name: each(features[name].maps)
            for name, each in self.laterals.items()
            if name in features
        }
        vectors: dict[str, Tensor] = {}
        above: Tensor | None = None
        for stride in reversed(self.strides):
            maps = [
                laterals[name][place] for name, place in self.members[stride] if name in laterals
            ]
            if not maps:
                continue
            size = finest_size(maps)
            here = reduce(torch.add, [resize(x, size) for x in maps])
            if above is not None:
                here = here + F.interpolate(above, size=list(size), mode="nearest")
            vectors[str(stride)] = self.pools[str(stride)](here)
            above = here
        counted = with_zeros(vectors, list(self.pools), [self.width] * len(self.strides))
        logits: Tensor = self.classifier(torch.cat(counted, dim=1))
        return logits

    def extra_repr(self) -> str:
        """Says which branches meet at which stride."""
        return "\n".join(
            f"stride {stride}: {', '.join(name for name, _ in members)}"
            for stride, members in self.members.items()
        )


def _choose(branch: str, given: HeadInput, wanted: Any) -> list[int]:
    """Gives the levels of one branch, from fine to coarse."""
    last = find_level(branch, given, -1)
    if wanted == "all":
        return list(range(last + 1))
    if wanted == "stages":
        deepest = {level.stride: index for index, level in enumerate(given.levels)}
        return sorted(i for stride, i in deepest.items() if stride >= FINEST) or [last]
    if not isinstance(wanted, (list, tuple)) or not wanted:
        raise ConfigError(
            "option levels is 'stages', 'all' or a list of levels, for example [-2, -1], got "
            f"{wanted!r} for branch {branch!r}"
        )
    return sorted({find_level(branch, given, level, "levels") for level in wanted})
