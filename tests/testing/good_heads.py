"""Heads that keep every promise in unusual ways, so that the kit raises no false alarm."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

import fusionkit as fk


class Sum(fk.FusionHead):
    """Adds up linear scores, as the documentation of FusionHead writes it."""

    def __init__(self, inputs, *, num_classes):
        super().__init__()
        self.reads = "vector"
        self.out = nn.ModuleDict(
            {name: nn.Linear(i.embed_dim, num_classes) for name, i in inputs.items()}
        )

    def forward(self, features):
        return sum(self.out[name](f.vector) for name, f in features.items())


class ScoresBeside(Sum):
    """Says of each branch what is no part of the answer, with weights and fields for it alone."""

    takes_logits = True

    def __init__(self, inputs, *, num_classes):
        super().__init__(inputs, num_classes=num_classes)
        kept = {name for name, i in inputs.items() if i.num_classes == num_classes}
        self.reads = {name: fk.Reads(vector=True, logits=name in kept) for name in inputs}
        self.beside = nn.ModuleDict(
            {n: nn.Linear(i.embed_dim, num_classes) for n, i in inputs.items() if n not in kept}
        )

    def branch_scores(self, features):
        return {
            name: self.beside[name](f.vector) if name in self.beside else f.logits
            for name, f in features.items()
        }


def widened(x):
    return F.layer_norm(x.float(), x.shape[-1:])


class GatedUnits(fk.FusionHead):
    """Gates each branch by what all of them say (Arevalo et al., arXiv:1702.01992)."""

    reads = "vector"

    def __init__(self, inputs, *, num_classes, width: int = 6):
        super().__init__()
        self.names = sorted(inputs)
        total = sum(inputs[name].embed_dim for name in self.names)
        self.see = nn.ModuleDict(
            {name: nn.Linear(inputs[name].embed_dim, width) for name in self.names}
        )
        self.gate = nn.ModuleDict({name: nn.Linear(total, width) for name in self.names})
        self.out = nn.Linear(width, num_classes)

    def forward(self, features):
        xs = {
            name: widened(features[name].vector).to(features[name].vector.dtype)
            for name in self.names
        }
        joined = torch.cat(list(xs.values()), -1)
        parts = [self.gate[n](joined).sigmoid() * self.see[n](xs[n]).tanh() for n in self.names]
        return self.out(sum(parts))


class CompactBilinear(fk.FusionHead):
    """Multiplies count sketches of the branches (Fukui et al., arXiv:1606.01847)."""

    reads = "vector"
    symmetric = False

    def __init__(self, inputs, *, num_classes, width: int = 32):
        super().__init__()
        if len(inputs) < 2:
            raise fk.AssemblyError("compact bilinear pooling takes two branches or more")
        self.names = tuple(sorted(inputs))
        self.width = width
        for name in self.names:
            size = inputs[name].embed_dim
            self.register_buffer(f"places_{name}", torch.randint(width, (size,)))
            self.register_buffer(f"signs_{name}", torch.randint(2, (size,)) * 2.0 - 1)
        self.out = nn.Linear(width, num_classes)

    def forward(self, features):
        product = None
        for name in self.names:
            x = widened(features[name].vector) * self.get_buffer(f"signs_{name}").float()
            places = self.get_buffer(f"places_{name}").expand(x.shape[0], -1)
            sketch = x.new_zeros(x.shape[0], self.width).scatter_add(1, places, x)
            with torch.autocast(x.device.type, enabled=False):
                turned = torch.fft.rfft(sketch)
                product = turned if product is None else product * turned
        pooled = torch.fft.irfft(product, n=self.width)
        return self.out(F.normalize(pooled, dim=-1).to(self.out.weight.dtype))


class FusionTransformer(fk.FusionHead):
    """Lets branches attend to each other as tokens (arXiv:2106.11959)."""

    reads = "vector"

    def __init__(self, inputs, *, num_classes, width: int = 8, dropout: float = 0.1):
        super().__init__()
        self.names = tuple(sorted(inputs))
        self.see = nn.ModuleDict(
            {name: nn.Linear(inputs[name].embed_dim, width) for name in self.names}
        )
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.layer = nn.TransformerEncoderLayer(width, 2, 16, dropout, batch_first=True)
        self.out = nn.Linear(width, num_classes)

    def forward(self, features):
        tokens = []
        for name in self.names:
            x = features[name].vector
            tokens.append(self.see[name](widened(x).to(x.dtype)))
        joined = torch.stack(tokens, 1)
        start = self.start.to(joined.dtype).expand(joined.shape[0], -1, -1)
        return self.out(self.layer(torch.cat([start, joined], 1))[:, 0])


class Film(fk.FusionHead):
    """Lets one branch's vector scale and shift another's maps (arXiv:1709.07871)."""

    def __init__(self, inputs, *, num_classes, by: str = "text", onto: str = "image"):
        super().__init__()
        if set(inputs) != {by, onto}:
            raise fk.ConfigError(f"it takes the branches {by!r} and {onto!r}")
        if not inputs[onto].levels:
            raise fk.AssemblyError(f"branch {onto!r} has no maps")
        self.by, self.onto = by, onto
        self.reads = {by: fk.Reads(vector=True), onto: fk.Reads(vector=True, maps=(0, -1))}
        fine, coarse = inputs[onto].levels[0].channels, inputs[onto].levels[-1].channels
        self.scale = nn.Linear(inputs[by].embed_dim, coarse)
        self.out = nn.Linear(fine + coarse + inputs[onto].embed_dim, num_classes)

    def forward(self, features):
        onto = features[self.onto]
        first, last = onto.maps[0], onto.maps[-1]
        by = widened(features[self.by].vector).to(last.dtype)
        scaled = last * (1 + self.scale(by))[:, :, None, None]
        parts = [first.mean((2, 3)), scaled.mean((2, 3)), onto.vector]
        return self.out(torch.cat([F.relu(x) for x in parts], -1))


class BestPlace(fk.FusionHead):
    """Takes the largest of what a layer with a spectral norm says of any place of the maps."""

    def __init__(self, inputs, *, num_classes):
        super().__init__()
        if not all(each.levels for each in inputs.values()):
            raise fk.AssemblyError("a branch has no maps")
        self.reads = fk.Reads(maps=(0,))
        widths = {name: inputs[name].levels[0].channels for name in sorted(inputs)}
        self.out = nn.ModuleDict(
            {
                name: nn.utils.parametrizations.spectral_norm(nn.Conv2d(width, num_classes, 1))
                for name, width in widths.items()
            }
        )

    def forward(self, features):
        scores = [self.out[n](features[n].maps[0]).amax((2, 3)) for n in sorted(features)]
        return torch.stack(scores).sum(0)


class Embrace(fk.FusionHead):
    """Draws each component from one branch while it trains (arXiv:1904.09078)."""

    reads = "vector"

    def __init__(self, inputs, *, num_classes, width: int = 8):
        super().__init__()
        self.names = tuple(sorted(inputs))
        self.dock = nn.ModuleDict(
            {name: nn.Linear(inputs[name].embed_dim, width) for name in self.names}
        )
        self.out = nn.Linear(width, num_classes)

    def forward(self, features):
        docked = torch.stack([self.dock[name](features[name].vector) for name in self.names])
        if not self.training:
            return self.out(docked.mean(0))
        drawn = torch.randint(len(self.names), docked.shape[1:], device=docked.device)
        return self.out(docked.gather(0, drawn[None])[0])


class BranchDropout(Sum):
    """Drops whole branches in training, and learns how much each counts (arXiv:1501.00102)."""

    def __init__(self, inputs, *, num_classes, share: float = 0.3):
        super().__init__(dict(sorted(inputs.items())), num_classes=num_classes)
        self.share = share
        self.norms = nn.ModuleDict({n: nn.BatchNorm1d(i.embed_dim) for n, i in inputs.items()})

    def forward(self, features):
        if self.training and next(iter(features.values())).vector.shape[0] == 1:
            raise fk.DataError("it needs a batch of two samples or more in training")
        scores = torch.stack(
            [self.out[n](self.norms[n](features[n].vector)) for n in sorted(self.out)]
        )
        if self.training:
            kept = torch.rand(scores.shape[0], scores.shape[1], 1, device=scores.device)
            scores = scores * (kept >= self.share)
        return scores.sum(0)


class MaxOfScores(fk.FusionHead):
    """Takes the largest of the branches' logits, or of new scores where there are none."""

    takes_logits = True

    def __init__(self, inputs, *, num_classes):
        super().__init__()
        self.names = tuple(sorted(inputs))
        logits = {name for name in self.names if inputs[name].num_classes == num_classes}
        self.reads = {name: "logits" if name in logits else "vector" for name in self.names}
        self.symmetric = len(logits) == len(self.names)
        self.new = nn.ModuleDict(
            {
                name: nn.Linear(inputs[name].embed_dim, num_classes)
                for name in self.names
                if name not in logits
            }
        )

    def forward(self, features):
        scores = [
            self.new[name](features[name].vector) if name in self.new else features[name].logits
            for name in self.names
        ]
        return torch.stack([score.float() for score in scores]).amax(0)


GOOD_HEADS = (
    (Sum, ()),
    (ScoresBeside, ()),
    (GatedUnits, ()),
    (CompactBilinear, ()),
    (FusionTransformer, ()),
    (Film, ("image", "text")),
    (Embrace, ()),
    (BestPlace, ()),
    (BranchDropout, ()),
    (MaxOfScores, ()),
)
