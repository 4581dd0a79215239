"""Each branch's tokens attend to each other branch's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import lcm
from typing import Any, final

import torch
from torch import Tensor, nn

from fusionkit import AssemblyError, Card, Features, FusionHead, HeadInput
from fusionkit.heads.parts.absent import with_zeros
from fusionkit.heads.parts.cost import MAX_PARAMETERS, refuse_above
from fusionkit.heads.parts.options import check_width
from fusionkit.heads.parts.tokens import BranchTokens
from fusionkit.heads.parts.transformer import Transformer

__all__ = ["CrossAttention"]


@final
class CrossAttention(FusionHead):
    """Each branch attends to each other by a transformer per pair (MulT, arXiv:1906.00295).

    For each ordered pair, the tokens of the one attend in every layer to the tokens that the
    other came with. What a branch so learns of the others is concatenated, passed through a
    transformer with self-attention, averaged over its tokens (the paper takes the last of a
    sequence, which a picture does not have), concatenated for all branches, and classified by a
    linear layer. Attention to a branch whose input is absent adds nothing, and what an absent
    branch itself would have learnt counts as zeros.

    Args:
        inputs: what the branches offer, by name; two or more.
        num_classes: the width k of the logits.
        width: of all tokens; a multiple of ``heads``, and of 4 where positions are added.
        depth: how many layers the transformer of each pair has.
        self_depth: how many layers the transformer with self-attention of each branch has, of
            (N - 1) times the width; ``None`` leaves it out.
        heads: how many heads each attention has.
        mlp_ratio: the width between the linear layers of a layer, as a multiple of the tokens'.
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
        max_parameters: refuse to build transformers of more.

    Raises:
        AssemblyError: there is only one branch; or one has no maps, or not the chosen level; or
            the transformers would have more than ``max_parameters`` parameters.
        ConfigError: an option's value is wrong.
    """

    takes_missing = True

    card = Card(
        formula="W [mean S_1([C_12(x_1, x_2); ...; C_1N(x_1, x_N)]); ...; mean S_N(...)]",
        papers=("Tsai et al., arXiv:1906.00295",),
        reads="tokens",
        when="Two or three branches whose places do not match, such as sound and picture, and "
        "samples enough to train attention. It has N(N - 1) transformers, and N of N - 1 times "
        "the width, so that parameters grow with the cube of the branches; without self_depth "
        "they and the cost grow with the square.",
        each=("norm", "W_i (tokens)", "+ position"),
        join="attention of each pair, concat",
        after=("self-attention of each", "mean over tokens", "concat", "linear"),
        branches="two or more",
    )

    def __init__(
        self,
        inputs: Mapping[str, HeadInput],
        *,
        num_classes: int,
        width: int = 64,
        depth: int = 2,
        self_depth: int | None = 1,
        heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        read: str | Mapping[str, str] = "auto",
        level: int | Mapping[str, int] = -1,
        norm: str | Mapping[str, str] = "layer",
        side: int | None = 7,
        position: bool = True,
        max_parameters: int = MAX_PARAMETERS,
    ) -> None:
        super().__init__()
        if len(inputs) < 2:
            raise AssemblyError(
                f"cross_attention joins two branches or more, and {next(iter(inputs))!r} is alone; "
                "for one branch take 'fusion_transformer'"
            )
        self.tokens = BranchTokens(
            inputs, width=width, read=read, level=level, norm=norm, side=side, position=position
        )
        self.reads = self.tokens.reads
        names = self.tokens.names
        others = len(names) - 1

        def make_target(name: str, width: int) -> _Target:
            return _Target(
                [other for other in names if other != name],
                width,
                depth=depth,
                self_depth=self_depth,
                heads=heads,
                mlp_ratio=mlp_ratio,
                dropout=dropout,
            )

        def count(widths: Sequence[int]) -> int:
            with torch.device("meta"):
                target = make_target(names[0], widths[0])
            return len(names) * sum(each.numel() for each in target.parameters())

        refuse_above(
            max_parameters,
            count,
            [width],
            what=f"transformers of width {width} for each pair of {len(names)} branches",
            formula="about N(N - 1)(depth + (N - 1) self_depth)(4 + 2 mlp_ratio) width²",
            instead="'fusion_transformer'",
            option="width",
            step=lcm(4, check_width("heads", heads)),
        )
        self.targets = nn.ModuleDict({name: make_target(name, width) for name in names})
        self.widths = (others * width,) * len(names)
        self.classifier = nn.Linear(sum(self.widths), num_classes)

    def forward(self, features: Mapping[str, Features]) -> Tensor:
        """Gives logits "b k"."""
        tokens = self.tokens(features)
        vectors = {name: self.targets[name](x, tokens) for name, x in tokens.items()}
        joined = torch.cat(with_zeros(vectors, self.tokens.names, self.widths), dim=-1)
        logits: Tensor = self.classifier(joined)
        return logits


@final
class _Target(nn.Module):
    """What one branch learns of the others, "b (N-1)c"."""

    def __init__(
        self, others: list[str], width: int, *, depth: int, self_depth: int | None, **layer: Any
    ) -> None:
        super().__init__()
        self.crossings = nn.ModuleDict(
            {other: Transformer(width, depth=depth, activation="relu", **layer) for other in others}
        )
        self.memory: nn.Module = nn.Identity()
        if self_depth is not None:
            joined, layers = len(others) * width, check_width("self_depth", self_depth)
            self.memory = Transformer(joined, depth=layers, activation="relu", **layer)

    def forward(self, x: Tensor, tokens: Mapping[str, Tensor]) -> Tensor:
        """Gives it for the branch's tokens "b t c" and those of all that are present."""
        nothing = x[:, :0]
        crossed = [
            crossing(x, tokens.get(other, nothing)) for other, crossing in self.crossings.items()
        ]
        mean: Tensor = self.memory(torch.cat(crossed, dim=-1)).mean(1)
        return mean
