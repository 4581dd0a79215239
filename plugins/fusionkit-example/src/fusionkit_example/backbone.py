"""A reversible residual network (RevNet, Gomez et al. 2017, arXiv:1707.04585)."""

from __future__ import annotations

from collections.abc import Sequence

import fusionkit as fk
import torch
from torch import Tensor, nn

from fusionkit_example.weights import available_weights, load_weights


class Reversible(fk.Backbone):
    """A stem and stages of reversible blocks; gives a vector and a map of each.

    Args:
        in_channels: channels of the input.
        width: channels of the stem, an even number; each stage has twice as many as the one before.
        depths: how many blocks each stage has.
    """

    def __init__(self, in_channels: int, width: int, depths: Sequence[int]) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise fk.ConfigError(f"width is an even number, since blocks halve it; got {width}")
        widths = [width * 2**power for power in range(len(depths) + 1)]
        self.stem = convolve(in_channels, width, stride=2)
        self.body = nn.ModuleList(
            nn.Sequential(convolve(inputs, outputs, stride=2), *map(Block, [outputs] * depth))
            for inputs, outputs, depth in zip(widths, widths[1:], depths, strict=False)
        )
        self.in_channels = in_channels
        self.embed_dim = widths[-1]
        self.stages = (
            fk.Stage("stem"),
            *(
                fk.Stage(f"stage{i + 1}", *(f"body.{i}.{j}" for j in range(depth + 1)))
                for i, depth in enumerate(depths)
            ),
        )
        self.levels = tuple(fk.Level(c, 2 ** (i + 1)) for i, c in enumerate(widths))
        self.preprocessing = fk.Preprocessing(size=(64, 64)).for_channels(in_channels)
        self.first_layers = ("stem.0.weight",)

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        """Gives the vector "b d" and the maps "b c h w" that ``reads`` asks for."""
        x = self.stem(x)
        maps = [x]
        for stage in self.body:
            x = stage(x)
            maps.append(x)
        return fk.Features(
            vector=x.mean((2, 3)) if reads.vector else None,
            maps=tuple(maps[level] for level in reads.levels),
        )


class Block(nn.Module):
    """Adds to each half of the channels what it makes of the other half; can be undone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = convolve(width // 2, width // 2)
        self.g = convolve(width // 2, width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Gives "b c h w" for "b c h w"."""
        a, b = x.chunk(2, 1)
        a = a + self.f(b)
        b = b + self.g(a)
        return torch.cat((a, b), 1)


def convolve(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Gives a convolution with its norm and activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def build_reversible(
    *,
    in_channels: int = 3,
    weights: str | None = None,
    num_classes: int | None = None,
    width: int = 16,
    depths: Sequence[int] = (2, 2),
) -> Reversible:
    """Builds ``example/reversible``; it has no classifier of its own."""
    backbone = Reversible(in_channels, width, depths)
    if weights is not None:
        load_weights(backbone, weights)
    return backbone


build_reversible.available_weights = available_weights  # type: ignore[attr-defined]
