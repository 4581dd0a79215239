"""``BranchMaps``: the maps of all branches at one level, brought to one size and width."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, final

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fusionkit import AssemblyError, ConfigError, Features, HeadInput, Level, Reads
from fusionkit.heads.parts.absent import with_zeros
from fusionkit.heads.parts.norms import MapNorm
from fusionkit.heads.parts.options import check_choice, per_branch

__all__ = ["BranchMaps"]

MAP_NORMS = ("layer", "none")


@final
class BranchMaps(nn.Module):
    """Gives one "b c_i h w" by branch, in alphabetical order of the branches.

    All maps get the height and width of the finest that is present, of the branch with the
    smallest stride, by bilinear interpolation.

    Args:
        inputs: what the branches offer.
        level: which of the branches' levels, -1 the coarsest; one for all or by branch.
        norm: ``"layer"`` gives each map mean 0 and variance 1, ``"none"`` leaves it; one for
            all or by branch.
        width: the channels c that all maps get, by a 1x1 convolution where they have others;
            ``None`` leaves them as they are, ``"widest"`` takes the most that any branch has.

    Attributes:
        names: the branches, in the order of what ``forward`` gives.
        reads: the level read of each.
        widths: the channels c_i of each.
    """

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        level: Any = -1,
        norm: Any = "layer",
        width: Any = None,
    ) -> None:
        super().__init__()
        self.names = tuple(sorted(inputs))
        chosen = per_branch("level", level, self.names, missing=-1)
        norms = per_branch("norm", norm, self.names, missing="layer")
        levels = {name: _find_level(name, inputs[name], chosen[name]) for name in self.names}
        self.reads = {name: Reads(maps=(chosen[name],)) for name in self.names}
        self.strides = {name: levels[name].stride for name in self.names}
        if width == "widest":
            width = max(level.channels for level in levels.values())
        widths = []
        self.blocks = nn.ModuleDict()
        for name in self.names:
            channels = levels[name].channels
            kind = check_choice("norm", norms[name], MAP_NORMS)
            block: OrderedDict[str, nn.Module] = OrderedDict(
                norm=MapNorm() if kind == "layer" else nn.Identity()
            )
            if width is not None and channels != width:
                block["conv"] = _make_pointwise(channels, width)
                channels = width
            self.blocks[name] = nn.Sequential(block)
            widths.append(channels)
        self.widths = tuple(widths)

    def forward(self, features: Mapping[str, Features]) -> dict[str, Tensor]:
        """Gives the maps of the branches that are present, whatever their order."""
        present = [name for name in self.names if name in features]
        finest = min(present, key=lambda name: self.strides[name])
        size = features[finest].maps[0].shape[-2:]
        return {name: _resize(self.blocks[name](features[name].maps[0]), size) for name in present}

    def with_zeros(self, features: Mapping[str, Features]) -> list[Tensor]:
        """Gives maps "b c_i h w" in the order of ``names``: zeros where a branch is absent."""
        return with_zeros(self(features), self.names, self.widths)


def _find_level(branch: str, given: HeadInput, level: object) -> Level:
    if not given.levels:
        raise AssemblyError(
            f"branch {branch!r} has no maps, which this head reads; choose a backbone that has "
            "maps, or a head that reads vectors or scores: 'concat' or 'two_stream'"
        )
    if not isinstance(level, int) or isinstance(level, bool):
        raise ConfigError(
            f"option level takes a whole number, -1 for the coarsest maps, got {level!r}"
        )
    count = len(given.levels)
    if not -count <= level < count:
        raise AssemblyError(
            f"branch {branch!r} has no level {level}: it has {count} "
            f"level{'s' if count != 1 else ''} of maps, so level is {-count} to {count - 1}"
        )
    return given.levels[level]


def _make_pointwise(channels: int, width: int) -> nn.Conv2d:
    """Gives a 1x1 convolution that starts as a rotation, so that no stream starts louder."""
    conv = nn.Conv2d(channels, width, 1)
    nn.init.orthogonal_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def _resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size=list(size), mode="bilinear", align_corners=False)
