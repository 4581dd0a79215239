"""Lays tensors out with their channels last, as convolutions run faster."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["channels_last", "to_channels_last"]

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(value: Tensor, axes: int = 4) -> Tensor:
    """Gives a tensor of so many axes, "b c h w" or "b c t h w", in that layout; others as are."""
    if value.ndim != axes:
        return value
    return value.to(memory_format=FORMATS[axes])  # contiguous() leaves the strides of 1 x 1 kernels


def to_channels_last(module: nn.Module, axes: int = 4) -> None:
    """Lays out what a module holds of so many axes, in place; parameters stay the same objects.

    ``module.to(memory_format=...)`` demands it of all that have four axes or five, and fails for
    a module that has both kinds or only the other one.
    """
    # it is what .to() calls, so that a module that overrides it drops what it worked out; torch
    # gives it no types
    module._apply(lambda value: channels_last(value, axes))  # type: ignore[no-untyped-call]
