"""A transformer over the tokens of all branches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn

from fusionkit import Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.tokens import BranchTokens, ClassToken
from fusionkit.heads.parts.transformer import Transformer

__all__ = ["FusionTransformer"]


@final
class FusionTransformer(FusionHead):
    """A class token attends to all branches' tokens in one transformer (arXiv:2106.11959).

    The layers are those of the FT-Transformer: norm first but for the first attention, ReGLU
    between the linear layers, and at the end norm, ReLU and a linear layer on the class token.
    A branch's vector is one token, as a column of a table is there, and each place of a map is
    one. The tokens of a branch whose input is absent are not there.

    Args:
        inputs: what the branches offer, by name.
        num_classes: the width k of the logits.
        width: of all tokens; a multiple of ``heads``, and of 4 where positions are added.
        depth: how many layers.
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
        formula="W relu(norm(Transformer([c; W_1 x_1 + b_1; ...; W_N x_N + b_N])[0]))",
        papers=("Gorishniy et al., arXiv:2106.11959", "Vaswani et al., arXiv:1706.03762"),
        reads="tokens",
        when="Where what one branch sees at a place matters to another, and there are samples "
        "enough to train attention; rather not with few. Each layer compares all tokens of all "
        "branches, so its cost grows with the square of their sum.",
        each=("norm", "W_i (tokens)", "+ position"),
        join="[class token; all tokens], self-attention",
        after=("class token", "norm, ReLU", "linear"),
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        mlp_ratio: float = 4 / 3,
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
        self.class_token = ClassToken(width)
        self.transformer = Transformer(
            width,
            depth=depth,
            heads=heads,
            mlp_ratio=mlp_ratio,
            dropout=dropout,
            activation="reglu",
        )
        self.transformer.blocks[0].norm = nn.Identity()
        self.classifier = nn.Sequential(
            OrderedDict(activation=nn.ReLU(), linear=nn.Linear(width, num_classes))
        )

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        tokens = torch.cat(list(self.tokens(features).values()), dim=1)
        logits: Tensor = self.classifier(self.transformer(self.class_token(tokens))[:, 0])
        return logits
