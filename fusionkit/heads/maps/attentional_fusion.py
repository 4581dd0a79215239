"""Attentional feature fusion, once or iterated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.maps.channel_attention import MultiScaleChannelAttention
from fusionkit.heads.parts.map_pool import MapPool
from fusionkit.heads.parts.maps import BranchMaps
from fusionkit.heads.parts.options import check_flag, check_width
from fusionkit.heads.parts.perceptron import perceptron

__all__ = ["AttentionalFusion"]


@final
class AttentionalFusion(FusionHead):
    """Attentional feature fusion of maps, AFF, and its iterative form, iAFF (arXiv:2009.14082).

    Two branches give M ⊙ x_1 + (1 - M) ⊙ x_2 in each place and channel, x_1 the first by name,
    where M is the sigmoid of the multi-scale channel attention of x_1 + x_2. Iterated, a second
    attention with weights of its own looks at that result instead of the sum, and chooses anew
    between x_1 and x_2.

    More branches share a softmax in the sigmoid's place: the attention of Σ x_i gives logits for
    all but the last by name, whose logits are 0. For two this is the paper's formula exactly. A
    branch whose input is absent is left out of sum and softmax; one that is there alone passes
    unchanged, as it does in a head of one branch.

    The maps are normalised before they meet and brought to the size of the finest; after it, a
    3x3 convolution, average pooling and a linear layer give logits.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        iterative: whether the fusion is iterated, iAFF.
        level: which of a backbone's levels is read, -1 the coarsest; one for all or by branch.
        width: the channels of the fused maps; branches with others are brought to it by a 1x1
            convolution. By default the most that any branch has.
        reduction: how many times fewer channels the attention has inside.
        attention_norm: inside the attention: ``"layer"``, over all channels and places of a
            sample, also in a batch of one; ``"batch"``, the paper's, which needs batches of two
            or more in training; or ``"none"``.
        norm: ``"layer"`` gives each map mean 0 and variance 1; ``"none"`` leaves it. One for all
            or by branch.
        hidden: the channels of the 3x3 convolution with ReLU after the fusion; ``None`` leaves
            it out.
        dropout: the share dropped of the pooled vector.

    Raises:
        AssemblyError: a branch has no maps, or not the chosen level.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="x = M ⊙ x_1 + (1 - M) ⊙ x_2, M = sigmoid(MS-CAM(x_1 + x_2)); of more, "
        "x = Σ_i softmax([MS-CAM(Σ_j x_j); 0])_i ⊙ x_i",
        papers=("Dai et al., arXiv:2009.14082",),
        reads="maps",
        when="For branches that see the same scene, aligned place by place, where now one is "
        "right and now the other: it chooses in each place and channel. It can only choose "
        "between branches, not add them up; with little data take two_stream_maps.",
        each=("norm", "1x1 conv (width)", "resize"),
        join="Σ weights ⊙ x_i by MS-CAM, once or twice",
        after=("3x3 conv (hidden)", "pool", "linear"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        iterative: bool = False,
        level: int | Mapping[str, int] = -1,
        width: int | None = None,
        reduction: int = 4,
        attention_norm: str = "layer",
        norm: str | Mapping[str, str] = "layer",
        hidden: int | None = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        given = "widest" if width is None else check_width("width", width)
        self.maps = BranchMaps(inputs, level=level, norm=norm, width=given)
        self.reads = self.maps.reads
        channels = self.maps.widths[0]
        free = len(self.maps.names) - 1
        rounds = (2 if check_flag("iterative", iterative) else 1) if free else 0
        self.attentions = nn.ModuleList(
            MultiScaleChannelAttention(
                channels,
                free * channels,
                reduction=check_width("reduction", reduction),
                norm=attention_norm,
            )
            for _ in range(rounds)
        )
        self.pool = MapPool(channels, hidden)
        self.classifier = perceptron(
            self.pool.width, num_classes, hidden=None, activation="relu", dropout=dropout
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        logits: Tensor = self.classifier(self.pool(self._fuse(self.maps(features))))
        return logits

    def _fuse(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Gives "b c h w" from one such map for each branch that is present."""
        stacked = torch.stack(list(maps.values()), dim=1)
        fused = stacked.sum(1)
        if len(maps) == 1:
            return fused
        present = [place for place, name in enumerate(self.maps.names) if name in maps]
        for attention in self.attentions:
            free = attention(fused).unflatten(1, (-1, fused.shape[1]))
            logits = torch.cat([free, torch.zeros_like(free[:, :1])], dim=1)
            fused = (logits[:, present].softmax(1) * stacked).sum(1)
        return fused
