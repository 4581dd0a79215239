"""Norms that bring vectors and maps of any scale to one, without parameters of their own.

The linear layer that follows each of them could undo any gain and offset, so none is learned.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fusionkit import AssemblyError, DataError
from fusionkit.heads.parts.options import check_choice
from fusionkit.heads.parts.precision import at_least_float32

__all__ = ["VECTOR_NORMS", "LayerNorm", "MapNorm", "UnitNorm", "WholeBatchNorm", "vector_norm"]

VECTOR_NORMS = ("layer", "batch", "l2", "none")

EPS = 1e-12
"""Under the variance: features as small as 1e-5, which do occur, come out within 1 % of size 1."""


def vector_norm(kind: object, width: int, branch: str) -> nn.Module:
    """Gives the norm of one branch's vectors "b d".

    Args:
        kind: ``"layer"`` gives each vector mean 0 and variance 1; ``"batch"`` each component,
            over the batch in training and over its moving average otherwise; ``"l2"`` gives
            each vector length 1; ``"none"`` leaves it.
        width: the vectors' width d.
        branch: whose vectors they are, for errors.
    """
    name = check_choice("norm", kind, VECTOR_NORMS)
    if name == "layer":
        if width == 1:
            raise AssemblyError(
                f"branch {branch!r} has vectors of width 1, and norm='layer' would make every "
                f"one of them zero; write norm={{{branch!r}: 'batch'}} or "
                f"norm={{{branch!r}: 'none'}}"
            )
        return LayerNorm(width)
    if name == "batch":
        return WholeBatchNorm(width, branch)
    return UnitNorm() if name == "l2" else nn.Identity()


@final
class LayerNorm(nn.Module):
    """Gives each vector "b d" mean 0 and variance 1 (Ba et al., arXiv:1607.06450)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Gives "b d" in the precision of ``x``."""
        return F.layer_norm(at_least_float32(x), (self.width,), eps=EPS).to(x.dtype)

    def extra_repr(self) -> str:
        """Gives the width."""
        return f"{self.width}"


@final
class UnitNorm(nn.Module):
    """Gives each vector "b d" the Euclidean length 1; a vector of zeros stays one."""

    def forward(self, x: Tensor) -> Tensor:
        """Gives "b d" in the precision of ``x``."""
        return F.normalize(at_least_float32(x), dim=-1, eps=EPS).to(x.dtype)


@final
class WholeBatchNorm(nn.Module):
    """Gives each component of vectors "b d" mean 0 and variance 1 (arXiv:1502.03167).

    The variance has the usual floor of 1e-5, so that a component that never moved in training
    does not explode later; components much smaller than 0.003 therefore come out below 1.
    """

    def __init__(self, width: int, branch: str) -> None:
        super().__init__()
        self.branch = branch
        self.norm = nn.BatchNorm1d(width, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """Gives "b d"; a single sample in training is a ``DataError``."""
        if self.training and x.shape[0] == 1:
            raise DataError(
                f"branch {self.branch!r}: norm='batch' needs the statistics of a batch, and this "
                "one is a single sample; train with larger batches (drop_last=True leaves an odd "
                "last one out), or write norm='layer'"
            )
        normed: Tensor = self.norm(x)
        return normed

    def measure(self, x: Tensor) -> None:
        """Takes the statistics of all samples "n d" at once, for heads that are fitted."""
        for held, found in (
            (self.norm.running_mean, x.mean(0)),
            (self.norm.running_var, x.var(0, correction=0)),
        ):
            assert held is not None
            held.copy_(found)


@final
class MapNorm(nn.Module):
    """Gives each map "b c h w" mean 0 and variance 1 over c, h and w together.

    One gain for the whole map keeps what stands out where; see Wu and He, Group Normalization
    with one group (arXiv:1803.08494).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Gives "b c h w" in the precision of ``x``."""
        # not F.group_norm, which refuses one value of one sample and gives 0 for those of two
        return torch.group_norm(at_least_float32(x), 1, eps=EPS).to(x.dtype)
