"""Inputs for a backbone: its own example, smaller ones, and others like them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.backbone.contract import Backbone

__all__ = ["candidate_sizes", "first_of", "floats_to", "is_image", "moved", "resized", "varied"]

STEPS = (64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512, 640, 768, 1024)
"""Sides in pixels. Below 64 the last map of most networks has one pixel, which batch
normalisation over a batch of two turns into a sign."""


def is_image(example: Any) -> bool:
    """Tells images "b c h w" and clips "b c t h w" from everything else."""
    return isinstance(example, Tensor) and example.is_floating_point() and example.ndim in (4, 5)


def candidate_sizes(backbone: Backbone, example: Tensor) -> list[tuple[int, int]]:
    """Gives heights and widths to try, small to large: up to the example's own, and one more."""
    own = (int(example.shape[-2]), int(example.shape[-1]))
    if backbone.fixed_size is not None:
        return [own]
    multiple = max(backbone.size_multiple, 1)
    sides = {side: -(-side // multiple) * multiple for side in STEPS}
    larger = [rounded for side, rounded in sides.items() if side > max(own)]
    smaller = dict.fromkeys(rounded for side, rounded in sides.items() if side < min(own))
    return [*((side, side) for side in smaller), own, *((side, side) for side in larger[:1])]


def resized(example: Tensor, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Gives noise of the same batch, channels and frames at another height and width."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*example.shape[:-2], *size, generator=generator, dtype=example.dtype)


def varied(example: Any, seed: int) -> Any:
    """Gives an input of the same form with other content; 0 gives the example itself.

    Floating-point tensors become other noise of the same scale; whole numbers (tokens) change
    places along their last dimension, each row on its own; masks and all else stay.
    """
    if seed == 0:
        return example
    generator = torch.Generator().manual_seed(seed)

    def vary(value: Tensor) -> Tensor:
        if value.is_floating_point():
            scale = float(value.square().mean().sqrt()) or 1.0
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float32)
            return (noise * scale).to(value.dtype)
        if value.dtype == torch.bool or value.ndim == 0 or int(value.max()) <= 1:
            return value
        keys = torch.rand(value.shape, generator=generator)
        return value.gather(-1, keys.argsort(-1))

    return pytree.tree_map_only(Tensor, vary, example)


def moved(example: Any, device: torch.device | str) -> Any:
    """Gives an input somewhere else."""
    return pytree.tree_map_only(Tensor, lambda value: value.to(device), example)


def floats_to(example: Any, dtype: torch.dtype) -> Any:
    """Gives an input whose floating-point numbers are of another type."""
    return pytree.tree_map_only(
        Tensor, lambda value: value.to(dtype) if value.is_floating_point() else value, example
    )


def first_of(example: Any, count: int = 1) -> Any:
    """Gives the first samples of a batch."""
    return pytree.tree_map_only(Tensor, lambda value: value[:count], example)
