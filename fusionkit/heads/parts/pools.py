"""What becomes of several vectors of one width, component by component."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor

__all__ = ["POOLS", "max_of", "mean_of", "product_of", "sum_of"]


def sum_of(vectors: Sequence[Tensor]) -> Tensor:
    """Gives Σ x_i."""
    return reduce(torch.add, vectors)


def mean_of(vectors: Sequence[Tensor]) -> Tensor:
    """Gives Σ x_i / n."""
    return sum_of(vectors) / len(vectors)


def product_of(vectors: Sequence[Tensor]) -> Tensor:
    """Gives Π x_i."""
    return reduce(torch.mul, vectors)


def max_of(vectors: Sequence[Tensor]) -> Tensor:
    """Gives max_i x_i."""
    return reduce(torch.maximum, vectors)


POOLS: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "sum": sum_of,
    "mean": mean_of,
    "max": max_of,
}
"""Those that stay what they are however many vectors there are, by name."""
