"""Gives a module's floating-point tensors the types that a file says."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["cast_floats"]


def cast_floats(module: nn.Module, dtypes: Mapping[str, torch.dtype]) -> None:
    """Casts floating-point parameters and buffers to the types given for their names.

    Parameters stay the same objects, and tied tensors stay tied. Names that the module does not
    have, and tensors of other kinds, are left alone.
    """
    wanted: dict[int, tuple[Tensor, torch.dtype]] = {}
    for _, name, value in _slots(module):
        dtype = dtypes.get(name)
        if dtype is not None and _differs(value, dtype):
            wanted[id(value)] = (value, dtype)
    cast: dict[int, Tensor] = {}
    for part, name, value in _slots(module):
        if id(value) not in wanted:
            continue
        _, dtype = wanted[id(value)]
        if isinstance(value, nn.Parameter):
            value.data = value.data.to(dtype)
        else:
            leaf = name.rpartition(".")[2]
            part._buffers[leaf] = cast.setdefault(id(value), value.to(dtype))


def _slots(module: nn.Module) -> list[tuple[nn.Module, str, Tensor]]:
    """Gives the owner, the whole name and the value of every parameter and buffer."""
    return [
        (part, f"{path}.{name}" if path else name, value)
        for path, part in module.named_modules()
        for name, value in (*part._parameters.items(), *part._buffers.items())
        if value is not None
    ]


def _differs(value: Tensor, dtype: torch.dtype) -> bool:
    return value.is_floating_point() and dtype.is_floating_point and value.dtype != dtype
