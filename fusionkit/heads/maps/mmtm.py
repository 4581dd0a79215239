"""The multimodal transfer module."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import final

import torch
from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.absent import with_zeros
from fusionkit.heads.parts.cost import MAX_PARAMETERS, refuse_above
from fusionkit.heads.parts.map_pool import MapPool
from fusionkit.heads.parts.maps import BranchMaps
from fusionkit.heads.parts.options import check_choice, check_width
from fusionkit.heads.parts.perceptron import perceptron

__all__ = ["MMTM"]


@final
class MMTM(FusionHead):
    """Streams whose maps are weighted by what all of them squeeze together (arXiv:1911.08670).

    Each map's channels are squeezed to their means s_i; Z = W [s_1; ...; s_N] + b joins them,
    and each stream's channels are multiplied by 2 sigmoid(W_i Z + b_i), between 0 and 2. Nothing
    is resized: maps of different sizes, widths and depths meet in their means alone. Each stream
    then goes on by itself, with a 3x3 convolution, average pooling and a linear layer, and the
    logits of the streams are averaged, as in the paper.

    The paper puts the module between the layers of the streams; here it stands behind the
    backbones, so that what it weights is not seen by their deeper layers.

    A stream whose input is absent counts as zeros where the means are joined, and is left out of
    the average.

    Args:
        inputs: what the streams offer, by name.
        num_classes: the width k of the logits.
        level: which of a backbone's levels is read, -1 the coarsest; one for all or by stream.
        joint: the width of Z; by default a quarter of all channels together, as in the paper.
        activation: of Z: ``"none"``, the formula as printed, or ``"relu"``, which the authors'
            code has.
        norm: ``"layer"`` gives each map mean 0 and variance 1; ``"none"`` leaves it. One for all
            or by stream.
        hidden: the channels of each stream's 3x3 convolution with ReLU; ``None`` leaves it out.
        dropout: the share dropped of the pooled vectors.
        max_parameters: refuse to build squeezing and weighting layers of more.

    Raises:
        AssemblyError: a stream has no maps, or not the chosen level; or the layers around Z
            would have more than ``max_parameters`` parameters.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="mean_i f_i(2 sigmoid(W_i Z + b_i) ⊙ x_i), Z = W [mean(x_1); ...; mean(x_N)] + b",
        papers=("Joze et al., arXiv:1911.08670",),
        reads="maps",
        when="For streams whose maps have nothing to do with each other place by place, as sound "
        "and image: one tells the other which channels matter. It stays close to late fusion, "
        "each stream with a classifier of its own. Unless the joint width is set, parameters grow "
        "with the square of all channels together.",
        each=("norm",),
        join="2 sigmoid(W_i Z) ⊙ x_i, Z of all means",
        after=("3x3 conv each (hidden)", "pool each", "linear each", "mean of logits"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        level: int | Mapping[str, int] = -1,
        joint: int | None = None,
        activation: str = "none",
        norm: str | Mapping[str, str] = "layer",
        hidden: int | None = 256,
        dropout: float = 0.0,
        max_parameters: int = MAX_PARAMETERS,
    ) -> None:
        super().__init__()
        self.maps = BranchMaps(inputs, level=level, norm=norm, same_size=False)
        self.reads = self.maps.reads
        names, widths = self.maps.names, self.maps.widths
        total = sum(widths)
        width = max(total // 4, 1) if joint is None else check_width("joint", joint)
        refuse_above(
            max_parameters,
            lambda joint: (2 * total + 1) * joint[0] + total,
            [width],
            what=f"squeezing {total} channels of {len(names)} streams to {width}, and back,",
            formula="about 2 Σ c_i x joint",
            instead="'multi_level_fusion'",
            option="joint",
        )
        kind = check_choice("activation", activation, ("none", "relu"))
        self.squeeze = nn.Linear(total, width)
        self.activation = nn.ReLU() if kind == "relu" else nn.Identity()
        self.excitations = nn.ModuleDict(
            {name: nn.Linear(width, own) for name, own in zip(names, widths, strict=True)}
        )
        self.pools = nn.ModuleDict()
        self.classifiers = nn.ModuleDict()
        for name, own in zip(names, widths, strict=True):
            pool = self.pools[name] = MapPool(own, hidden)
            self.classifiers[name] = perceptron(
                pool.width, num_classes, hidden=None, activation="relu", dropout=dropout
            )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        maps = self.maps(features)
        means = {name: x.mean((-2, -1)) for name, x in maps.items()}
        squeezed = torch.cat(with_zeros(means, self.maps.names, self.maps.widths), dim=1)
        joint = self.activation(self.squeeze(squeezed))
        logits: list[Tensor] = []
        for name, x in maps.items():
            gains = 2 * self.excitations[name](joint).sigmoid()
            logits.append(self.classifiers[name](self.pools[name](gains[:, :, None, None] * x)))
        return reduce(torch.add, logits) / len(logits)
