"""The processes that train together, and the model that they train."""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed, nn

from fusionkit.errors import DistributedError
from fusionkit.model.fused import FusedModel

__all__ = ["broadcast_object", "find_model", "rank", "require_group", "tell_all", "world"]


def world() -> int:
    """Gives how many processes train together: 1 where no process group was made."""
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1


def rank() -> int:
    """Gives which of them this one is, counted from 0."""
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_rank() if ready else 0


def require_group(caller: str) -> None:
    """Refuses to go on where no process group was made.

    Raises:
        DistributedError: says how one is made.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        raise DistributedError(
            f"{caller}: there is no process group; start the processes with torchrun, and call "
            f"torch.distributed.init_process_group({backend!r}) first"
        )


def tell_all(value: Any) -> list[Any]:
    """Gives what every process told, in the order of ranks; all have to call it."""
    if world() == 1:
        return [value]
    told: list[Any] = [None] * world()
    distributed.all_gather_object(told, value)
    return told


def broadcast_object(value: Any) -> Any:
    """Gives what rank 0 told, on every rank; all have to call it."""
    if world() == 1:
        return value
    box = [value if rank() == 0 else None]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def find_model(module: nn.Module, caller: str) -> FusedModel:
    """Gives the one ``FusedModel`` that a module is or holds.

    Raises:
        DistributedError: it holds none, or several.
    """
    found = [each for each in module.modules() if isinstance(each, FusedModel)]
    if len(found) != 1:
        raise DistributedError(
            f"{caller} takes a FusedModel, or a module with one inside; this "
            f"{type(module).__name__} has {len(found) or 'none'}"
        )
    return found[0]
