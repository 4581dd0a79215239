"""Good backbones of kinds that naive checks of training would refuse."""

from __future__ import annotations

import torch
from evil_learning import Trio
from torch import Tensor, nn
from torch.nn import functional

import fusionkit as fk


class Reader(fk.Backbone):
    """Reads texts: a mapping of whole numbers and a mask, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_dim = 8
        self.stages = (fk.Stage("words"), fk.Stage("layer"))
        self.words = nn.Embedding(50, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)

    def check_input(self, x) -> None:
        if not isinstance(x, dict) or not {"tokens", "mask"} <= set(x):
            raise fk.DataError("takes a mapping of tokens and mask")

    def example(self, batch: int = 2):
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(2, 50, (batch, 6), generator=generator)
        mask = torch.ones(batch, 6, dtype=torch.bool)
        mask[0, 4:] = False
        return {"tokens": tokens, "mask": mask}

    def forward(self, x, reads: fk.Reads) -> fk.Features:
        states = self.layer(self.words(x["tokens"]), src_key_padding_mask=~x["mask"])
        return fk.Features(vector=states[:, 0])


class BagOfWords(Reader):
    """Its answer does not depend on the order of the words."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x, reads: fk.Reads) -> fk.Features:
        return fk.Features(vector=self.layer(self.words(x["tokens"]).mean(1)))


class LeavesLayersOut(Trio):
    """Skips its second stage in half of all training steps, whole."""

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        x = torch.tanh(self.one(x))
        if not self.two.training or torch.rand(()) < 0.5:
            x = x + functional.interpolate(torch.tanh(self.two(x)), x.shape[-2:])
        x = torch.tanh(self.three(x))
        return fk.Features(x.mean((2, 3)))

    levels = property(lambda self: (), lambda self, value: None)


class Deep(fk.Backbone):
    """Twenty stages, a norm and a dropout in each; and a fixed mask token that nobody reads."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels, self.embed_dim = in_channels, 8
        self.first_layers = ("stem.weight",)
        self.mask_token = nn.Parameter(torch.zeros(8), requires_grad=False)
        self.stem = nn.Conv2d(in_channels, 8, 4, 4)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1), nn.Dropout(0.1)) for _ in range(20)
        )
        self.stages = (
            fk.Stage("stem", ("stem", "mask_token")),
            *(fk.Stage(f"layer{index}", f"layers.{index}") for index in range(20)),
        )

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        x = self.stem(x)
        for layer in self.layers:
            x = x + layer(x)
        return fk.Features(x.mean((2, 3)))


class Averages(Trio):
    """Keeps a running average of its weight in a buffer of its own, in train mode, as some do."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.register_buffer("average", torch.zeros_like(self.two.weight))

    def after(self, index, x):
        if index == 1 and self.training:
            self.average.lerp_(self.two.weight.detach(), 0.1)
        return x


class ScalesByConstant(Trio):
    """Has a parameter that its author fixed, and uses it without gradients."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.scale = nn.Parameter(torch.ones(8, 1, 1), requires_grad=False)
        self.stages = (fk.Stage("one", ("one", "scale")), fk.Stage("two"), fk.Stage("three"))

    def after(self, index, x):
        return x * self.scale.exp() if index == 0 else x


class FixedNorm(nn.Module):
    """Normalises by statistics that never move."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x - self.running_mean


class HoldsWhatIsFixed(Trio):
    """Has a fixed norm in no stage, and a parameter of whole numbers."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.norm = FixedNorm(8)
        self.order = nn.Parameter(torch.arange(8).flip(0), requires_grad=False)
        self.stages = (fk.Stage("one", ("one", "order")), fk.Stage("two"), fk.Stage("three"))

    def after(self, index, x):
        return self.norm(x)[:, self.order] if index == 0 else x


GOOD = {
    "reader": Reader,
    "bag_of_words": BagOfWords,
    "leaves_layers_out": LeavesLayersOut,
    "deep": Deep,
    "averages": Averages,
    "scales_by_constant": ScalesByConstant,
    "holds_what_is_fixed": HoldsWhatIsFixed,
}
