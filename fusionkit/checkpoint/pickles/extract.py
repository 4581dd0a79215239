"""Takes the tensors out of a state dict, as a tensor file can hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.errors import CheckpointError

__all__ = ["Extract", "extract"]

ARRAY = "multiarray._reconstruct"
"""What an array of numpy is rebuilt by."""
MOST_COPIES = 16
"""How many times a file's size its tensors may take where several names share one."""


@dataclass(frozen=True, slots=True)
class Extract:
    """What a state dict holds.

    Attributes:
        tensors: by name.
        dropped: names of what is no tensor, with their types.
        shared: names whose tensor stands under an earlier name too.
    """

    tensors: dict[str, Tensor]
    dropped: dict[str, str]
    shared: tuple[str, ...]


def extract(state: Mapping[str, Any], size: int) -> Extract:
    """Gives the tensors, and says what else there was.

    Args:
        state: as it was unpickled.
        size: of the file in bytes, which no tensor may exceed: a few bytes of a pickle can claim
            a shape of any size.

    Raises:
        CheckpointError: there are arrays of numpy; or a tensor is larger than the file, or of a
            kind that no tensor file holds.
    """
    tensors: dict[str, Tensor] = {}
    dropped: dict[str, str] = {}
    shared: list[str] = []
    first: set[tuple[object, ...]] = set()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            dropped[name] = getattr(value, "stands_for", type(value).__name__)
            if dropped[name].endswith(ARRAY):
                raise CheckpointError(
                    f"{name!r:.200} is an array of numpy among the tensors, which torch's "
                    "weights-only loader does not read; ask its author for tensors alone"
                )
            continue
        plain = _check(name, value, size)
        memory = _memory(plain)
        if plain.numel() and memory in first:
            shared.append(name)
        first.add(memory)
        tensors[name] = plain
    total = sum(value.nbytes for value in tensors.values())
    if total > MOST_COPIES * size:
        raise CheckpointError(
            f"its tensors would take {total:,} bytes, more than {MOST_COPIES} times its own "
            f"{size:,}, since many names share one memory; it is damaged, or made to fill a disk"
        )
    return Extract(tensors, dropped, tuple(shared))


def _check(name: str, value: Tensor, size: int) -> Tensor:
    if type(value) not in (Tensor, nn.Parameter) or value.is_quantized or value.is_meta:
        raise CheckpointError(f"{name!r:.200} is a {_kind(value)}, which no tensor file holds")
    if value.layout is not torch.strided:
        raise CheckpointError(f"{name!r:.200} is sparse, which no tensor file holds")
    if value.numel() * value.itemsize > size:
        raise CheckpointError(
            f"{name!r:.200} claims the shape {tuple(value.shape)}, which takes "
            f"{value.numel() * value.itemsize:,} bytes, but the file has {size:,}; it is damaged, "
            "or made to fill the memory"
        )
    return value.detach()


def _kind(value: Tensor) -> str:
    if value.is_quantized:
        return "quantised tensor"
    return "tensor without values" if value.is_meta else type(value).__name__


def _memory(value: Tensor) -> tuple[object, ...]:
    return (value.data_ptr(), value.dtype, tuple(value.shape), value.stride())
