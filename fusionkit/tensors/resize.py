"""Interpolates position embeddings to another number of places."""

from __future__ import annotations

from math import isqrt

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from fusionkit.errors import CheckpointError

__all__ = ["resize_tensor"]

MOST_EXTRA = 16
"""Class, distillation and register tokens that stand before the places of a grid."""


def resize_tensor(name: str, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Gives a position embedding for another number of places, by bicubic interpolation.

    Taken are square grids in a row, "1 (extra h w) d" with tokens of their own before them
    (ViT, arXiv:2010.11929), grids "1 c h w" and "1 h w c", and tables of relative positions
    "(2h-1 2w-1) heads" (Swin, arXiv:2103.14030).

    Args:
        name: of the tensor, for errors.
        value: as it is in the file.
        shape: what is wanted.

    Raises:
        CheckpointError: the shapes are not those of two grids.
    """
    was, rank = tuple(value.shape), value.ndim
    grid = rank == len(shape) == 4 and was[0] == shape[0] == 1  # others are kernels
    if grid and was[1] == shape[1]:
        return _interpolate(value, shape[2:])
    if grid and was[3] == shape[3]:
        return _interpolate(value.permute(0, 3, 1, 2), shape[1:3]).permute(0, 2, 3, 1).contiguous()
    if rank == 3 and len(shape) == 3 and (was[0], was[2]) == (shape[0], shape[2]):
        extra = _extra_tokens(name, was, shape, was[1], shape[1])
        return torch.cat([value[:, :extra], _resize_row(value[:, extra:], shape[1] - extra)], 1)
    if rank == 2 and len(shape) == 2 and was[1] == shape[1]:
        extra = _extra_tokens(name, was, shape, was[0], shape[0])
        return torch.cat([value[:extra], _resize_row(value[None, extra:], shape[0] - extra)[0]])
    raise _no_grid(name, was, shape)


def _extra_tokens(
    name: str, was: tuple[int, ...], shape: tuple[int, ...], old: int, new: int
) -> int:
    """Gives how many tokens stand before the grid, if that leaves two squares."""
    for extra in range(MOST_EXTRA + 1):
        squares = [
            isqrt(count - extra) ** 2 == count - extra for count in (old, new) if count > extra
        ]
        if squares == [True, True]:
            return extra
    raise _no_grid(name, was, shape)


def _is_square(count: int) -> bool:
    return count > 0 and isqrt(count) ** 2 == count


def _resize_row(value: Tensor, count: int) -> Tensor:
    """Gives "b count d" from "b n d", both square grids in a row."""
    side, new = isqrt(value.shape[1]), isqrt(count)
    grid = value.reshape(len(value), side, side, -1).permute(0, 3, 1, 2)
    return _interpolate(grid, (new, new)).flatten(2).transpose(1, 2).contiguous()


def _interpolate(grid: Tensor, size: tuple[int, ...]) -> Tensor:
    resized = F.interpolate(
        grid.float(), size=list(size), mode="bicubic", antialias=True, align_corners=False
    )
    return resized.to(grid.dtype)


def _no_grid(name: str, was: tuple[int, ...], shape: tuple[int, ...]) -> CheckpointError:
    return CheckpointError(
        f"{name!r:.200} cannot be resized from {was} to {shape}: these are not two square grids of "
        "positions; take weights of the input size that the branch has"
    )
