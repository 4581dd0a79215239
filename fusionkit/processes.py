"""The processes that work together, and which of them this one is."""

from __future__ import annotations

from typing import Any

from torch import distributed

__all__ = ["broadcast_object", "in_group", "rank", "tell_all", "world"]


def in_group() -> bool:
    """Tells whether a process group was made."""
    return distributed.is_available() and distributed.is_initialized()


def world() -> int:
    """Gives how many processes work together: 1 where no process group was made."""
    return distributed.get_world_size() if in_group() else 1


def rank() -> int:
    """Gives which of them this one is, counted from 0."""
    return distributed.get_rank() if in_group() else 0


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
