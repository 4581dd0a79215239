"""Half-precision numbers widened where sums of exponentials or squares would leave their range."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["at_least_float32", "at_own_precision", "without_autocast"]


def at_least_float32(x: Tensor) -> Tensor:
    """Gives float16 and bfloat16 as float32, and everything wider as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def without_autocast(device: torch.device) -> torch.autocast:
    """Gives a context in which what is float32 is computed in float32, whatever surrounds it."""
    return torch.autocast("cpu" if device.type == "meta" else device.type, enabled=False)


def at_own_precision(module: nn.Module, x: Tensor) -> Tensor:
    """Gives ``module(x)`` in the precision of its parameters, also under autocast.

    For layers whose input may leave the range of float16, as products do.
    """
    with without_autocast(x.device):
        result: Tensor = module(x.to(next(module.parameters()).dtype))
    return result
