"""Whether two computations of the same features agree, as far as rounding lets them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

import torch
from torch import Tensor

from fusionkit.cache.rows import flatten, restore
from fusionkit.errors import CacheError
from fusionkit.features import Features

__all__ = ["check_repeatable", "disagreement", "tolerance"]

LEAST = 1e-3
"""A row is not measured by a smaller share of the largest row's values."""


def tolerance(device: torch.device, *dtypes: torch.dtype | None) -> float:
    """Gives how far two values may lie apart, relative to the largest of their row.

    A batch of another size is summed in another order, so no two are equal to the bit. The bound is
    the root of the coarsest type's smallest step, half of its digits: 0.00035 for float32, 0.031
    for float16 and 0.088 for bfloat16. A GPU multiplies float32 with the digits of float16 where
    it may (TF32), so it has at least the bound of float16.

    Args:
        device: on which the features are computed.
        dtypes: in which they are computed and kept; those that are no floating-point types, or
            ``None``, do not count.
    """
    coarsest = max((torch.finfo(each).eps for each in dtypes if _is_float(each)), default=0.0)
    if device.type == "cuda":
        coarsest = max(coarsest, torch.finfo(torch.float16).eps)
    return float(coarsest**0.5)


def disagreement(one: Features, other: Features) -> float:
    """Gives the largest difference of any row, relative to the largest value of that row.

    Values that are not finite agree when they are the same. Other shapes are infinitely far apart.
    """
    left, right = flatten(one), flatten(other)
    if left.keys() != right.keys():
        return torch.inf
    return max((_apart(left[name], right[name]) for name in left), default=0.0)


def check_repeatable(
    branch: str, whole: Features, few: Features, again: Callable[[], Features], bound: float
) -> None:
    """Refuses a branch whose features are random, or depend on the other samples of the batch.

    Args:
        branch: its name.
        whole: of a batch, "b ...".
        few: of its first samples, computed without the others.
        again: computes these once more; called where the two do not agree, to tell why.
        bound: as ``tolerance`` gives it.

    Raises:
        CacheError: says which of the two it is.
    """
    flat = flatten(whole)
    count = len(next(iter(flatten(few).values())))
    apart = disagreement(restore({name: value[:count] for name, value in flat.items()}), few)
    if apart <= bound:
        return
    if (random := disagreement(few, again())) > bound:
        raise CacheError(
            f"branch {branch!r} gives other features for the same samples each time (they differ "
            f"by {random:.2g} of the largest value), so they cannot be cached; make its forward "
            "pass the same in eval mode, or write cache=False"
        )
    raise CacheError(
        f"branch {branch!r} gives other features for a sample in another batch (they differ by "
        f"{apart:.2g} of the largest value), so they cannot be cached; norms without running "
        "statistics do that. Take norms that keep them, or write cache=False"
    )


def _apart(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape:
        return torch.inf
    if not one.numel():
        return 0.0
    one, other = (value.cpu().double().flatten(1) for value in (one, other))
    finite = one.isfinite() & other.isfinite()
    same = (one == other) | (one.isnan() & other.isnan())
    if not bool((finite | same).all()):
        return torch.inf
    difference = (one - other).where(finite, 0.0).abs().amax(1)
    scale = other.where(finite, 0.0).abs().amax(1)
    floor = max(float(scale.max()) * LEAST, torch.finfo(torch.float32).tiny)
    return float((difference / scale.clamp_min(floor)).max())


def _is_float(dtype: torch.dtype | None) -> TypeGuard[torch.dtype]:
    return dtype is not None and dtype.is_floating_point
