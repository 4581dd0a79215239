"""Small backbones that offer exactly what a head was told, to compose a model of."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fusionkit.backbone.contract import Backbone
from fusionkit.backbone.depth import Stage
from fusionkit.catalog import Catalog
from fusionkit.features import Features, Reads
from fusionkit.head import FusionHead, HeadInput
from fusionkit.hookspecs import hookimpl

__all__ = ["Companion", "companion_catalog"]

SIDE = 64
GRID = 2


class Companion(Backbone):
    """A backbone with the vector, maps and classifier of a ``HeadInput``."""

    def __init__(self, offer: HeadInput, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.embed_dim = offer.embed_dim
        self.levels = offer.levels
        self.num_classes = offer.num_classes
        self.maps = nn.ModuleList(nn.Conv2d(in_channels, e.channels, 1) for e in offer.levels)
        self.embed = nn.Linear(in_channels * GRID * GRID, offer.embed_dim)
        names = ["maps", "embed"] if offer.levels else ["embed"]
        if offer.num_classes is not None:
            self.classify = nn.Linear(offer.embed_dim, offer.num_classes)
            names.append("classify")
        self.stages = tuple(Stage(name) for name in names)

    def forward(self, x: Tensor, reads: Reads) -> Features:
        """Gives what ``reads`` asks for of images "b c h w"."""
        maps = tuple(
            torch.tanh(self.maps[i](F.avg_pool2d(x, self.levels[i].stride))) for i in reads.levels
        )
        vector = logits = None
        if reads.vector or reads.logits:
            vector = torch.tanh(self.embed(F.adaptive_avg_pool2d(x, GRID).flatten(1)))
            logits = self.classify(vector) if reads.logits else None
        return Features(vector if reads.vector else None, maps, logits)

    def example(self, batch: int = 2) -> Tensor:
        """Gives images "b c h w"."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch, self.in_channels, SIDE, SIDE, generator=generator)


def companion_catalog(inputs: Mapping[str, HeadInput], make: Callable[..., FusionHead]) -> Catalog:
    """Gives a catalog of a companion for each branch, and of the head ``subject/it``.

    The companion of the branch ``"rgb"`` is ``subject/rgb``.
    """
    return Catalog().with_plugin("subject", _Offer(inputs, make))


class _Offer:
    """The plugin through which a head and its companions come into a model."""

    def __init__(self, inputs: Mapping[str, HeadInput], make: Callable[..., FusionHead]) -> None:
        self.inputs = inputs
        self.make = make

    @hookimpl
    def fusionkit_backbones(self) -> Mapping[str, Callable[..., Backbone]]:
        return {name: _factory(each) for name, each in self.inputs.items()}

    @hookimpl
    def fusionkit_heads(self) -> Mapping[str, Callable[..., FusionHead]]:
        return {"it": self.make}


def _factory(offer: HeadInput) -> Callable[..., Backbone]:
    def build(*, in_channels: int, weights: str | None, num_classes: int | None) -> Backbone:
        kept = offer.num_classes is not None and num_classes == offer.num_classes
        given = HeadInput(offer.embed_dim, offer.levels, num_classes if kept else None)
        return Companion(given, in_channels)

    return build
