"""Two-stream networks, fused where they still have maps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import final

from torch import Tensor, nn

from fusionkit import Features, FusionHead, HeadInput
from fusionkit.heads.maps.map_fusions import ConcatFusion, ConvFusion, MaxFusion, SumFusion
from fusionkit.heads.parts.maps import BranchMaps
from fusionkit.heads.parts.options import check_choice, check_dropout, check_width

__all__ = ["TwoStreamMaps"]


@final
class TwoStreamMaps(FusionHead):
    """Two-stream fusion of maps: sum, max, concat or conv at a chosen level (arXiv:1604.06573).

    The maps of any number of streams are normalised, brought to the size of the finest,
    fused place by place, and turned into logits by a 3x3 convolution, average pooling and a
    linear layer. With ``norm="none"`` and ``hidden=None`` it is a linear layer on the pooled
    fusion of the paper, unchanged. A stream whose input is absent is left out of a sum or a
    maximum, and counts as zeros where maps are concatenated.

    Args:
        inputs: what the streams offer, by name.
        num_classes: the width k of the logits.
        fusion: ``"sum"``; ``"max"``; ``"concat"``; or ``"conv"``, concat and then a 1x1
            convolution that starts as the sum.
        level: which of a backbone's levels is read, -1 the coarsest; one for all or by stream.
        width: the channels of the fused maps for sum, max and conv, and of each stream's for
            concat. Streams with others are brought to it by a 1x1 convolution. By default the
            most that any stream has; for concat, each keeps its own.
        norm: ``"layer"`` gives each map mean 0 and variance 1, also in a batch of one, so that
            no stream drowns the other; ``"none"`` leaves it. One for all or by stream.
        hidden: the channels of the 3x3 convolution with ReLU after the fusion; ``None`` leaves
            it out, and then nothing tells places apart but the fusion itself.
        dropout: the share dropped of the pooled vector.

    Raises:
        AssemblyError: a stream has no maps, or not the chosen level.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        fusion: str = "conv",
        level: int | Mapping[str, int] = -1,
        width: int | None = None,
        norm: str | Mapping[str, str] = "layer",
        hidden: int | None = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kind = check_choice("fusion", fusion, ("sum", "max", "concat", "conv"))
        given = None if width is None else check_width("width", width)
        one_width = given if given is not None else "widest"
        each_width = {"sum": one_width, "max": one_width, "concat": given, "conv": None}[kind]
        self.maps = BranchMaps(inputs, level=level, norm=norm, width=each_width)
        self.reads = self.maps.reads
        self.symmetric = kind in ("sum", "max")
        self.fusion: nn.Module
        if kind == "conv":
            fused = given if given is not None else max(self.maps.widths)
            self.fusion = ConvFusion(self.maps.widths, fused)
        elif kind == "concat":
            fused = sum(self.maps.widths)
            self.fusion = ConcatFusion()
        else:
            fused = self.maps.widths[0]
            self.fusion = SumFusion() if kind == "sum" else MaxFusion()
        self.classifier = _make_classifier(fused, hidden, dropout, num_classes)

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        counted = (
            list(self.maps(features).values()) if self.symmetric else self.maps.with_zeros(features)
        )
        logits: Tensor = self.classifier(self.fusion(counted))
        return logits

    def extra_repr(self) -> str:
        """Says which level of each stream is fused, and in how many channels."""
        levels = (
            f"{name} at level {reads.maps[0]} ({width} channels)"
            for (name, reads), width in zip(self.maps.reads.items(), self.maps.widths, strict=True)
        )
        return "fuses " + ", ".join(levels)


def _make_classifier(
    channels: int, hidden: int | None, dropout: float, num_classes: int
) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    share = check_dropout(dropout)
    if hidden is not None:
        conv = nn.Conv2d(channels, check_width("hidden", hidden), 3, padding=1)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)
        layers["conv"], layers["activation"] = conv, nn.ReLU()
        channels = hidden
    layers["pool"], layers["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    if share:
        layers["dropout"] = nn.Dropout(share)
    layers["linear"] = nn.Linear(channels, num_classes)
    return nn.Sequential(layers)
