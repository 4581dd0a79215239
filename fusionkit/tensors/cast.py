"""Gives a module's floating-point tensors the types that a file says."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

__all__ = ["cast_floats"]


def cast_floats(
    module: nn.Module,
    dtypes: Mapping[str, torch.dtype],
    *,
    device: torch.device | None = None,
    emptied: Collection[str] = (),
) -> None:
    """Casts floating-point parameters and buffers to the types given for their names.

    Parameters stay the same objects, and tied tensors stay tied. Names that the module does not
    have, and tensors of other kinds, are not cast.

    Args:
        module: what is changed.
        dtypes: by name.
        device: where all tensors go, those that are not cast too; ``None`` leaves them there.
        emptied: names of tensors that will be filled anew, so that no value has to be kept.
    """
    wanted: dict[int, torch.dtype] = {}
    empty: set[int] = set()
    for _, name, value in _slots(module):
        dtype = dtypes.get(name)
        if dtype is not None and _differs(value, dtype):
            wanted[id(value)] = dtype
        if name in emptied:
            empty.add(id(value))
    changed: dict[int, Tensor] = {}
    for part, name, value in _slots(module):
        if id(value) not in wanted and device in (None, value.device):
            continue
        if id(value) not in changed:
            dtype, to = wanted.get(id(value), value.dtype), device or value.device
            changed[id(value)] = (
                torch.empty_like(value.detach(), dtype=dtype, device=to)
                if id(value) in empty
                else value.detach().to(to, dtype)
            )
        if isinstance(value, nn.Parameter):
            value.data = changed[id(value)]
        else:
            part._buffers[name.rpartition(".")[2]] = changed[id(value)]


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
