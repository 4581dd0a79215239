"""Backbones that are odd in one way each, as trained networks are, and a catalog of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, spectral_norm
from toys import MapHead, SumHead, TinyNet, VectorNet

import fusionkit as fk

SIZE = 16


class OddNet(fk.Backbone):
    """Three convolutions, a stage each; the odd ones change something of it."""

    def __init__(self, in_channels: int = 3, width: int = 8) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.embed_dim = width
        self.levels = (fk.Level(width, 2), fk.Level(width, 4), fk.Level(width, 8))
        self.first_layers = ("one.weight",)
        self.preprocessing = fk.Preprocessing(size=(SIZE, SIZE)).for_channels(in_channels)
        self.stages = (fk.Stage("one"), fk.Stage("two"), fk.Stage("three"))
        self.one = nn.Conv2d(in_channels, width, 3, 2, 1)
        self.two = nn.Conv2d(width, width, 3, 2, 1)
        self.three = nn.Conv2d(width, width, 3, 2, 1)

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        maps = []
        for layer in (self.one, self.two, self.three):
            x = torch.tanh(layer(x))
            maps.append(x)
        vector = x.mean((2, 3)) if reads.vector else None
        return fk.Features(vector, tuple(maps[level] for level in reads.levels))


class Tied(OddNet):
    """Two stages that name one parameter."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.three.weight = self.two.weight


class SharedModule(OddNet):
    """A layer with parameters that stands under two names, and one dropout for all stages."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.noise = nn.Dropout(0.5)
        self.one = nn.Sequential(nn.Conv2d(in_channels, 8, 3, 2, 1), self.noise)
        self.two = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), self.noise)
        self.three = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), self.noise)
        self.again = nn.ModuleList([self.two, self.three])
        self.first_layers = ("one.0.weight",)


class HiddenBuffer(OddNet):
    """A non-persistent buffer that counts training passes, as a moving statistic does."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.one = CountingConv(in_channels, 8, 3, 2, 1)


class CountingConv(nn.Conv2d):
    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
        return super().forward(x)


class AuthorFrozen(OddNet):
    """Its author has fixed the first layer's bias and all of the second."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.one.bias.requires_grad_(False)
        self.two.requires_grad_(False)


class BareNorm(OddNet):
    """A BatchNorm without parameters after each layer, the last one registered out of order."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.levels = ()
        self.norms = nn.ModuleList(nn.BatchNorm2d(8, affine=False) for _ in range(3))
        self.stages = (
            fk.Stage("one", ("one", "norms.0")),
            fk.Stage("two", ("two", "norms.1")),
            fk.Stage("three", ("three", "norms.2")),
        )

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        for layer, norm in zip((self.one, self.two, self.three), self.norms, strict=True):
            x = norm(torch.tanh(layer(x)))
        return fk.Features(x.mean((2, 3)))


class OldSpectral(OddNet):
    """Power iterations by hook, in training mode."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.first_layers = ("one.weight_orig",)
        self.one = spectral_norm(self.one)
        self.three = spectral_norm(self.three)


class NewSpectral(OddNet):
    """Power iterations by parametrization, in training mode."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.first_layers = ("one.parametrizations.weight.original",)
        self.one = parametrizations.spectral_norm(self.one)
        self.three = parametrizations.spectral_norm(self.three)


class FunctionalNoise(OddNet):
    """Drops between its stages by a function of its own mode."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.levels = ()

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        x = functional.dropout(torch.tanh(self.one(x)), 0.5, self.training)
        x = functional.dropout(torch.tanh(self.two(x)), 0.5, self.training)
        return fk.Features(self.three(x).mean((2, 3)))


class Wrapped(fk.Backbone):
    """A stock network inside, whose names are the checkpoint's."""

    trunk_path = "trunk"

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.embed_dim = 8
        self.first_layers = ("0.0.weight",)
        self.stages = (fk.Stage("stem", "0"), fk.Stage("top", "1"))
        self.trunk = nn.Sequential(
            nn.Sequential(
                nn.Conv2d(in_channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3)
            ),
            nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()),
        )
        self.noise = nn.Dropout(0.2)

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        return fk.Features(self.noise(self.trunk(x)).mean((2, 3)))


class Tokens(fk.Backbone):
    """A small transformer that declares no stages and has a class token beside its children."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.embed_dim = 8
        self.fixed_size = (SIZE, SIZE)
        self.first_layers = ("embed.weight",)
        self.norm = nn.LayerNorm(8)  # registered first, runs last
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 8))  # read by nobody
        self.embed = nn.Conv2d(in_channels, 8, 4, 4)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True) for _ in range(4)
        )

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return fk.Features(self.norm(x)[:, 0])


class Caches(OddNet):
    """Keeps a table made from its weights in eval mode, until its mode is set."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.two = CachedScale(8)
        self.levels = (fk.Level(8, 2), fk.Level(8, 2), fk.Level(8, 4))
        self.stages = (fk.Stage("one"), fk.Stage("two"), fk.Stage("three"))


class CachedScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, 1, 1))
        self.table = None

    def train(self, mode: bool = True) -> CachedScale:
        self.table = None
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if self.training or torch.is_inference_mode_enabled():
            return x * self.weight.exp()
        if self.table is None or self.table.device != x.device:
            self.table = self.weight.exp()
        return x * self.table


class KeepsForever(OddNet):
    """Keeps the first thing that it sees on a device; a probe of it must leave nothing behind."""

    kept = None

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        if self.kept is None or self.kept.device != x.device:
            self.kept = torch.zeros(1, device=x.device)
        return super().forward(x + self.kept, reads)


class Classifies(OddNet):
    """Has a classifier, and gives logits of as many classes as it is asked for, or says so."""

    def __init__(self, in_channels: int = 3, num_classes: int | None = None) -> None:
        super().__init__(in_channels)
        self.num_classes = num_classes
        if num_classes is not None:
            self.fc = nn.Linear(8, num_classes)
            self.stages = (*self.stages, fk.Stage("fc"))

    def forward(self, x: Tensor, reads: fk.Reads) -> fk.Features:
        features = super().forward(x, fk.Reads(vector=True, maps=reads.maps))
        logits = self.fc(features.vector) if reads.logits else None
        return features._replace(vector=features.vector if reads.vector else None, logits=logits)


class Gives(OddNet):
    """Gives from its forward pass whatever it is told to make of its features."""

    num_classes = 5

    def __init__(self, in_channels: int = 3, what: str = "tuple") -> None:
        super().__init__(in_channels)
        self.what = what
        self.fc = nn.Linear(8, 5)
        self.stages = (*self.stages, fk.Stage("fc"))

    def forward(self, x: Tensor, reads: fk.Reads):
        fine = super().forward(x, fk.Reads(vector=True, maps=reads.maps))
        vector = fine.vector
        return {
            "fine": lambda: fine._replace(logits=self.fc(vector)),
            "tuple": lambda: (vector,),
            "dict": lambda: {"vector": vector},
            "wide": lambda: fk.Features(torch.cat([vector, vector], 1)),
            "map": lambda: fk.Features(vector[:, :, None, None]),
            "none": lambda: fk.Features(None),
            "no logits": lambda: fk.Features(vector),
            "no maps": lambda: fk.Features(vector),
            "wide maps": lambda: fk.Features(maps=(torch.cat([vector] * 2, 1)[..., None, None],)),
        }[self.what]()


class LogitsHead(fk.FusionHead):
    """Averages the branches' own scores."""

    takes_logits = True

    def __init__(self, inputs, *, num_classes: int) -> None:
        super().__init__()
        self.reads = "logits"

    def forward(self, features) -> Tensor:
        return torch.stack([each.logits for each in features.values()]).mean(0)


PLAIN = {
    "odd": OddNet,
    "tied": Tied,
    "shared_module": SharedModule,
    "hidden_buffer": HiddenBuffer,
    "author_frozen": AuthorFrozen,
    "bare_norm": BareNorm,
    "old_spectral": OldSpectral,
    "new_spectral": NewSpectral,
    "functional_noise": FunctionalNoise,
    "wrapped": Wrapped,
    "tokens": Tokens,
    "caches": Caches,
    "keeps_forever": KeepsForever,
}


class OddPlugin:
    """Offers the toys and the odd ones; ``extra`` are further factories by name."""

    def __init__(self, backbones=(), heads=()) -> None:
        self.backbones = dict(backbones)
        self.heads = dict(heads)

    @fk.hookimpl
    def fusionkit_backbones(self):
        def plain(kind):
            def build(*, in_channels, weights, num_classes):
                return kind(in_channels)

            return build

        def tiny(*, in_channels, weights, num_classes, width=16, declare=True):
            return TinyNet(in_channels, width, declare)

        def vector(*, in_channels, weights, num_classes):
            return VectorNet(in_channels)

        def classifies(*, in_channels, weights, num_classes):
            return Classifies(in_channels, num_classes)

        def gives(*, in_channels, weights, num_classes, what):
            return Gives(in_channels, what)

        return {
            **{name: plain(kind) for name, kind in PLAIN.items()},
            **{"tiny": tiny, "vector": vector, "classifies": classifies, "gives": gives},
            **self.backbones,
        }

    @fk.hookimpl
    def fusionkit_heads(self):
        return {"sum": SumHead, "maps": MapHead, "logits": LogitsHead, **self.heads}


def odd_catalog(backbones=(), heads=()) -> fk.Catalog:
    """Gives a catalog of the toys and the odd ones under the plugin name ``odd``."""
    return fk.Catalog().with_plugin("odd", OddPlugin(backbones, heads))


def build(branches, head="odd/sum", num_classes: int = 5, **options) -> fk.FusedModel:
    """Composes branches given by name, each as a toy's name or a whole ``Branch``."""
    made = {
        name: branch if isinstance(branch, fk.Branch) else fk.Branch(f"odd/{branch}", weights=None)
        for name, branch in branches.items()
    }
    return fk.compose(made, head, num_classes, catalog=odd_catalog(), **options)


def branch(kind: str, **settings) -> fk.Branch:
    """Gives a branch of random weights."""
    return fk.Branch(f"odd/{kind}", weights=None, **settings)


def images(batch: int = 4, channels: int = 3, size: int = SIZE, seed: int = 0) -> Tensor:
    """Gives the same batch of images at each call."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, size, size, generator=generator)
