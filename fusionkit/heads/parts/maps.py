"""``BranchMaps``: the maps of all branches at one level, brought to one size and width."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fusionkit import Features, HeadInput
from fusionkit.heads.parts.absent import with_zeros
from fusionkit.heads.parts.levels import find_level, read_levels
from fusionkit.heads.parts.norms import MapNorm
from fusionkit.heads.parts.options import check_choice, per_branch

__all__ = ["BranchMaps", "finest_size", "map_block", "resize"]

MAP_NORMS = ("layer", "none")


@final
class BranchMaps(nn.Module):
    """Gives one "b c_i h w" by branch, in alphabetical order of the branches.

    All maps get the height and width of the finest that is present, the one with the most
    places, by bilinear interpolation. Strides would not tell: inputs may differ in size.

    Args:
        inputs: what the branches offer.
        level: which of the branches' levels, -1 the coarsest; one for all or by branch.
        norm: ``"layer"`` gives each map mean 0 and variance 1, ``"none"`` leaves it; one for
            all or by branch.
        width: the channels c that all maps get, by a 1x1 convolution where they have others;
            ``None`` leaves them as they are, ``"widest"`` takes the most that any branch has.
        same_size: whether maps are brought to one size; otherwise each keeps its own.

    Attributes:
        names: the branches, in the order of what ``forward`` gives.
        levels: the level of each, counted from the finest.
        reads: the same, as a head says it.
        widths: the channels c_i of each.
    """

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        level: Any = -1,
        norm: Any = "layer",
        width: Any = None,
        same_size: bool = True,
    ) -> None:
        super().__init__()
        self.names = tuple(sorted(inputs))
        self.same_size = same_size
        chosen = per_branch("level", level, self.names, missing=-1)
        norms = per_branch("norm", norm, self.names, missing="layer")
        self.levels = {name: find_level(name, inputs[name], chosen[name]) for name in self.names}
        self.reads = read_levels({name: [index] for name, index in self.levels.items()})
        channels = {n: inputs[n].levels[index].channels for n, index in self.levels.items()}
        if width == "widest":
            width = max(channels.values())
        self.blocks = nn.ModuleDict(
            {
                name: map_block(norms[name], own, None if width == own else width)
                for name, own in channels.items()
            }
        )
        self.widths = tuple(own if width is None else width for own in channels.values())

    def forward(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives the maps of the branches that are present, whatever their order."""
        present = [name for name in self.names if name in features]
        maps = {name: self.blocks[name](features[name].maps[0]) for name in present}
        if not self.same_size:
            return maps
        size = finest_size(maps.values())
        return {name: resize(x, size) for name, x in maps.items()}

    def with_zeros(self, features: Mapping[str, Features]) -> list[Tensor]:
        """Gives maps "b c_i h w" in the order of ``names``: zeros where a branch is absent."""
        return with_zeros(self(features), self.names, self.widths)


def map_block(norm: object, channels: int, width: int | None) -> nn.Sequential:
    """Gives the norm of maps "b c h w", and what brings them to "b width h w", if anything.

    The 1x1 convolution starts as a rotation, so that no branch starts louder than another.
    """
    kind = check_choice("norm", norm, MAP_NORMS)
    block: OrderedDict[str, nn.Module] = OrderedDict(
        norm=MapNorm() if kind == "layer" else nn.Identity()
    )
    if width is not None:
        conv = block["conv"] = nn.Conv2d(channels, width, 1)
        draw_orthogonal(conv.weight)
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)
    return nn.Sequential(block)


@torch.no_grad()
def draw_orthogonal(weight: Tensor) -> None:
    """Makes the weight of a 1x1 convolution a rotation, which torch draws in float32 and wider."""
    drawn = torch.empty(weight.shape, dtype=torch.float32, device=weight.device)
    weight.copy_(nn.init.orthogonal_(drawn))


def finest_size(maps: Iterable[Tensor]) -> torch.Size:
    """Gives height and width of the map that has the most places, of equals the first's."""
    sizes = [x.shape[-2:] for x in maps]
    finest = sizes[0]
    for size in sizes[1:]:
        if prod(size) > prod(finest):  # of sizes, max(key=prod) would not compile
            finest = size
    return finest


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Gives maps of another height and width, by bilinear interpolation."""
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size=list(size), mode="bilinear", align_corners=False)
