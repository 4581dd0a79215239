"""Networks that no provider has keep the promises: the kit does not mistake rarity for a fault."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fusionkit as fk
import fusionkit.testing as kit

SMALL = fk.Preprocessing(size=(32, 32))


class Ordinary(fk.Backbone):
    """What the networks for images have in common: a first layer of patches."""

    def __init__(self, in_channels: int, width: int = 16) -> None:
        super().__init__()
        self.in_channels, self.embed_dim = in_channels, width
        self.preprocessing = SMALL.for_channels(in_channels)
        self.first_layers = ("embed.weight",)
        self.embed = nn.Conv2d(in_channels, width, 4, 4)

    def tokens(self, x):
        return self.embed(x).flatten(2).transpose(1, 2)


class Differential(Ordinary):
    """A differential equation, integrated by four stages of Runge and Kutta."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.field = nn.Sequential(nn.GroupNorm(4, 16), nn.Conv2d(16, 16, 3, 1, 1), nn.Tanh())
        self.stages = (fk.Stage("embed"), fk.Stage("field"))
        self.levels = (fk.Level(16, 4),)

    def forward(self, x, reads):
        y = self.embed(x)
        for _ in range(2):
            one = self.field(y)
            two = self.field(y + one / 4)
            three = self.field(y + two / 4)
            y = y + (one + 2 * two + 2 * three + self.field(y + three / 2)) / 12
        vector = y.mean((2, 3)) if reads.vector else None
        return fk.Features(vector, maps=(y,) if reads.levels else ())


class Recurrent(Ordinary):
    """Reads the patches in both directions, one after the other."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.embed_dim = 32
        self.gru = nn.GRU(16, 16, batch_first=True, bidirectional=True)
        self.stages = (fk.Stage("embed"), fk.Stage("gru"))

    def forward(self, x, reads):
        return fk.Features(self.gru(self.tokens(x))[0].mean(1))


class Perceiving(Ordinary):
    """Learned latents that attend to the patches."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.latents = nn.Parameter(torch.linspace(-1, 1, 64).reshape(4, 16).sin())
        self.layers = nn.ModuleList(nn.MultiheadAttention(16, 2, 0.1) for _ in range(2))
        self.norm = nn.LayerNorm(16)
        self.stages = (
            fk.Stage("stem", ("latents", "embed")),
            fk.Stage("layers", "layers.0", ("layers.1", "norm")),
        )

    def forward(self, x, reads):
        patches = self.tokens(x).transpose(0, 1)
        latents = self.latents[:, None].expand(-1, x.shape[0], -1)
        for layer in self.layers:
            latents = latents + layer(latents, patches, patches)[0]
        return fk.Features(self.norm(latents).mean(0))


class Equilibrium(Ordinary):
    """Goes on until nothing changes any more, and learns from the last step alone."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)
        self.compiles = self.exports = False
        self.cell = nn.Conv2d(16, 16, 3, 1, 1)
        self.stages = (fk.Stage("embed"), fk.Stage("cell"))

    def forward(self, x, reads):
        given = self.embed(x)
        state = torch.zeros_like(given)
        with torch.no_grad():
            for _ in range(20):
                state = (0.3 * self.cell(state) + given).tanh()
        return fk.Features((0.3 * self.cell(state) + given).tanh().mean((2, 3)))


class Tabular(fk.Backbone):
    """Takes vectors."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels, self.embed_dim = in_channels, 16
        self.stages = (fk.Stage("one", ("one", "norm")), fk.Stage("two"))
        self.first_layers = ("one.weight",)
        self.one, self.norm = nn.Linear(in_channels, 16), nn.BatchNorm1d(16)
        self.two = nn.Linear(16, 16)

    def example(self, batch=2):
        return torch.linspace(-1, 1, batch * self.in_channels).reshape(batch, -1)

    def check_input(self, x):
        if not isinstance(x, torch.Tensor) or x.ndim != 2 or x.shape[1] != self.in_channels:
            raise fk.DataError(f"takes vectors 'b {self.in_channels}'")

    def forward(self, x, reads):
        return fk.Features(self.two(self.norm(self.one(x)).relu()))


@pytest.mark.parametrize("kind", [Differential, Recurrent, Perceiving, Equilibrium, Tabular])
def test_it_passes(kind: type[fk.Backbone]) -> None:
    def make(*, in_channels=3, weights=None, num_classes=None):
        return kind(in_channels)

    kit.check_backbone(make)
