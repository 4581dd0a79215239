"""Two-stream networks, fused where they still have maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from fusionkit import Card, ConfigError, Features, FusionHead, HeadInput
from fusionkit.heads.maps.map_fusions import ConcatFusion, ConvFusion, MaxFusion, SumFusion
from fusionkit.heads.parts.levels import find_places, read_levels
from fusionkit.heads.parts.map_pool import MapPool
from fusionkit.heads.parts.maps import BranchMaps
from fusionkit.heads.parts.options import check_choice, check_width, per_branch
from fusionkit.heads.parts.perceptron import perceptron

__all__ = ["FusedLevel", "TwoStreamMaps"]


@final
class TwoStreamMaps(FusionHead):
    """Two-stream fusion of maps: sum, max, concat or conv at chosen levels (arXiv:1604.06573).

    The maps of any number of streams are normalised, brought to the size of the finest,
    fused place by place, and turned into a vector by a 3x3 convolution and average pooling;
    a linear layer gives logits. Fused at several levels, as the paper does to keep what a stream
    sees early and late, each level has a fusion of its own, and their vectors are concatenated.

    With ``norm="none"`` and ``hidden=None`` it is a linear layer on the pooled fusion of the
    paper, unchanged; pooling over time is left out. A stream whose input is absent is left out
    of a sum or a maximum, and counts as zeros where maps are concatenated.

    Args:
        inputs: what the streams offer, by name.
        num_classes: the width k of the logits.
        fusion: ``"sum"``; ``"max"``; ``"concat"``; or ``"conv"``, concat and then a 1x1
            convolution that starts as the sum.
        level: which of a backbone's levels is read, -1 the coarsest; a list of levels fuses at
            each of them; one for all or by stream, lists of the same length.
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

    card = Card(
        formula="linear(pool(ReLU(conv3x3(f(x_1, ..., x_N))))), f in each place: Σ x_i; "
        "max_i x_i; [x_1; ...; x_N]; or W [x_1; ...; x_N] + b",
        papers=("Feichtenhofer et al., arXiv:1604.06573",),
        reads="maps",
        when="For streams that see the same scene and are aligned place by place, as a photograph "
        "and its flow or depth. Where they are not, take a head that pools first: mmtm or "
        "multi_level_fusion. The paper's fifth fusion, bilinear, is a head of its own: bilinear.",
        each=("norm", "1x1 conv (width)", "resize"),
        join="sum, max, concat or conv",
        after=("3x3 conv (hidden)", "pool", "linear"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        fusion: str = "conv",
        level: int | Sequence[int] | Mapping[str, int | Sequence[int]] = -1,
        width: int | None = None,
        norm: str | Mapping[str, str] = "layer",
        hidden: int | None = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        names = sorted(inputs)
        levels = [
            FusedLevel(inputs, fusion=fusion, level=each, width=width, norm=norm, hidden=hidden)
            for each in _split_levels(level, names)
        ]
        self.levels = nn.ModuleList(levels)
        reads = read_levels({name: [each.levels[name] for each in levels] for name in names})
        self.reads = reads
        self.places = [find_places(reads, each.levels) for each in levels]
        self.symmetric = fusion in ("sum", "max")
        self.classifier = perceptron(
            sum(each.pool.width for each in levels),
            num_classes,
            hidden=None,
            activation="relu",
            dropout=dropout,
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        vectors = []
        for level, places in zip(self.levels, self.places, strict=True):
            here = {
                name: Features(maps=(features[name].maps[place],))
                for name, place in places.items()
                if name in features
            }
            vectors.append(level(here))
        logits: Tensor = self.classifier(torch.cat(vectors, dim=1))
        return logits


@final
class FusedLevel(nn.Module):
    """Gives one vector "b d" of the maps of all streams at one level.

    Args:
        inputs: what the streams offer, by name.
        level: of each stream.
        fusion: see ``TwoStreamMaps``, as for the rest.
    """

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        level: Mapping[str, int],
        fusion: str,
        width: int | None,
        norm: Any,
        hidden: int | None,
    ) -> None:
        super().__init__()
        kind = check_choice("fusion", fusion, ("sum", "max", "concat", "conv"))
        given = None if width is None else check_width("width", width)
        one_width = "widest" if given is None else given
        each_width = {"sum": one_width, "max": one_width, "concat": given, "conv": None}[kind]
        self.maps = BranchMaps(inputs, level=level, norm=norm, width=each_width)
        self.levels = self.maps.levels
        self.takes_any_count = kind in ("sum", "max")
        self.fusion: nn.Module
        if kind == "conv":
            fused = max(self.maps.widths) if given is None else given
            self.fusion = ConvFusion(self.maps.widths, fused)
        elif kind == "concat":
            fused = sum(self.maps.widths)
            self.fusion = ConcatFusion()
        else:
            fused = self.maps.widths[0]
            self.fusion = SumFusion() if kind == "sum" else MaxFusion()
        self.pool = MapPool(fused, hidden)

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives "b d" from the features of the streams that are present, this level's map alone."""
        maps = self.maps
        counted = (
            list(maps(features).values()) if self.takes_any_count else maps.with_zeros(features)
        )
        vector: Tensor = self.pool(self.fusion(counted))
        return vector

    def extra_repr(self) -> str:
        """Says which level of each stream is fused, and in how many channels."""
        levels = (
            f"{name} at level {level} ({width} channels)"
            for (name, level), width in zip(self.levels.items(), self.maps.widths, strict=True)
        )
        return "fuses " + ", ".join(levels)


def _split_levels(level: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Gives the level of each stream for each fusion."""
    by_name = per_branch("level", level, names, missing=-1)
    lists = {
        name: list(each) if isinstance(each, (list, tuple)) else [each]
        for name, each in by_name.items()
    }
    counts = {name: len(each) for name, each in lists.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        told = ", ".join(f"{count} for {name!r}" for name, count in counts.items())
        raise ConfigError(
            f"option level takes as many levels for each stream, at least one; got {told}. Write "
            f"for example level={{{names[0]!r}: [0, -1], ...}}, with every stream"
        )
    return [dict(zip(lists, each, strict=True)) for each in zip(*lists.values(), strict=True)]
