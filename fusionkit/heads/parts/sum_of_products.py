"""``SumOfProducts``: what all low-rank forms of a multilinear map have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import final

import torch
from torch import Tensor, nn

from fusionkit.heads.parts.precision import at_least_float32

__all__ = ["SumOfProducts"]


@final
class SumOfProducts(nn.Module):
    """Gives Σ_r Π_i (W_{i,r} x_i + b_{i,r}), "b width", over the branches that it is handed.

    A branch that is left out counts as a factor of one.

    Each factor starts so that vectors of variance 1 give sums of variance 1, however many
    branches and terms there are: with smaller factors a product of many would start near zero,
    and with it the gradient of each.

    Args:
        names: the branches.
        widths: d_i of each.
        width: of the result.
        terms: how many products are summed to each component.
        activation: what follows each factor before it is multiplied; ``None`` for nothing.
        gain: makes up for factors that are fed with numbers below variance 1.
        constant: whether b_{i,r} is the row of a constant 1 beside x_i. It then starts at one
            and W so small that the products of many branches neither vanish nor explode.
        dropout: the share dropped of the products, before the sum.
    """

    def __init__(
        self,
        names: Sequence[str],
        widths: Sequence[int],
        width: int,
        *,
        terms: int = 1,
        activation: nn.Module | None = None,
        gain: float = 1.0,
        constant: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape = (width, terms)
        self.activation = nn.Identity() if activation is None else activation
        self.dropout = nn.Dropout(dropout)
        self.factors = nn.ModuleDict()
        count = len(widths)
        size = terms ** (-1 / count) if constant else gain * terms ** (-0.5 / count)
        for name, each in zip(names, widths, strict=True):
            factor = nn.Linear(each, width * terms)
            nn.init.normal_(factor.weight, std=size * (each * count if constant else each) ** -0.5)
            nn.init.constant_(factor.bias, size if constant else 0.0)
            self.factors[name] = factor

    def forward(self, vectors: Mapping[str, Tensor]) -> Tensor:
        """Gives "b width" from one "b d_i" by branch, at least in float32."""
        factors = [
            at_least_float32(self.activation(self.factors[name](x))) for name, x in vectors.items()
        ]
        products: Tensor = self.dropout(reduce(torch.mul, factors))
        return products.reshape(-1, *self.shape).sum(-1)

    def extra_repr(self) -> str:
        """Gives the width of the result and the number of terms."""
        return f"width={self.shape[0]}, terms={self.shape[1]}"
