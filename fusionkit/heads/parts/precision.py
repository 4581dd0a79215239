"""Half-precision numbers widened where sums of exponentials or squares would leave their range."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["at_least_float32"]


def at_least_float32(x: Tensor) -> Tensor:
    """Gives float16 and bfloat16 as float32, and everything wider as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
