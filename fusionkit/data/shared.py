"""Numbers that a loader's workers and the process that started them both see."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["shared_zeros"]


def shared_zeros(length: int, dtype: torch.dtype) -> Tensor:
    """Gives zeros "length" in memory that is shared, however workers are started."""
    zeros = torch.zeros(length, dtype=dtype)
    zeros.share_memory_()  # type: ignore[no-untyped-call]
    return zeros
