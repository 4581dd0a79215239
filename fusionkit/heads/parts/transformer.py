"""Transformer layers whose tokens attend to each other, or to others' tokens."""

from __future__ import annotations

from collections import OrderedDict
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fusionkit import ConfigError
from fusionkit.heads.parts.options import check_choice, check_dropout, check_width, is_number

__all__ = ["Attention", "ReGLU", "TransformerBlock", "Transformer"]


@final
class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., arXiv:1706.03762).

    Args:
        width: the tokens' width c.
        heads: how many heads share it.
        dropout: the share dropped of the attention weights.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if check_width("width", width) % check_width("heads", heads):
            raise ConfigError(
                f"option heads: {heads} heads cannot share a width of {width} equally; write for "
                f"example width={heads * max(round(width / heads), 1)}"
            )
        self.heads = heads
        self.dropout = check_dropout(dropout)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Gives "b t c" for tokens ``x`` "b t c" that attend to ``context`` "b s c"."""
        mixed = F.scaled_dot_product_attention(
            self._split(self.query(x)),
            self._split(self.key(context)),
            self._split(self.value(context)),
            dropout_p=self.dropout if self.training else 0.0,
        )
        answer: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return answer

    def _split(self, x: Tensor) -> Tensor:
        """Gives "b heads t c/heads" of "b t c"."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


@final
class ReGLU(nn.Module):
    """Gives one half of the components times the ReLU of the other (arXiv:2002.05202)."""

    def forward(self, x: Tensor) -> Tensor:
        """Gives "... d" for "... 2d"."""
        value, gate = x.chunk(2, dim=-1)
        return value * torch.relu(gate)


MOST = 1_000
"""Times the width between two linear layers; 4 is usual."""

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "reglu": ReGLU, "relu": nn.ReLU}


@final
class TransformerBlock(nn.Module):
    """Attention and two linear layers, each after a norm and beside an identity.

    Args:
        width: the tokens' width c.
        heads: of the attention.
        mlp_ratio: the width between the two linear layers, as a multiple of c.
        dropout: the share dropped of attention weights, between the linear layers, and of what
            is added to the identity.
        activation: ``"gelu"``, ``"relu"`` or ``"reglu"``.
    """

    def __init__(
        self, width: int, heads: int, mlp_ratio: float, dropout: float, activation: str
    ) -> None:
        super().__init__()
        if not (is_number(mlp_ratio) and 0 < mlp_ratio <= MOST):
            raise ConfigError(
                f"option mlp_ratio is a positive number, at most {MOST}, got {mlp_ratio!r}"
            )
        make_activation = ACTIVATIONS[check_choice("activation", activation, tuple(ACTIVATIONS))]
        hidden = max(round(mlp_ratio * width), 1)
        self.norm: nn.Module = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.mlp = nn.Sequential(
            OrderedDict(
                norm=nn.LayerNorm(width),
                widen=nn.Linear(width, 2 * hidden if activation == "reglu" else hidden),
                activation=make_activation(),
                dropout=nn.Dropout(dropout),
                narrow=nn.Linear(hidden, width),
            )
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Gives "b t c" for ``x`` "b t c" that attends to ``context`` "b s c", or to itself.

        Attention to no tokens, where s is 0, adds nothing.
        """
        if context is None or context.shape[1]:
            normed = self.norm(x)
            other = normed if context is None else self.norm(context)
            x = x + self.dropout(self.attention(normed, other))
        after: Tensor = x + self.dropout(self.mlp(x))
        return after


@final
class Transformer(nn.Module):
    """Blocks one after the other, and a last norm.

    Args:
        width: the tokens' width c.
        depth: how many blocks.
        heads: see ``TransformerBlock``, as for the others.
        mlp_ratio: see there.
        dropout: see there.
        activation: see there.
    """

    def __init__(
        self,
        width: int,
        *,
        depth: int,
        heads: int,
        mlp_ratio: float,
        dropout: float,
        activation: str,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, mlp_ratio, dropout, activation)
            for _ in range(check_width("depth", depth))
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Gives "b t c" for ``x`` "b t c": self-attention, or attention to ``context`` "b s c"."""
        for block in self.blocks:
            x = block(x, context)
        normed: Tensor = self.norm(x)
        return normed
