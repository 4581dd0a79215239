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
    """Gives Σ_r Π_i (W_{i,r} x_i + b_{i,r}), "b width".

    A branch that is left out counts as zeros, so that its factor is its bias. The biases start at
    random, as large as what the weights make of a vector: a product begins with what any few
    branches say, and what is left of it when one is absent is what the classifier has learned
    of the others.

    Each factor starts so that vectors of variance 1 give sums of variance 1, however many
    branches and terms there are, but for what an activation takes: with smaller factors a
    product of many would start near zero, and with it the gradient of each.

    Args:
        names: the branches.
        widths: d_i of each.
        width: of the result.
        terms: how many products are summed to each component.
        activation: what follows each factor before it is multiplied; ``None`` for nothing.
        gain: of the weights, makes up for vectors below variance 1.
        constant: whether b_{i,r} is the row of a constant 1 beside x_i. It then starts at one,
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
        size = terms ** (-1 / count if constant else -0.5 / count)
        part = 1 / count if constant else 0.5  # of the variance, which the weights bring
        for name, each in zip(names, widths, strict=True):
            factor = nn.Linear(each, width * terms)
            nn.init.normal_(factor.weight, std=gain * size * (part / each) ** 0.5)
            if constant:
                nn.init.constant_(factor.bias, size)
            else:
                nn.init.normal_(factor.bias, std=size * part**0.5)
            self.factors[name] = factor

    def forward(self, vectors: Mapping[str, Tensor]) -> Tensor:
        """Gives "b width" from one "b d_i" by branch, of one at least, at least in float32."""
        factors = [
            factor(vectors[name]) if name in vectors else factor.bias
            for name, factor in self.factors.items()
        ]
        wide = [at_least_float32(self.activation(each)) for each in factors]
        products: Tensor = self.dropout(reduce(torch.mul, wide))
        return products.reshape(-1, *self.shape).sum(-1)

    def extra_repr(self) -> str:
        """Gives the width of the result and the number of terms."""
        return f"width={self.shape[0]}, terms={self.shape[1]}"
