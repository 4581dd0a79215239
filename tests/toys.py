"""Small backbones and heads for tests, and a catalog that offers them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import fusionkit as fk


class TinyNet(fk.Backbone):
    """A convnet with everything that policies care for: norms, dropout, bias-free layers."""

    def __init__(self, in_channels: int = 3, width: int = 16, declare: bool = True) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.embed_dim = width
        self.levels = (fk.Level(width, 2), fk.Level(width, 4))
        self.first_layers = ("stem.0.weight",)
        if declare:
            self.stages = (
                fk.Stage("stem"),
                fk.Stage("body", "body.0", ("body.1", "body.3")),
                fk.Stage("top"),
            )
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)
        )
        self.drop = nn.Dropout(0.3)
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 2, 1),
            nn.BatchNorm2d(width),
            nn.Dropout(0.2),
            nn.Conv2d(width, width, 1),
        )
        self.top = nn.Linear(width, width)

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        first = self.drop(self.stem(x).relu())
        second = self.body(first)
        maps = tuple((first, second)[level] for level in reads.levels)
        vector = self.top(second.mean((2, 3))) if reads.vector else None
        return fk.Features(vector=vector, maps=maps)


class VectorNet(fk.Backbone):
    """A perceptron on flat inputs "b c": no maps, no image."""

    takes_images = False

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.embed_dim = 8
        self.stages = (fk.Stage("first"), fk.Stage("second"))
        self.first = nn.Linear(in_channels, 12)
        self.second = nn.Linear(12, 8)

    def check_input(self, x: Tensor) -> None:
        if x.ndim != 2 or x.shape[1] != self.in_channels:
            raise fk.DataError(f"takes 'b {self.in_channels}', got {tuple(x.shape)}")

    def example(self, batch: int = 2) -> Tensor:
        return torch.randn(batch, self.in_channels, generator=torch.Generator().manual_seed(0))

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        return fk.Features(vector=self.second(self.first(x).relu()))


class SumHead(fk.FusionHead):
    """Adds a linear classifier's answer over each branch's vector."""

    def __init__(self, inputs, *, num_classes: int) -> None:
        super().__init__()
        self.reads = "vector"
        self.out = nn.ModuleDict(
            {name: nn.Linear(each.embed_dim, num_classes) for name, each in inputs.items()}
        )

    def forward(self, features) -> Tensor:
        return torch.stack([out(features[name].vector) for name, out in self.out.items()]).sum(0)


class MapHead(fk.FusionHead):
    """Adds a linear classifier's answer over each branch's pooled map at one level."""

    def __init__(self, inputs, *, num_classes: int, level: int = -1) -> None:
        super().__init__()
        self.reads = fk.Reads(maps=(level,))
        self.out = nn.ModuleDict(
            {
                name: nn.Linear(each.levels[level].channels if each.levels else 1, num_classes)
                for name, each in inputs.items()
            }
        )

    def forward(self, features) -> Tensor:
        pooled = [out(features[name].maps[0].mean((2, 3))) for name, out in self.out.items()]
        return torch.stack(pooled).sum(0)


class ToyPlugin:
    """Offers the toys as any plugin does."""

    @fk.hookimpl
    def fusionkit_backbones(self):
        def tiny(*, in_channels=3, weights=None, num_classes=None, width=16, declare=True):
            return TinyNet(in_channels, width, declare)

        def vector(*, in_channels=3, weights=None, num_classes=None):
            return VectorNet(in_channels)

        return {"tiny": tiny, "vector": vector}

    @fk.hookimpl
    def fusionkit_heads(self):
        return {"sum": SumHead, "maps": MapHead}


def toy_catalog() -> fk.Catalog:
    """Gives a catalog of nothing but the toys, under the plugin name ``toy``."""
    return fk.Catalog().with_plugin("toy", ToyPlugin())


def perturb(module: nn.Module, seed: int = 0) -> None:
    """Moves parameters and norm statistics off their defaults, which would hide faults."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.1)
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
