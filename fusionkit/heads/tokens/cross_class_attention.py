"""Each branch's class token attends to the other branches' tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.options import check_width
from fusionkit.heads.parts.tokens import BranchTokens, ClassToken
from fusionkit.heads.parts.transformer import Attention, TransformerBlock

__all__ = ["CrossClassAttention"]


@final
class CrossClassAttention(FusionHead):
    """Each branch's class token attends to the others' tokens (CrossViT, arXiv:2103.14899).

    In each of ``depth`` rounds, every branch passes through layers with self-attention of its
    own; then its class token attends to itself and to the other tokens of the other branches,
    of all of them at once where there are more than the paper's two. Tokens have one width, so
    that the paper's projections between widths fall away. The logits are the mean of what a norm
    and a linear layer of its own say of each class token. The tokens of an absent branch are not
    there, and the mean is that of the others.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: of all tokens; a multiple of ``heads``, and of 4 where positions are added.
        depth: how many rounds.
        self_depth: how many layers with self-attention each round has for each branch.
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

    card = Card(
        formula="c_i += Attn(c_i; [c_i; x_j for j != i]) in each round; z = mean_i W_i norm(c_i)",
        papers=("Chen et al., arXiv:2103.14899",),
        reads="tokens",
        when="Where the branches see the same thing at different scales. Only one token of each "
        "branch attends across, so joining costs as much as there are tokens; self-attention "
        "within a branch costs their square. Has layers of its own for each branch, so rather "
        "not for few samples.",
        each=("norm", "W_i (tokens)", "+ position", "self-attention"),
        join="class token i attends to the tokens of the others",
        after=("norm, linear of each", "mean"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 128,
        depth: int = 2,
        self_depth: int = 1,
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
        names = self.tokens.names
        layers = check_width("self_depth", self_depth)
        self.class_tokens = nn.ModuleDict({name: ClassToken(width) for name in names})
        self.rounds = nn.ModuleList(
            _Round(names, width, layers=layers, heads=heads, mlp_ratio=mlp_ratio, dropout=dropout)
            for _ in range(check_width("depth", depth))
        )
        self.classifiers = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, num_classes))
                for name in names
            }
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        tokens = self.tokens(features)
        streams = {name: self.class_tokens[name](x) for name, x in tokens.items()}
        for round_ in self.rounds:
            streams = round_(streams)
        answers = [self.classifiers[name](x[:, 0]) for name, x in streams.items()]
        return torch.stack(answers).mean(0)


@final
class _Round(nn.Module):
    """Self-attention within each branch, then class tokens that attend to the others."""

    def __init__(
        self,
        names: tuple[str, ...],
        width: int,
        *,
        layers: int,
        heads: int,
        mlp_ratio: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(
            {
                name: nn.Sequential(
                    *(
                        TransformerBlock(width, heads, mlp_ratio, dropout, "gelu")
                        for _ in range(layers)
                    )
                )
                for name in names
            }
        )
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name in names})
        self.crossings = nn.ModuleDict({name: Attention(width, heads, dropout) for name in names})
        self.dropout = nn.Dropout(dropout)

    def forward(self, streams: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gives the streams "b 1+t_i c" after the round, the class token of each in front."""
        attended = {name: self.blocks[name](x) for name, x in streams.items()}
        others = {name: x[:, 1:] for name, x in attended.items()}
        answer = {}
        for name, x in attended.items():
            seen = [x[:, :1], *(y for other, y in others.items() if other != name)]
            normed = self.norms[name](torch.cat(seen, dim=1))
            # Of strided rows, the last bit of a linear layer depends on whether it learns.
            query = normed[:, :1].contiguous()
            learnt = self.dropout(self.crossings[name](query, normed))
            answer[name] = torch.cat([x[:, :1] + learnt, others[name]], dim=1)
        return answer
