"""How many processes train together, and which of them this is."""

from __future__ import annotations

import torch.distributed as dist

__all__ = ["process_rank", "world_size"]


def process_rank() -> int:
    """Gives the number of this process among those that train together; 0 where it is alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    """Gives how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
