"""Streams of tokens that meet in few bottleneck tokens only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from fusionkit import Card, ConfigError, Features, FusionHead, HeadInput
from fusionkit.heads.parts.options import check_width
from fusionkit.heads.parts.tokens import BranchTokens, ClassToken
from fusionkit.heads.parts.transformer import TransformerBlock

__all__ = ["BottleneckTransformer"]


@final
class BottleneckTransformer(FusionHead):
    """A transformer per branch; they meet in a few bottleneck tokens (arXiv:2107.00135).

    From layer ``fuse_from`` on, each stream attends to its own tokens and the bottleneck's, and
    updates a copy of the latter; the copies are averaged for the next layer. So the first such
    layer fills the bottleneck and the next one reads it: with fewer than two, nothing passes
    from stream to stream. The logits are the mean of what one linear layer says of each
    stream's class token. The stream of an absent branch is left out of both averages.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: of all tokens; a multiple of ``heads``, and of 4 where positions are added.
        depth: how many layers each stream has.
        fuse_from: the first layer, counted from 0, with the bottleneck; ``depth`` for none,
            late fusion.
        bottlenecks: how many bottleneck tokens.
        heads: how many heads each attention has.
        mlp_ratio: the width between the linear layers of a layer, as a multiple of ``width``.
        dropout: the share dropped of attention weights, between the linear layers, and of what
            each adds.
        read: ``"maps"``, ``"vector"``, or ``"auto"``: maps where a branch has them. One for all
            or by branch.
        level: which level of maps, -1 the coarsest; one for all or by branch.
        norm: before the projection: of maps ``"layer"`` or ``"none"``; of vectors ``"batch"``
            and ``"l2"`` too. One for all or by branch.
        side: larger maps are averaged down to at most so many places in height and in width, so
            that there are at most ``side ** 2`` tokens of a branch; ``None`` keeps all places.
        position: whether sines of its place are added to each token of a map.

    Raises:
        AssemblyError: a branch has no maps, or not the chosen level.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    bottleneck: nn.Parameter | None

    card = Card(
        formula="[h_i; f_i] = T_i([h_i; f]), f = mean_i f_i in each layer; z = mean_i W h_i[0]",
        papers=("Nagrani et al., arXiv:2107.00135",),
        reads="tokens",
        when="Where branches have many tokens each: a layer compares each branch's tokens with "
        "its own and the few of the bottleneck, so its cost is the sum of their squares, not the "
        "square of their sum. Has layers of its own for each branch, so rather not for few "
        "samples. Where the answer lies in how the branches go together, take a learning rate "
        "near 3e-4, or warm up: straight at 3e-3 it may never find out.",
        each=("norm", "W_i (tokens)", "+ position", "self-attention"),
        join="bottleneck tokens, averaged in each layer",
        after=("class token of each", "linear", "mean"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 128,
        depth: int = 3,
        fuse_from: int = 1,
        bottlenecks: int = 4,
        heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        read: str | Mapping[str, str] = "auto",
        level: int | Mapping[str, int] = -1,
        norm: str | Mapping[str, str] = "layer",
        side: int | None = 7,
        position: bool = True,
    ) -> None:
        super().__init__()
        self.tokens = BranchTokens(
            inputs, width=width, read=read, level=level, norm=norm, side=side, position=position
        )
        self.reads = self.tokens.reads
        self.fuse_from = _check_layer(fuse_from, check_width("depth", depth))
        names = self.tokens.names
        self.class_tokens = nn.ModuleDict({name: ClassToken(width) for name in names})
        self.layers = nn.ModuleList()
        for _ in range(depth):
            blocks = {
                name: TransformerBlock(width, heads, mlp_ratio, dropout, "gelu") for name in names
            }
            self.layers.append(_Layer(blocks))
        shape = (1, check_width("bottlenecks", bottlenecks), width)
        # Without a layer that reads it, it would be a parameter that never learns.
        bottleneck = nn.Parameter(torch.empty(shape)) if fuse_from < depth else None
        if bottleneck is not None:
            nn.init.normal_(bottleneck, std=0.02)
        self.register_parameter("bottleneck", bottleneck)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        tokens = self.tokens(features)
        streams = {name: self.class_tokens[name](x) for name, x in tokens.items()}
        bottleneck: Tensor | None = None
        for index, layer in enumerate(self.layers):
            if index == self.fuse_from:
                bottleneck = self.bottleneck
            streams, bottleneck = layer(streams, bottleneck)
        answers = [self.classifier(self.norm(x[:, 0])) for x in streams.values()]
        return torch.stack(answers).mean(0)


@final
class _Layer(nn.Module):
    """One layer of all streams."""

    def __init__(self, blocks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(blocks)

    def forward(
        self, streams: Mapping[str, Tensor], bottleneck: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Gives the streams "b t_i c" and the bottleneck "b n c", if any, after it."""
        if bottleneck is None:
            return {name: self.blocks[name](x) for name, x in streams.items()}, None
        updated, copies = {}, []
        for name, x in streams.items():
            shared = bottleneck.expand(x.shape[0], -1, -1)
            joined = self.blocks[name](torch.cat([x, shared], dim=1))
            updated[name] = joined[:, : x.shape[1]]
            copies.append(joined[:, x.shape[1] :])
        return updated, torch.stack(copies).mean(0)


def _check_layer(fuse_from: object, depth: int) -> int:
    if isinstance(fuse_from, int) and not isinstance(fuse_from, bool) and 0 <= fuse_from <= depth:
        return fuse_from
    raise ConfigError(
        f"option fuse_from is a layer from 0 to depth={depth}, which fuses in none, "
        f"got {fuse_from!r}"
    )
