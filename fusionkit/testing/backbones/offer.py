"""``Offer``: the plugin through which a backbone under test comes into a fused model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from fusionkit.backbone.contract import Backbone
from fusionkit.features import Features
from fusionkit.head import FusionHead, HeadInput
from fusionkit.hookspecs import hookimpl

__all__ = ["LinearHead", "Offer", "PooledHead"]


class Offer:
    """A plugin with one backbone, ``it``, and two plain heads.

    Args:
        build: gives the backbone, whatever is asked for.
    """

    def __init__(self, build: Callable[[], Backbone]) -> None:
        self.build = build

    @hookimpl
    def fusionkit_backbones(self) -> Mapping[str, Callable[..., Backbone]]:
        """Gives the backbone."""

        def it(*, in_channels: int, weights: str | None, num_classes: int | None) -> Backbone:
            return self.build()

        return {"it": it}

    @hookimpl
    def fusionkit_heads(self) -> Mapping[str, Callable[..., FusionHead]]:
        """Gives a head that reads vectors, and one that reads maps."""
        return {"linear": LinearHead, "pooled": PooledHead}


class LinearHead(FusionHead):
    """Adds a linear classifier's answer over each branch's vector, scaled to unit size."""

    def __init__(self, inputs: Mapping[str, HeadInput], *, num_classes: int) -> None:
        super().__init__()
        self.reads = "vector"
        self.out = nn.ModuleDict(
            {name: nn.Linear(each.embed_dim, num_classes) for name, each in inputs.items()}
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives "b k" from vectors "b d"."""
        answers = []
        for name, out in self.out.items():
            vector = features[name].vector
            assert vector is not None
            answers.append(out(nn.functional.layer_norm(vector, vector.shape[-1:])))
        return torch.stack(answers).sum(0)


class PooledHead(FusionHead):
    """Adds a linear classifier's answer over the pooled maps of all levels of each branch."""

    def __init__(self, inputs: Mapping[str, HeadInput], *, num_classes: int) -> None:
        super().__init__()
        self.reads = "maps"
        self.out = nn.ModuleDict(
            {
                name: nn.Linear(sum(level.channels for level in each.levels), num_classes)
                for name, each in inputs.items()
            }
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives "b k" from maps "b c h w" (or "b c t h w")."""
        answers = []
        for name, out in self.out.items():
            pooled = [value.flatten(2).mean(2) for value in features[name].maps]
            joined = torch.cat(pooled, 1)
            answers.append(out(nn.functional.layer_norm(joined, joined.shape[-1:])))
        return torch.stack(answers).sum(0)
