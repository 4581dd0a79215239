"""A small convolutional backbone."""

from __future__ import annotations

from torch import Tensor, nn

import fusionkit as fk


class Tiny(fk.Backbone):
    """Two stages of convolutions; gives a vector and two levels of maps."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.embed_dim = 2 * width
        self.stages = (fk.Stage("stem"), fk.Stage("body", "body.0", "body.1"))
        self.levels = (fk.Level(width, 2), fk.Level(2 * width, 4))
        self.preprocessing = fk.Preprocessing(size=(64, 64)).for_channels(in_channels)
        self.first_layers = ("stem.0.weight",)
        self.stem = _convolve(in_channels, width, stride=2)
        self.body = nn.Sequential(
            _convolve(width, 2 * width, stride=2), _convolve(2 * width, 2 * width, stride=1)
        )

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        """Gives "b d", and the maps that were asked for."""
        fine = self.stem(x)
        coarse = self.body(fine)
        return fk.Features(
            vector=coarse.mean((2, 3)) if reads.vector else None,
            maps=tuple((fine, coarse)[level] for level in reads.levels),
        )


def build_tiny(
    *,
    in_channels: int = 3,
    weights: str | None = None,
    num_classes: int | None = None,
    width: int = 16,
) -> Tiny:
    """Builds the backbone; it has no classifier and no pretrained weights."""
    return Tiny(in_channels, width)


def _convolve(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
