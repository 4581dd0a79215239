"""Signed square root and length 1: what tames the large products of bilinear pooling."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusionkit.heads.parts.precision import at_least_float32

__all__ = ["power_normalise", "signed_sqrt"]

EPS = 1e-20
"""Under the root, whose slope at zero is infinite: it stays below 1e10."""


def signed_sqrt(x: Tensor) -> Tensor:
    """Gives sign(x) sqrt(|x|), at least in float32; at zero it is zero and has no gradient."""
    x = at_least_float32(x)
    return torch.sign(x) * torch.sqrt(x.abs() + EPS)


def power_normalise(x: Tensor) -> Tensor:
    """Gives signed square roots "b d" of length 1 (Perronnin et al., ECCV 2010)."""
    return F.normalize(signed_sqrt(x), dim=-1)
